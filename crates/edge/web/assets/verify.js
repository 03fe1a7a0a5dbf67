// The Verify buttons: fetch entry, proof file and keys of one position, check them here, and show each step.
import { check, fromBase64 } from "./proof.js";

const words = { good: "holds", bad: "fails", unknown: "unchecked" };
const shapes = { good: "●", bad: "■", unknown: "▲" };
const grades = { good: "good", bad: "bad", unknown: "warning" };

function mark(state) {
  const mark = document.createElement("span");
  mark.className = `mark ${grades[state]}`;
  const shape = document.createElement("span");
  shape.setAttribute("aria-hidden", "true");
  shape.textContent = shapes[state];
  mark.append(shape, ` ${words[state]}`);
  return mark;
}

function show(place, steps, own) {
  const bad = steps.some((step) => step.state === "bad");
  const unknown = steps.some((step) => step.state === "unknown");
  place.className = `verdict ${bad ? "bad" : unknown ? "warning" : "good"}`;
  const line = document.createElement("p");
  line.textContent = bad ? "Not proven: do not rely on this entry."
    : unknown ? "The entry is under this checkpoint, but the checkpoint's signature was not checked."
    : own ? "Proven: this entry is in the ledger of your key."
    : "Proven under the key that this node offers. Compare it with the key you were given.";
  const list = document.createElement("ol");
  for (const step of steps) {
    const item = document.createElement("li");
    const text = document.createElement("span");
    const name = document.createElement("strong");
    name.textContent = `${step.name}: `;
    text.append(name, step.detail);
    item.append(mark(step.state), text);
    list.append(item);
  }
  place.replaceChildren(line, list);
}

async function verify(button) {
  const { position, leaf } = button.dataset;
  const place = document.getElementById(`v${position}`);
  const own = document.getElementById("vkey")?.value.trim() ?? "";
  button.disabled = true;
  try {
    const answer = await fetch(`/proof/${position}.json`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`the node answered ${answer.status} for the proof`);
    const told = await answer.json();
    show(place, await check({ entry: fromBase64(told.entry), file: told.proof, keys: told.keys, shown: leaf, position, own }), own);
  } catch (error) {
    show(place, [{ name: "Fetching", state: "bad", detail: String(error.message ?? error) }], own);
  } finally {
    button.disabled = false;
    button.focus({ preventScroll: true });
  }
}

function ready() {
  document.querySelectorAll("button.verify[hidden]").forEach((button) => { button.hidden = false; });
  const form = document.getElementById("own-key");
  if (form) form.hidden = false;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.verify");
  if (button) verify(button);
});
document.addEventListener("submit", (event) => { if (event.target.id === "own-key") event.preventDefault(); });
document.addEventListener("htmx:after:swap", ready);
ready();
