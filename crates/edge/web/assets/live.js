// Live pages: one line to the node tells progress; the page then fetches itself again, one request at a time.
// WCAG 2.2.2: what moves by itself can be paused. Changes of state are said aloud, the ticking age is not.
(() => {
  "use strict";
  const bar = document.getElementById("fresh");
  const main = document.getElementById("main");
  if (!bar || bar.dataset.live !== "true") return;
  const said = document.getElementById("fresh-said");
  const pause = document.getElementById("pause");
  const dot = bar.querySelector(".dot");
  // The node's clock decides how old an event is; the browser's only counts on from there.
  let newest = bar.dataset.newest ? Date.parse(bar.dataset.newest) : 0;
  let arrived = Date.now();
  let ageThen = Number(bar.dataset.age);
  let seen = null, shown = null, busy = false, paused = false, state = "";

  function say(next, words) {
    if (state === next) return;
    bar.classList.remove("on", "lost", "paused");
    bar.classList.add(next);
    if (state !== "") said.textContent = words;
    state = next;
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

  function refresh() {
    if (busy || paused || document.hidden || seen === shown) return;
    busy = true;
    shown = seen;
    main.dispatchEvent(new CustomEvent("waag:refresh"));
  }

  const done = () => { busy = false; refresh(); };
  document.addEventListener("htmx:finally:request", done);

  function open() {
    const line = new EventSource(`/live${bar.dataset.of}`);
    line.addEventListener("progress", (event) => {
      const told = JSON.parse(event.data);
      arrived = Date.now();
      ageThen = told.age_ms;
      newest = told.newest ? Date.parse(told.newest) : 0;
      // The event's id is all that this page waits for.
      if (shown === null) shown = event.lastEventId;
      seen = event.lastEventId;
      if (!paused) say("on", "Live updates are on.");
      if (seen !== shown) { dot.classList.remove("beat"); void dot.offsetWidth; dot.classList.add("beat"); }
      age();
      refresh();
    });
    line.addEventListener("error", () => {
      if (!paused) say("lost", "The connection to the node is lost; this page is no longer fresh.");
      // A refused line is not tried again by the browser itself.
      if (line.readyState === EventSource.CLOSED) setTimeout(open, 5000);
    });
    addEventListener("pagehide", () => line.close(), { once: true });
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    say(paused ? "paused" : "on", paused ? "Live updates are paused." : "Live updates are on.");
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  setInterval(age, 1000);
  open();
})();
