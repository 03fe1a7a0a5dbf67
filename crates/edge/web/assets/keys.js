// Keys: `/` finds, `g` and a letter goes, `j` and `k` choose, Enter opens, `?` helps. None while typing in a field.
// WCAG 2.1.4: no key does anything but move; all can be done with links and buttons as well.
(() => {
  "use strict";
  const places = { o: "/", p: "/operations", c: "/cash", d: "/subscriptions", e: "/ledger", i: "#find" };
  let waiting = 0;

  const choices = () => [...document.querySelectorAll(".list tbody tr, .timeline > li")];

  function choose(step) {
    const all = choices();
    if (all.length === 0) return;
    const now = all.findIndex((one) => one.hasAttribute("data-chosen"));
    const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1);
    // An attribute of its own, which a page that renews itself leaves alone.
    all.forEach((one) => one.removeAttribute("data-chosen"));
    all[next].setAttribute("data-chosen", "");
    all[next].scrollIntoView({ block: "nearest" });
    // The link or summary inside takes the focus, so that Enter and screen readers follow.
    all[next].querySelector("a, summary, button")?.focus({ preventScroll: true });
  }

  // Where no event is chosen, the newest one of those shown is, and that is the last.
  function verify() {
    const chosen = ".timeline > li[data-chosen]";
    if (!document.querySelector(chosen) && document.querySelector(".timeline > li .verify")) choose(-1);
    document.querySelector(`${chosen} .verify`)?.click();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const find = document.getElementById("find");
    if (waiting && Date.now() - waiting < 1500) {
      waiting = 0;
      const place = places[event.key];
      if (place === "#find") { event.preventDefault(); find.focus(); } else if (place) location.assign(place);
      return;
    }
    switch (event.key) {
      case "/": event.preventDefault(); find.focus(); find.select(); break;
      case "g": waiting = Date.now(); break;
      case "j": choose(1); break;
      case "k": choose(-1); break;
      case "v": verify(); break;
      case "p": document.getElementById("pause")?.click(); break;
      case "?": location.assign("/help"); break;
    }
  });
})();
