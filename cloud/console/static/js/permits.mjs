// Pages of permits: minutes left, photos, the attendant's sign of life; forms that are being filled in are left alone.
import { now_ms, t } from "./show.mjs";

const csrf = { "X-CSRF-Token": document.body.dataset.csrf ?? "" };
const page = document.querySelector(".permit-page");

function countdown() {
  for (const el of document.querySelectorAll("[data-until]")) {
    const minutes = Math.floor((Number(el.dataset.until) / 1e6 - now_ms()) / 60000);
    const text = minutes < 0 ? t("permit.over") : t("permit.min_left", { n: minutes });
    if (el.textContent !== text) el.textContent = text;
    el.toggleAttribute("data-soon", minutes < 30);
  }
}
setInterval(countdown, 1000);

// What somebody has begun to fill in is never swapped away, and what was opened stays open.
document.addEventListener("input", (event) => event.target.closest("form[data-form]")?.setAttribute("data-dirty", ""));
let open = [];
const folds = (section) => [...section.querySelectorAll("details")];
document.body.addEventListener("htmx:beforeSwap", (event) => {
  open = folds(event.detail.target).filter((d) => d.open).map((d) => d.dataset.action ?? d.className);
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  for (const fold of folds(event.detail.target)) fold.open ||= open.includes(fold.dataset.action ?? fold.className);
  if (page) page.querySelector(".sos").hidden = !page.querySelector(".permit-now[data-sos]"); // itself it is never swapped: no tap is lost
  countdown();
  duty();
});

// A photo is made small here, sent at once, and named in the form by its SHA-256.
const LONGEST = 1600;
async function shrunk(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.8));
}

async function keep(input) {
  const box = input.closest("[data-photo]");
  const told = box.querySelector(".photo-told");
  for (const file of input.files) {
    told.textContent = t("permit.photo_sending");
    try {
      const small = await shrunk(file);
      const where = `/api/v1/permit-ledger/photos/${box.dataset.photo}`;
      const answer = await fetch(where, { method: "POST", headers: csrf, body: small });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error?.message ?? answer.statusText);
      const named = document.createElement("input");
      Object.assign(named, { type: "hidden", name: box.dataset.name, value: body.sha256 });
      const thumb = document.createElement("img");
      thumb.alt = "";
      thumb.src = URL.createObjectURL(small);
      if (box.dataset.name === "photo") box.querySelectorAll(".thumbs > *").forEach((old) => old.remove());
      box.querySelector(".thumbs").append(thumb, named);
      told.textContent = t("permit.photo_kept");
    } catch (error) {
      told.textContent = t("permit.photo_failed", { why: error.message });
    }
  }
  input.value = "";
}
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-photo] input[type=file]")) keep(event.target);
});

// Times are filled in as the clock on the wall says; the server is told how far that is from UTC.
const begins = document.querySelector("[data-begins]");
if (begins) {
  const when = new Date(Number(begins.dataset.begins) / 1e6);
  const behind = when.getTimezoneOffset();
  begins.value = new Date(when.getTime() - behind * 60000).toISOString().slice(0, 16);
  begins.form.elements.behind_utc_min.value = behind;
  begins.closest("label").querySelector(".utc").hidden = true;
}

// While the attendant looks at this page it says so every 20 s, and keeps the screen on.
let wake;
async function duty() {
  const line = page?.querySelector("[data-duty]");
  if (!line || document.visibilityState !== "visible") return;
  if (navigator.wakeLock && (!wake || wake.released)) wake = await navigator.wakeLock.request().catch(() => undefined);
  const answer = await fetch(`/api/v1/permits/${page.dataset.permit}/attendant`, { method: "POST", headers: csrf }).catch(() => undefined);
  const told = page.querySelector("[data-duty] [role=status]");
  if (told) told.textContent = t(answer?.ok ? "permit.sign_sent" : "permit.sign_lost");
}
setInterval(duty, 20000);
document.addEventListener("visibilitychange", duty);

// A refusal stands at the address of what was asked: a reload shows the permit and asks nothing again.
if (page) history.replaceState(null, "", `/permits/${page.dataset.permit}`);

navigator.serviceWorker?.register("/static/js/worker.js", { scope: "/" }).catch(() => {});
countdown();
duty();
