// How values and ages are printed; the same rules as cloud/console/show.py.

export const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

export function t(key, names = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => names[name] ?? "");
}

export function value(told, unit, quantity = "") {
  if (told === null || told === undefined || told === "") return "—";
  if (typeof told === "boolean") return told ? "✓" : "✗";
  if (typeof told !== "number") return String(told);
  if (unit === "deg") return told.toFixed(quantity === "lat" || quantity === "lon" ? 5 : 0);
  if (Number.isInteger(told) && unit === "1") return String(told);
  const size = Math.abs(told);
  return told.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : 2);
}

export function age(seconds) {
  const s = Math.max(Math.floor(seconds), 0);
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    if (s >= 2 * size) return t(`live.${name}`, { n: Math.floor(s / size) });
  }
  return t("live.second", { n: s });
}

// The server's clock, as this page knows it: a wrong clock on a phone must not make fresh values look old.
let skew_ms = Number(document.body.dataset.now) / 1e6 - Date.now();
export const setServerTime = (ns) => { skew_ms = ns / 1e6 - Date.now(); };
export const now_ms = () => Date.now() + skew_ms;

export function localTimes(root) {
  for (const el of root.querySelectorAll("time[data-local]")) {
    if (el.title) continue;
    el.title = el.textContent;
    const when = new Date(el.dateTime);
    const two = (n) => String(n).padStart(2, "0");
    el.textContent = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ` +
      `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  }
}
