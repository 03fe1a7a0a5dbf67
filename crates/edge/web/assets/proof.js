// Checks a .tlog-proof file in the browser, with WebCrypto and nothing of the node: RFC 6962 hashes, the inclusion
// path of RFC 9162 §2.1.3.2, the signed note of C2SP signed-note under a vkey whose name is the checkpoint's origin.
// Each step gives { name, state: "good" | "bad" | "unknown", detail }; the proof holds only when none is bad.

const utf8 = new TextEncoder();
const HEADER = "c2sp.org/tlog-proof@v1";

/** Strict base 64 (RFC 4648 §3.5): atob alone takes white space, missing padding and stray bits at the end. */
export function fromBase64(text) {
  const binary = atob(text);
  if (btoa(binary) !== text) throw new Error("the base 64 is not in its one canonical form");
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

export function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
export const leafHash = (entry) => sha256(joined(Uint8Array.of(0), entry));
const nodeHash = (left, right) => sha256(joined(Uint8Array.of(1), left, right));
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

function decimal(text) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw new Error(`"${text}" is no plain number`);
  return BigInt(text);
}

function hash(text) {
  const bytes = fromBase64(text);
  if (bytes.length !== 32) throw new Error("a hash has 32 bytes");
  return bytes;
}

/** Takes a proof file apart; throws where it is malformed. */
export function parse(file) {
  const cut = file.indexOf("\n\n");
  if (cut < 0) throw new Error("the file has no checkpoint");
  const lines = file.slice(0, cut).split("\n");
  if (lines.shift() !== HEADER) throw new Error("the file is no tlog-proof");
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = lines.shift() ?? "";
  if (!index.startsWith("index ")) throw new Error("the file has no index");
  return { index: decimal(index.slice(6)), path: lines.map(hash), note: file.slice(cut + 2) };
}

/** The text and the signatures of a signed note. */
export function parseNote(note) {
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0) throw new Error("the checkpoint has no signature");
  const text = note.slice(0, cut + 1);
  const signatures = note.slice(cut + 2).split("\n").filter(Boolean).map((line) => {
    const parts = line.split(" ");
    if (parts.length !== 3 || parts[0] !== "\u2014") throw new Error("a signature line is malformed");
    const bytes = fromBase64(parts[2]);
    return { name: parts[1], id: bytes.slice(0, 4), signature: bytes.slice(4) };
  });
  const [origin, size, root] = text.split("\n");
  return { text, signatures, origin, size: decimal(size ?? ""), root: hash(root ?? "") };
}

/** The name, id and public key of a vkey; throws where its id does not follow from the others. */
export async function parseKey(vkey) {
  const first = vkey.indexOf("+");
  const second = vkey.indexOf("+", first + 1);
  if (first < 1 || second < 0) throw new Error("the key is no vkey");
  const name = vkey.slice(0, first);
  const id = Uint8Array.from(vkey.slice(first + 1, second).match(/../g) ?? [], (two) => parseInt(two, 16));
  const typed = fromBase64(vkey.slice(second + 1));
  if (typed.length !== 33 || typed[0] !== 1) throw new Error("the key is not an Ed25519 key");
  const computed = (await sha256(joined(utf8.encode(name), Uint8Array.of(10), typed))).slice(0, 4);
  if (!same(id, computed)) throw new Error("the key's id does not follow from its name and bytes");
  return { name, id, bytes: typed.slice(1) };
}

/** The root that a leaf and a path lead to (RFC 9162 §2.1.3.2). */
export async function rootOf(leaf, index, size, path) {
  if (index >= size) throw new Error("the entry's position is not below the checkpoint's size");
  let fn = index, sn = size - 1n, node = leaf;
  for (const step of path) {
    if (sn === 0n) throw new Error("the path is too long");
    if ((fn & 1n) === 1n || fn === sn) {
      node = await nodeHash(step, node);
      while ((fn & 1n) === 0n && fn !== 0n) { fn >>= 1n; sn >>= 1n; }
    } else {
      node = await nodeHash(node, step);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw new Error("the path is too short");
  return node;
}

/** Checks the note's signature by a vkey; null where this browser cannot. */
async function signed(note, key) {
  const line = note.signatures.find((one) => one.name === key.name && same(one.id, key.id));
  if (!line) throw new Error("no line of the checkpoint is signed by this key");
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key.bytes, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, line.signature, utf8.encode(note.text));
}

/**
 * All steps of one proof. `shown` is the leaf hash on the page, `position` where the page says the entry stands;
 * `own` is the reader's vkey, or empty for those the node offers.
 */
export async function check({ entry, file, keys, shown, position, own }) {
  const steps = [];
  const step = async (name, work) => {
    try {
      const [state, detail, value] = await work();
      steps.push({ name, state, detail });
      return value;
    } catch (error) {
      steps.push({ name, state: "bad", detail: String(error.message ?? error) });
      return undefined;
    }
  };
  const leaf = await step("Entry", async () => {
    const leaf = await leafHash(entry);
    const text = toBase64(leaf);
    return text === shown ? ["good", `${entry.length} sealed bytes hash to the leaf shown, ${text}`, leaf]
      : ["bad", `the sealed bytes hash to ${text}, the page shows ${shown}`, leaf];
  });
  const proof = await step("Proof file", async () => {
    const proof = parse(file);
    if (proof.index !== BigInt(position)) return ["bad", `it proves position ${proof.index}, not ${position}`, proof];
    return ["good", `position ${proof.index}, a path of ${proof.path.length} hashes`, proof];
  });
  const note = await step("Checkpoint", async () => {
    const note = parseNote(proof.note);
    return ["good", `${note.origin}: ${note.size} entries under root ${toBase64(note.root)}`, note];
  });
  await step("Inclusion", async () => {
    const root = await rootOf(leaf, proof.index, note.size, proof.path);
    return same(root, note.root) ? ["good", "the path leads from the entry to the checkpoint's root"]
      : ["bad", `the path leads to ${toBase64(root)}, which is not the checkpoint's root`];
  });
  await step("Signature", async () => {
    let last = new Error("the node offers no key");
    for (const vkey of own ? [own] : keys) {
      try {
        const key = await parseKey(vkey.trim());
        if (key.name !== note.origin) throw new Error(`the key speaks for ${key.name}, not for ${note.origin}`);
        const answer = await signed(note, key);
        if (answer === null) return ["unknown", "this browser has no Ed25519; the signature was not checked"];
        if (answer) return ["good", `signed by ${own ? "the key you gave" : "the key this node offers"}, ${vkey.trim()}`];
        return ["bad", "the signature does not fit the checkpoint"];
      } catch (error) { last = error; }
    }
    throw last;
  });
  return steps;
}
