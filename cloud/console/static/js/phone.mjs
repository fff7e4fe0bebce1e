// This phone's signing key (Ed25519, not extractable, in IndexedDB), its registration, and opening a lock by a tap.
import { t } from "./show.mjs";

const csrf = { "X-CSRF-Token": document.body.dataset.csrf ?? "" };
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
const octets = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function request(asked) {
  return new Promise((done, fail) => {
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
}
async function store(mode) {
  const opening = indexedDB.open("tocsin-phone", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
  return (await request(opening)).transaction("keys", mode).objectStore("keys");
}
const keyOf = async (account) => request((await store("readonly")).get(account));
async function makeKey(account) {
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  await request((await store("readwrite")).put(pair, account));
  return pair;
}
const publicOf = async (pair) => hex(await crypto.subtle.exportKey("raw", pair.publicKey));
const signed = async (pair, bytes) => hex(await crypto.subtle.sign("Ed25519", pair.privateKey, bytes));

async function ask(path, body) {
  const options = body && { method: "POST", headers: { ...csrf, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (!answer.ok || told.problem) throw new Error(told.problem ?? told.error?.message ?? answer.statusText);
  return told;
}

const phone = document.querySelector("[data-phone]");
if (phone) {
  const [line, button] = [phone.querySelector("[role=status]"), phone.querySelector("button")];
  const account = phone.dataset.phone;
  const known = [...document.querySelectorAll(".phones [data-public]")].map((el) => el.dataset.public);
  const show = async () => {
    const pair = await keyOf(account);
    const mine = pair && (await publicOf(pair));
    button.hidden = Boolean(mine && known.includes(mine));
    line.textContent = button.hidden ? t("phone.registered", { holder: mine.slice(0, 16) }) : t("phone.not_registered");
  };
  const unsupported = () => { line.textContent = t("phone.unsupported"); button.hidden = true; };
  button.addEventListener("click", async () => {
    try {
      const pair = (await keyOf(account)) ?? (await makeKey(account));
      const proof = await signed(pair, new TextEncoder().encode(`HOLD1${account}`));
      const mine = await publicOf(pair);
      await ask("/api/v1/me/keys", { public: mine, proof, name: navigator.platform || "phone" });
      known.push(mine);
      await show();
    } catch (error) {
      if (error.name === "NotSupportedError") unsupported();
      else line.textContent = error.message;
    }
  });
  if (globalThis.crypto?.subtle && globalThis.indexedDB) show().catch(unsupported);
  else unsupported();
}

async function ended(at, command) {
  for (let waited = 0; waited < 100; waited += 1) {
    const told = await ask(`${at}/commands/${command}`);
    if (told.ended) {
      if (!told.done) throw new Error(told.text);
      return told;
    }
    await pause(300);
  }
  throw new Error(t("live.lost"));
}

let busy = false; // the button itself may be swapped away meanwhile
async function unlock(button) {
  if (busy) return;
  busy = true;
  const page = button.closest(".permit-page");
  const line = page.querySelector(".unlock-told");
  const at = `/permits/${page.dataset.permit}/locks/${button.dataset.lock}`;
  try {
    const pair = await keyOf(page.dataset.me);
    if (!pair) throw new Error(t("phone.not_registered"));
    const mine = await publicOf(pair);
    line.textContent = t("phone.unlocking");
    const begun = await ask(`${at}/challenge`, { public: mine });
    const { nonce } = await ended(at, begun.command);
    line.textContent = t("phone.signing");
    const signature = await signed(pair, octets(begun.before + nonce + begun.after));
    const sent = await ask(`${at}/unlock`, { public: mine, nonce, signature });
    await ended(at, sent.command);
    line.textContent = t("phone.opened");
  } catch (error) {
    line.textContent = t("phone.unlock_failed", { why: error.message });
  }
  busy = false;
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-lock]");
  if (button) unlock(button);
});
