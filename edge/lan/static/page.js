import * as key from "/key.js";

const RUNNING = ["active", "closing"], MAY_GO_IN = ["active", "emergency"];
const POLL_MS = 2000, SIGN_MS = 20000, STALE_MS = 6000;
const $ = (id) => document.getElementById(id);
const words = await (await fetch("/words.json")).json();
let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let state = null, mine = null, heardMs = 0, busy = false, ended = false, held = false; // held: a finger is down, so nothing moves under it

const t = (name) => words.text[name]?.[language === "zh" ? 0 : 1] ?? name;
const word = (kind, name) => words[kind]?.[name]?.[language === "zh" ? 0 : 1] ?? name;
const el = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((c) => c != null));
  return made;
};
const span = (ns) => {
  const s = Math.max(0, Math.round(ns / 1e9));
  if (s < 100) return `${s} ${t("s")}`;
  return s < 6000 ? `${Math.round(s / 60)} ${t("min")}` : `${(s / 3600).toFixed(1)} ${t("h")}`;
};
const nowNs = () => state.now_ns + (Date.now() - heardMs) * 1e6;
const ago = (ns) => (ns == null ? t("unheard") : `${span(nowNs() - ns)} ${t("ago")}`);

const say = (text, bad = false) => {
  const told = $("told");
  told.textContent = text;
  told.className = bad ? "bad" : "";
  told.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { told.hidden = true; }, bad ? 9000 : 2500);
};

/** It answers, but knows this phone no more: it started anew, or a shift is over. */
const loggedOut = () => { ended ||= state !== null; state = null; heardMs = Date.now(); };

const post = async (path, body) => {
  const headers = { "content-type": "application/json" };
  if (state) headers["x-csrf"] = state.csrf;
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(45000) });
  const told = await answer.json();
  if (answer.status === 401 && path !== "/api/login") { loggedOut(); show(); }
  return told;
};

const ask = async (permit, action, said = {}) => {
  busy = true;
  show();
  try {
    const told = await post("/api/ask", { permit, action, said });
    if (!told.done) say((language === "zh" ? told.zh : told.en) || told.error, true);
    return told;
  } catch {
    say(t("lost"), true);
    return { done: false };
  } finally {
    busy = false;
    await poll();
  }
};
const tap = (permit, action, said) => async () => { if ((await ask(permit, action, said)).done) say(t("done")); };

const sure = (text, wantsReason, people = []) => new Promise((done) => {
  const box = $("ask");
  const ticks = people.map((who) => el("input", { type: "checkbox", value: who.account, checked: who.inside }));
  $("ask-list").replaceChildren(...people.map((who, n) => el("label", { class: "tick" }, ticks[n], who.name)));
  $("ask-text").textContent = text;
  $("ask-label").hidden = !wantsReason;
  $("ask-label").querySelector("span").textContent = t("why");
  $("ask-input").value = "";
  $("ask-yes").textContent = t("yes");
  $("ask-no").textContent = t("no");
  box.onclose = () => done(box.returnValue === "yes" ? { reason: $("ask-input").value, inside: ticks.filter((one) => one.checked).map((one) => one.value).join("\n") } : null);
  box.returnValue = "no";
  box.showModal();
});

const unlock = (permit, lock) => async () => {
  const pair = await key.find(state.account).catch(() => undefined);
  if (!pair) { say(t("no_key"), true); return; }
  const begun = await ask(permit, "challenge", { lock, public: await key.publicKey(pair) });
  if (!begun.done) return;
  const signature = await key.sign(pair, begun.told.sign);
  if ((await ask(permit, "unlock", { lock, public: await key.publicKey(pair), signature })).done) say(t("done"));
};

const register = async () => {
  try {
    const pair = (await key.find(state.account)) ?? (await key.make(state.account));
    const proof = await key.sign(pair, key.ofText(`HOLD1${state.account}`));
    mine = { account: state.account, holder: await key.holder(pair) };
    if ((await ask("", "register", { public: await key.publicKey(pair), proof })).done) say(t("registered"));
  } catch { say(t("no_crypto"), true); }
};

/** What this phone is to the cloud, and the button where it is nothing yet. */
const phone = () => {
  const status = mine?.account === state.account && mine.holder ? state.phones[mine.holder] : undefined;
  const known = { confirmed: "phone_confirmed", waiting: "phone_waiting", revoked: "phone_revoked", taken: "phone_taken", "no-role": "phone_no_role", "bad-proof": "phone_bad_proof" };
  const told = status && (known[status] ? t(known[status]) : `${t("phone_refused")}${status}`);
  return el("section", { id: "phone" }, el("h2", {}, t("this_phone")),
    status ? el("p", { class: status === "confirmed" ? "good" : status === "waiting" ? "warn" : "value bad" }, told) : el("p", { class: "age" }, t("phone_new")),
    status ? el("p", { class: "hash" }, mine.holder.replace(/(....)(?=.)/g, "$1 ")) : null,
    status ? null : el("button", { type: "button", class: "quiet", onclick: register }, t("register")));
};

const findMine = async () => {
  const pair = await key.find(state.account).catch(() => undefined);
  mine = { account: state.account, holder: pair ? await key.holder(pair).catch(() => "") : "" };
};

const loginPage = () => {
  const account = el("input", { name: "account", autocomplete: "username", required: true });
  const pin = el("input", { name: "pin", type: "password", inputmode: "numeric", autocomplete: "current-password", required: true });
  const form = el("form", {}, ended ? el("p", { class: "warn", role: "status" }, t("again")) : null, el("label", {}, el("span", {}, t("account")), account), el("label", {}, el("span", {}, t("pin")), pin),
    el("div", { class: "two" }, el("button", { type: "submit" }, t("login"))));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const told = await post("/api/login", { account: account.value, pin: pin.value });
      if (told.done) await poll(); else say(language === "zh" ? told.zh : told.en, true);
    } catch { say(t("lost"), true); }
  });
  return el("section", {}, form);
};

const person = (p, who) => {
  const what = who.inside ? t("went_in") : who.since_ns == null ? t("not_in") : t("came_out");
  const action = who.inside ? "exit" : "enter";
  return el("div", { class: "row" },
    el("span", {}, who.name, " ", el("span", { class: "age" }, who.since_ns == null ? what : `${what} ${ago(who.since_ns)}`)),
    !who.inside && !MAY_GO_IN.includes(p.state) ? null : el("button", { type: "button", class: who.inside ? "" : "quiet", disabled: busy, onclick: tap(p.permit, action, { person: who.account }) }, t(action)));
};

const lockRow = (p, l) => {
  const bolt = l.bolt_out == null ? t("unheard") : l.bolt_out ? t("locked") : t("open");
  const live = l.grant_until_ns != null && l.grant_until_ns > nowNs();
  const facts = [bolt, l.door_open ? t("door_open") : null, ago(l.heard_ns), live ? `${t("grant")} ${span(l.grant_until_ns - nowNs())}` : t("no_grant"), l.in_doubt ? t("doubt") + l.in_doubt : null];
  const does = l.bolt_out === false
    ? el("button", { type: "button", class: "quiet", disabled: busy, onclick: tap(p.permit, "relock", { lock: l.lock }) }, t("relock"))
    : el("button", { type: "button", disabled: busy || !live, onclick: unlock(p.permit, l.lock) }, t("unlock"));
  return el("div", { class: "row" }, el("span", {}, l.lock, " ", el("span", { class: "age" }, facts.filter(Boolean).join(" · "))), does);
};

const value = (v) => el("div", { class: "row" },
  el("span", {}, `${word("quantity", v.quantity)} `, el("span", { class: "age" }, `${v.device} · ${ago(v.at_ns)}`)),
  el("span", { class: v.ok ? "value" : "value bad" }, v.value == null ? "–" : `${+v.value.toPrecision(4)} ${v.unit.replace(/[\[\]{}]/g, "")}`));

const permitCard = (p) => {
  const inside = p.roster.filter((who) => who.inside);
  const stopped = ["suspended", "emergency", "expired"].includes(p.state);
  const inForce = stopped || RUNNING.includes(p.state); // before that nothing here is answered but by a refusal
  const mood = stopped ? "bad" : p.state === "active" ? "good" : "warn";
  const left = p.until_ns - nowNs();
  const count = p.headcount_known ? String(inside.length) : "?";
  const evacuate = stopped ? el("p", { class: "banner bad", role: "alert" }, t("evacuate"), !p.headcount_known ? t("unknown") : inside.length ? inside.map((who) => who.name).join("、") : t("nobody")) : null;
  return el("section", { class: mood === "bad" ? "bad" : "", "data-permit": p.permit },
    el("h1", {}, p.space, " ", el("span", { class: `pill ${mood}` }, word("state", p.state)), p.cause ? el("span", { class: "warn" }, ` ${word("cause", p.cause)}`) : null),
    el("span", { class: "age" }, `${p.permit} · ${ago(p.since_ns)}`), evacuate,
    el("div", { class: "two" },
      el("div", {}, el("div", { class: "big" }, count), el("span", { class: "age" }, p.headcount_known ? t("inside") : t("unknown"))),
      el("div", {}, el("div", { class: left < 10 * 60e9 ? "big warn" : "big" }, left > 0 ? span(left) : "0"), el("span", { class: "age" }, left > 0 ? t("left") : t("over")))),
    inForce ? el("div", { class: "sos" }, asks(p, "sos", "bad", t("sure_sos"), false)) : el("p", { class: "age" }, t("not_begun")),
    el("h2", {}, t("gas")), ...p.values.map(value), el("h2", {}, t("roster")), ...p.roster.map((who) => person(p, who)),
    p.locks.length ? el("h2", {}, t("locks")) : null, ...p.locks.map((l) => lockRow(p, l)),
    p.rescue_call || p.rescue_plan ? el("h2", {}, t("rescue")) : null,
    p.rescue_call || p.rescue_plan ? el("div", { class: "row" }, el("span", {}, p.rescue_plan),
      /^[+\d][\d ()-]*$/.test(p.rescue_call) ? el("a", { class: "call", href: `tel:${p.rescue_call}` }, p.rescue_call) : el("strong", {}, p.rescue_call)) : null,
    inForce ? el("div", { class: "two" },
      asks(p, "roll-call", "", t("sure_roll_call"), false, p.roster),
      RUNNING.includes(p.state) ? asks(p, "suspend", "", t("sure_suspend"), true) : null,
      p.state === "emergency" ? asks(p, "end-rescue", "", t("sure_end_rescue"), true) : asks(p, "emergency", "", t("sure_emergency"), true)) : null);
};

const asks = (p, action, mood, text, wantsReason, people) => el("button", {
  type: "button", class: mood || "quiet", disabled: busy,
  onclick: async () => { const said = await sure(text, wantsReason, people); if (said) await tap(p.permit, action, said)(); },
}, t(action));

function show() {
  if (held) return;
  const focused = [...$("main").querySelectorAll("button")].indexOf(document.activeElement);
  draw();
  if (focused >= 0) $("main").querySelectorAll("button")[focused]?.focus();
}

function draw() {
  document.documentElement.lang = language;
  const cloud = $("cloud"), old = heardMs > 0 && Date.now() - heardMs > STALE_MS;
  cloud.hidden = !state;
  $("stale").hidden = !old;
  if (old) $("stale").textContent = state ? t("stale").replace("{age}", span((Date.now() - heardMs) * 1e6)) : t("lost");
  if (!state) { if (!$("main").querySelector("form")) $("main").replaceChildren(loginPage()); return; }
  $("gateway").textContent = state.gateway;
  cloud.textContent = state.cloud_lost_ns == null ? t("cloud_there") : `${t("cloud_gone")} ${span(nowNs() - state.cloud_lost_ns)}`;
  cloud.className = `pill ${state.cloud_lost_ns == null ? "good" : "warn"}`;
  const cards = state.permits.map(permitCard);
  $("main").replaceChildren(...(cards.length ? cards : [el("section", {}, t("none"))]),
    phone(),
    el("div", { class: "two" }, el("p", { class: "age" }, state.name),
      el("button", { type: "button", class: "quiet", onclick: async () => { await post("/api/logout", {}); state = null; show(); } }, t("logout"))));
}

async function poll() {
  try {
    const of = state && mine?.account === state.account ? `?holder=${mine.holder}` : "";
    const answer = await fetch(`/api/state${of}`, { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (answer.ok) { state = await answer.json(); heardMs = Date.now(); ended = false; if (mine?.account !== state.account) await findMine(); } else if (answer.status === 401) loggedOut();
  } catch { /* shown by its age */ }
  show();
}
const sign = () => { if (state && !document.hidden) for (const p of state.permits) post("/api/ask", { permit: p.permit, action: "heartbeat", said: {} }).catch(() => {}); };

$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
  $("main").replaceChildren();
  show();
});
$("main").addEventListener("pointerdown", () => { held = true; });
for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => setTimeout(() => { held = false; }, 50));
await poll();
setInterval(poll, POLL_MS);
setInterval(sign, SIGN_MS);
