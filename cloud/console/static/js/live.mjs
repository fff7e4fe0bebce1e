// What moves on every page: last values, ages, fragments that follow alarms, the connection's own state, sound.
import { age, localTimes, now_ms, setServerTime, t, value } from "./show.mjs";
import { sound } from "./sound.mjs";

const quality = (q) => (q === 0 ? "good" : q > 0 && q < 64 ? "uncertain" : "bad");
const devices = new Map();

function index() {
  devices.clear();
  for (const el of document.querySelectorAll("[data-key]")) {
    if (!devices.has(el.dataset.key)) devices.set(el.dataset.key, []);
    devices.get(el.dataset.key).push(el);
  }
  localTimes(document);
  filter();
  tick();
}

// Fragments: the server renders them; here they are only fetched again, at most every 300 ms.
const due = new Map();
function refresh(kind) {
  for (const section of document.querySelectorAll("[data-fragment]")) {
    if (!section.dataset.on.split(" ").includes(kind) || due.has(section)) continue;
    due.set(section, setTimeout(() => fetchFragment(section), 300));
  }
}
function fetchFragment(section) {
  due.delete(section);
  if (underFingers(section)) {
    due.set(section, setTimeout(() => fetchFragment(section), 2000));
    return;
  }
  // Its own source each: htmx keeps only the last of what one element asks for at once.
  htmx.ajax("GET", section.dataset.fragment, { source: section, target: section, swap: "innerHTML" }).catch(() => {});
}
// A button that is swapped away between a press and its release gets no click. A release may be lost, outside the window.
addEventListener("DOMContentLoaded", () => document.body.removeAttribute("data-loading")); // all modules have run
let press = { section: null, at_ms: 0 };
addEventListener("pointerdown", (event) => {
  press = { section: event.target.closest?.("[data-fragment]"), at_ms: performance.now() };
});
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { press.section = null; })); // after the click
const underFingers = (section) =>
  (press.section === section && performance.now() - press.at_ms < 2000) ||
  (section.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) ||
  section.querySelector("form[data-dirty]") !== null;

// Never under a person's fingers, and what was typed is kept: an answer may come long after it was asked for.
let typed = new Map();
const notes = (section) => section.querySelectorAll("[data-alarm-id] input[name=note]");
const alarmOf = (input) => input.closest("[data-alarm-id]").dataset.alarmId;
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const section = event.detail.target;
  if (underFingers(section)) {
    event.detail.shouldSwap = false;
    if (!due.has(section)) due.set(section, setTimeout(() => fetchFragment(section), 2000));
  }
  typed = new Map([...notes(section)].filter((n) => n.value).map((n) => [alarmOf(n), n.value]));
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  for (const note of notes(event.detail.target)) note.value = typed.get(alarmOf(note)) ?? note.value;
  index();
  sound.follow();
});

// A picture that a newer one took the place of between the answer and its own request: ask again, once for each.
const missed = new Set();
document.addEventListener("error", ({ target }) => {
  const section = target.matches?.("img") ? target.closest("[data-fragment]") : null;
  if (!section || missed.has(target.src) || due.has(section)) return;
  missed.add(target.src);
  due.set(section, setTimeout(() => fetchFragment(section), 300));
}, true);

function show(row) {
  const cards = devices.get(`${row.site}/${row.device}`);
  if (!cards) {
    refresh("unknown");
    return;
  }
  const time_ms = row.time_ns / 1e6;
  for (const card of cards) {
    const heard_ns = row.received_ns || row.time_ns;
    if (heard_ns > Number(card.dataset.heard)) card.dataset.heard = heard_ns;
    const clock = card.querySelector(".status [data-age], td > [data-age]"); // its own: not that of its picture
    const answered = row.value !== null; // the rows of a device that does not answer hold nothing, and make it no younger
    if (clock && answered && row.time_ns > Number(clock.dataset.age)) clock.dataset.age = row.time_ns;
    if (!clock && answered) refresh("unknown");
    const { judged } = card.dataset; // of a camera: yes, or why not
    if (judged && row.quantity === "usable" && row.value !== null && Boolean(row.value) !== (judged === "yes")) refresh("device");
    if (judged && row.quantity === "unjudged" && row.value && row.value !== judged) refresh("device");
    const cell = card.querySelector(`[data-quantity="${CSS.escape(row.quantity)}"]`);
    if (cell?.querySelector("[data-value]")) {
      cell.querySelector("[data-value]").textContent = value(row.value, cell.dataset.unit, row.quantity);
      let when = cell.querySelector("[data-age]"); // of what is not known: that of the last that was, if any
      if (!when && answered && cell.querySelector(".note")) {
        when = document.createElement("time");
        when.className = "age";
        when.dataset.age = 0;
        cell.querySelector(".note").append(when);
      }
      if (when && answered && row.time_ns > Number(when.dataset.age)) when.dataset.age = row.time_ns;
      const word = cell.querySelector("[data-quality]");
      if (word) {
        word.dataset.quality = quality(row.q);
        const code = t(`quality_code.${row.q}`);
        word.textContent = t(`quality.${quality(row.q)}`) + (code.startsWith("quality_code") ? "" : ` · ${code}`);
      }
    } else if (!("place" in card.dataset)) {
      refresh("unknown");
    }
  }
  for (const el of document.querySelectorAll(`[data-now="${CSS.escape(`${row.site}/${row.device}/${row.quantity}`)}"]`)) {
    el.textContent = value(row.value, el.dataset.unit, row.quantity);
  }
  document.dispatchEvent(new CustomEvent("tocsin:last", { detail: { ...row, time_ms } }));
}

function tick() {
  const now = now_ms();
  for (const el of document.querySelectorAll("[data-age]")) {
    const text = t("live.ago", { age: age((now - Number(el.dataset.age) / 1e6) / 1000) });
    if (el.textContent !== text) el.textContent = text;
  }
  for (const cards of devices.values()) {
    for (const card of cards) {
      markOld(card);
      const { state, heard, staleAfter } = card.dataset;
      if (state !== "ok" && state !== "stale") continue;
      const old = now - Number(heard) / 1e6 > Number(staleAfter) * 1000;
      if (old === (state === "stale")) continue;
      card.dataset.state = old ? "stale" : "ok";
      const mark = card.querySelector('.state[data-state="ok"], .state[data-state="stale"]');
      if (mark) {
        mark.dataset.state = card.dataset.state;
        mark.querySelector(".word").textContent = t(`state.${card.dataset.state}`);
      } else if (old) { // beside an alarm's own mark
        const stale = card.querySelector(".status .state")?.cloneNode(true);
        if (stale) {
          stale.dataset.state = "stale";
          stale.querySelector(".word").textContent = t("state.stale");
          card.querySelector(".status .state").after(stale);
        }
      }
      refresh("unknown");
    }
  }
}
setInterval(tick, 1000);

// One quantity that stopped while its device goes on is stale by itself.
function markOld(card) {
  const newest = Number(card.querySelector(".status [data-age]")?.dataset.age ?? 0);
  for (const cell of card.querySelectorAll(".reading")) {
    const time = Number(cell.querySelector("[data-age]")?.dataset.age ?? newest);
    const old = newest - time > Number(card.dataset.staleAfter) * 1e9;
    if (old === ("old" in cell.dataset)) continue;
    cell.toggleAttribute("data-old", old);
    cell.querySelector(".old-word").hidden = !old;
  }
}

// Inside its dead-band a device sends nothing, but its gateway tells that it answers.
function answering({ site, devices: told = [] }) {
  for (const { id, state, last_ok_ns = 0 } of told) {
    for (const card of devices.get(`${site}/${id}`) ?? []) {
      const now_ns = Math.min(last_ok_ns, now_ms() * 1e6);
      if (state === "ok" && now_ns > Number(card.dataset.heard)) card.dataset.heard = now_ns;
    }
  }
}

const lamp = document.getElementById("live");
const noLive = document.getElementById("no-live");
let told_ms = now_ms(); // when the server last said anything: how old this page is
function connection(state) {
  lamp.dataset.state = state;
  lamp.querySelector("span").textContent = t(`live.${state}`);
  noLive.hidden = state !== "lost";
  const when = new Date(told_ms);
  const two = (n) => String(n).padStart(2, "0");
  noLive.textContent = t("live.no_live", { time: `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}` });
}

// Without a session nothing here is heard again: the server sends the reader to the log-in page and back.
async function stillLoggedIn() {
  const answer = await fetch("/api/v1/me").catch(() => undefined);
  if (answer?.status === 401) location.reload();
}
document.body.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) location.reload();
});

let silence;
function heard() {
  clearTimeout(silence);
  silence = setTimeout(() => { connection("lost"); connect(); }, 15000);
}

const KINDS = ["alarm", "command", "detection", "device", "gateway", "permit", "view"];
let source;
function connect() {
  source?.close();
  source = new EventSource("/api/v1/events");
  const on = (name, act) => source.addEventListener(name, (event) => {
    heard();
    if (name !== "trouble") told_ms = now_ms(); // a heartbeat comes only where nothing else does
    act(JSON.parse(event.data));
  });
  on("hello", ({ now_ns }) => {
    setServerTime(now_ns);
    told_ms = now_ms();
    connection("live");
    KINDS.forEach(refresh);
  });
  on("heartbeat", ({ now_ns }) => { setServerTime(now_ns); connection("live"); });
  on("last", (rows) => { rows.forEach(show); tick(); });
  for (const kind of KINDS) {
    on(kind, (body) => { if (kind === "gateway") answering(body); refresh(kind); });
  }
  on("ended", () => location.reload());
  on("trouble", () => connection("lost"));
  source.onerror = () => {
    connection("lost");
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, 3000);
    stillLoggedIn();
  };
  heard();
}

const box = document.getElementById("filter");
function filter() {
  const wanted = (box?.value ?? "").trim().toLowerCase();
  for (const card of document.querySelectorAll(".devices > .device")) {
    card.hidden = wanted !== "" && !card.dataset.words.toLowerCase().includes(wanted);
  }
}
box?.addEventListener("input", filter);

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("tocsin-theme", root.dataset.theme);
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

index();
connect();
