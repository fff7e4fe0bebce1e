// The alarm sound: opt-in, two tones every two seconds while an alarm nobody acknowledged is active.
import { t } from "./show.mjs";

const button = document.getElementById("sound");
let context;
let timer;

function beep() {
  if (context?.state !== "running") return;
  for (const [at, hertz] of [[0, 880], [0.25, 660]]) {
    const tone = context.createOscillator();
    const gain = context.createGain();
    tone.frequency.value = hertz;
    gain.gain.setValueAtTime(0.0001, context.currentTime + at);
    gain.gain.exponentialRampToValueAtTime(0.25, context.currentTime + at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, context.currentTime + at + 0.22);
    tone.connect(gain).connect(context.destination);
    tone.start(context.currentTime + at);
    tone.stop(context.currentTime + at + 0.24);
  }
}

function label(key) {
  button.setAttribute("aria-pressed", String(key === "live.sound_on"));
  button.querySelector("span").textContent = t(key);
}

export const sound = {
  follow() {
    const unacked = Number(document.querySelector(".banner")?.dataset.unacked ?? 0);
    clearInterval(timer);
    if (context && unacked > 0) {
      beep();
      timer = setInterval(beep, 2000);
    }
  },
};

async function turn(on) {
  if (!on) {
    await context?.close();
    context = undefined;
    label("live.sound_off");
  } else {
    context = new AudioContext();
    await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 500))]);
    label(context.state === "running" ? "live.sound_on" : "live.sound_blocked");
  }
  localStorage.setItem("tocsin-sound", on ? "on" : "off");
  sound.follow();
}

button.addEventListener("click", () => turn(!context || context.state !== "running"));
if (localStorage.getItem("tocsin-sound") === "on") {
  label("live.sound_blocked"); // a browser wants one tap on each page before it lets a page sound
  addEventListener("pointerdown", (event) => { if (!button.contains(event.target)) turn(true); }, { once: true });
}
