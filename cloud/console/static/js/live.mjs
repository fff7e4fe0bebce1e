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
  if (section.contains(document.activeElement) && document.activeElement.matches("input")) {
    due.set(section, setTimeout(() => fetchFragment(section), 2000)); // never under a person's fingers
    return;
  }
  htmx.ajax("GET", section.dataset.fragment, { target: section, swap: "innerHTML" }).catch(() => {});
}
document.body.addEventListener("htmx:afterSwap", () => { index(); sound.follow(); });

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
    const clock = card.querySelector("[data-age]");
    if (clock && row.time_ns > Number(clock.dataset.age)) clock.dataset.age = row.time_ns;
    if (!clock) refresh("unknown");
    const cell = card.querySelector(`[data-quantity="${CSS.escape(row.quantity)}"]`);
    if (cell) {
      cell.querySelector("[data-value]").textContent = value(row.value, cell.dataset.unit, row.quantity);
      const word = cell.querySelector("[data-quality]");
      if (word) {
        word.dataset.quality = quality(row.q);
        const code = t(`quality_code.${row.q}`);
        word.textContent = row.q === 0 ? "" :
          t(`quality.${quality(row.q)}`) + (code.startsWith("quality_code") ? "" : ` · ${code}`);
      }
    } else if (!("place" in card.dataset)) {
      refresh("unknown");
    }
  }
  document.dispatchEvent(new CustomEvent("tocsin:last", { detail: { ...row, time_ms } }));
}

function tick() {
  const now = now_ms();
  for (const el of document.querySelectorAll("[data-age]")) {
    el.textContent = t("live.ago", { age: age((now - Number(el.dataset.age) / 1e6) / 1000) });
  }
  for (const cards of devices.values()) {
    for (const card of cards) {
      const { state, heard, staleAfter } = card.dataset;
      if (state !== "ok" && state !== "stale") continue;
      const old = now - Number(heard) / 1e6 > Number(staleAfter) * 1000;
      if (old === (state === "stale")) continue;
      card.dataset.state = old ? "stale" : "ok";
      const mark = card.querySelector('.state[data-state="ok"], .state[data-state="stale"]');
      if (mark) {
        mark.dataset.state = card.dataset.state;
        mark.querySelector(".word").textContent = t(`state.${card.dataset.state}`);
      }
      refresh("unknown");
    }
  }
}
setInterval(tick, 1000);

const lamp = document.getElementById("live");
function connection(state) {
  lamp.dataset.state = state;
  lamp.querySelector("span").textContent = t(`live.${state}`);
}

let silence;
function heard() {
  clearTimeout(silence);
  silence = setTimeout(() => { connection("lost"); connect(); }, 15000);
}

let source;
function connect() {
  source?.close();
  source = new EventSource("/api/v1/events");
  const on = (name, act) => source.addEventListener(name, (event) => {
    heard();
    act(JSON.parse(event.data));
  });
  on("hello", ({ now_ns }) => {
    setServerTime(now_ns);
    connection("live");
    for (const kind of ["alarm", "device", "gateway"]) refresh(kind);
  });
  on("heartbeat", ({ now_ns }) => { setServerTime(now_ns); connection("live"); });
  on("last", (rows) => { rows.forEach(show); tick(); });
  for (const kind of ["alarm", "device", "gateway"]) on(kind, () => refresh(kind));
  on("ended", () => location.reload());
  on("trouble", () => connection("lost"));
  source.onerror = () => {
    connection("lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
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
