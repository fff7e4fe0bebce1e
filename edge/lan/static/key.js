// The phone's own signing key (Ed25519, WebCrypto): made here, kept in IndexedDB, not extractable.
const open = () => new Promise((done, fail) => {
  const asked = indexedDB.open("tocsin-key", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("keys");
  asked.onsuccess = () => done(asked.result);
  asked.onerror = () => fail(asked.error);
});
const inStore = async (mode, work) => {
  const db = await open();
  return new Promise((done, fail) => {
    const asked = work(db.transaction("keys", mode).objectStore("keys"));
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
};
const hex = (buffer) => Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, "0")).join("");
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** The key pair of an account on this phone; undefined where it has none. */
export const find = (account) => inStore("readonly", (store) => store.get(account));

/** A new key pair of an account, kept. */
export const make = async (account) => {
  const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
  await inStore("readwrite", (store) => store.put(pair, account));
  return pair;
};

/** The public key, hex. */
export const publicKey = async (pair) => hex(await crypto.subtle.exportKey("raw", pair.publicKey));

/** The short id by which people and grants name a public key: SHA-256, cut to 8 bytes, hex. */
export const holder = async (pair) => hex(await crypto.subtle.digest("SHA-256", bytes(await publicKey(pair)))).slice(0, 16);

/** The signature over bytes given as hex, hex. */
export const sign = async (pair, message) => hex(await crypto.subtle.sign({ name: "Ed25519" }, pair.privateKey, bytes(message)));

/** Text as hex of its UTF-8. */
export const ofText = (text) => hex(new TextEncoder().encode(text));
