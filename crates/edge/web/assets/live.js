// Live pages: one line to the node tells progress; the page then fetches itself again, one request at a time.
// WCAG 2.2.2: what moves by itself can be paused. Changes of state are said aloud, the ticking age is not.
(() => {
  "use strict";
  const AGAIN_MS = 2000;
  const REOPEN_MS = 5000;
  const bar = document.getElementById("fresh");
  const main = document.getElementById("main");
  if (!bar || bar.dataset.live !== "true") return;
  const said = document.getElementById("fresh-said");
  const lost = document.getElementById("fresh-lost");
  const pause = document.getElementById("pause");
  const dot = bar.querySelector(".dot");
  // The node's clock decides how old an event is; the browser's only counts on from there.
  let newest = bar.dataset.newest ? Date.parse(bar.dataset.newest) : 0;
  let arrived = Date.now();
  let ageThen = Number(bar.dataset.age);
  // How the node stands, and how it stood when it drew this page, as ids of a line's events: how far it is, and what
  // has stopped. What a page tells beside that is not known of its drawing, so such a page asks once more.
  let seen = null, shown = bar.dataset.drawn;
  let asked = null, paused = false, reached = false, drawn = true, state = "";

  // What everybody sees, and what is read aloud.
  function say(next, words, aloud) {
    // What stands beside the page is as old as the page; it may just have been exchanged.
    document.getElementById("node-told").hidden = next !== "lost";
    if (state === next + words) return;
    bar.classList.remove("on", "lost", "paused");
    bar.classList.add(next);
    lost.textContent = words;
    lost.hidden = words === "";
    if (state !== "") said.textContent = aloud;
    state = next + words;
  }

  function age() {
    const place = document.getElementById("fresh-age");
    if (!newest || !place) return;
    const ms = ageThen + Date.now() - arrived;
    const s = Math.floor(ms / 1000);
    const text = s < 1 ? "under 1 s ago" : s < 60 ? `${s} s ago` : s < 3600 ? `${Math.floor(s / 60)} m ${s % 60} s ago`
      : s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} m ago` : `${Math.floor(s / 86400)} d ago`;
    (place.querySelector("time") ?? place).textContent = text;
  }

  function tell() {
    if (paused) say("paused", "", "Live updates are paused.");
    else if (!reached) say("lost", "Node not reached", "The connection to the node is lost; this page is no longer fresh.");
    else if (!drawn) say("lost", "Page not renewed", "The node could not draw this page; it is asked again. What is shown is no longer fresh.");
    else say("on", "", "Live updates are on.");
  }

  function refresh() {
    // A page that is no more has been answered by one that does not go on by itself.
    if (asked !== null || paused || document.hidden || seen === null || seen === shown || !main.dataset.hxGet) return;
    asked = seen;
    main.dispatchEvent(new CustomEvent("waag:refresh"));
  }

  document.addEventListener("htmx:finally:request", (event) => {
    const told = event.detail.ctx;
    drawn = told.status === "swapped" && told.swap !== "none";
    if (drawn) shown = asked;
    asked = null;
    tell();
    if (drawn) refresh(); else setTimeout(refresh, AGAIN_MS);
  });

  let line = null;
  function open() {
    line = new EventSource(`/live${bar.dataset.of}`);
    line.addEventListener("progress", (event) => {
      const told = JSON.parse(event.data);
      arrived = Date.now();
      ageThen = told.age_ms;
      newest = told.newest ? Date.parse(told.newest) : 0;
      // The event's id is all that this page waits for.
      seen = event.lastEventId;
      reached = true;
      tell();
      if (seen !== shown) { dot.classList.remove("beat"); void dot.offsetWidth; dot.classList.add("beat"); }
      age();
      refresh();
    });
    // A line ends after a while and asks to be opened again: nothing is lost by that.
    line.addEventListener("again", () => { line.close(); open(); });
    line.addEventListener("error", (event) => {
      reached = false;
      tell();
      // A refused line is not tried again by the browser itself.
      if (event.target.readyState === EventSource.CLOSED) setTimeout(open, REOPEN_MS);
    });
  }
  addEventListener("pagehide", () => line.close());

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    tell();
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  // A page that a browser kept and shows again had its line closed.
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  setInterval(age, 1000);
  open();
})();
