// Pages of evidence: copies a text with a button, and takes a pack that is dropped. Without it, both can be done by hand.
(() => {
  "use strict";

  function ready() {
    document.querySelectorAll("button.copy[hidden]").forEach((button) => { button.hidden = false; });
    document.querySelectorAll(".drop-word[hidden]").forEach((word) => { word.hidden = false; });
  }

  async function copy(button) {
    const text = document.getElementById(button.dataset.copy)?.innerText ?? "";
    const first = button.firstChild;
    try {
      await navigator.clipboard.writeText(text);
      first.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
      first.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { first.textContent = "Copy"; }, 2000);
  }

  // What is too long for the node is not sent at all.
  function fits(form) {
    const file = form.querySelector("input[type=file]").files[0];
    const most = Number(form.dataset.bytesMax);
    const good = !file || file.size <= most;
    form.querySelector(".drop-said").textContent = good ? ""
      : `This file has ${Math.ceil(file.size / 1048576)} MiB, and ${Math.floor(most / 1048576)} are taken here. Check it with waag evidence check FILE.`;
    return good;
  }

  const form = (event) => event.target.closest?.("form.drop");
  document.addEventListener("dragover", (event) => {
    const over = form(event);
    if (!over) return;
    event.preventDefault();
    over.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    const left = form(event);
    if (left && !left.contains(event.relatedTarget)) left.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    const on = form(event);
    if (!on) return;
    event.preventDefault();
    on.classList.remove("over");
    if (event.dataTransfer.files.length !== 1) {
      on.querySelector(".drop-said").textContent = "Drop one file.";
      return;
    }
    on.querySelector("input[type=file]").files = event.dataTransfer.files;
    if (fits(on)) on.requestSubmit();
  });
  document.addEventListener("change", (event) => { if (event.target.matches?.("form.drop input[type=file]")) fits(form(event)); });
  document.addEventListener("submit", (event) => { if (form(event) && !fits(form(event))) event.preventDefault(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button.copy");
    if (button) copy(button);
  });
  document.addEventListener("htmx:after:swap", ready);
  ready();
})();
