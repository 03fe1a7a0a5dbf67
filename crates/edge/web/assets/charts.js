// Charts over time: draws what an element's data-chart says, again when it changes. The table behind it says the same.
(() => {
  "use strict";
  const HEIGHT = 240;
  // Between two marks of the upright axis: whole events, of which there is no half.
  const STEPS = [1, 2, 5, ...Array.from({ length: 14 }, (_, i) => [1, 2, 2.5, 5].map((n) => n * 10 ** (i + 1))).flat()];
  // Lines differ by their dashes as well as by their colours.
  const DASHES = [[], [8, 3], [3, 3], [10, 3, 2, 3], [14, 4], [2, 4]];
  const drawn = new Map();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = new Intl.NumberFormat("en");

  function table(chart) {
    const xs = (chart.lines[0]?.values ?? []).map((_, i) => chart.start + i * chart.step);
    return [xs, ...chart.lines.map((line) => line.values)];
  }

  const two = (value) => String(value).padStart(2, "0");
  function tick(seconds, step) {
    const at = new Date(seconds * 1000);
    const day = `${two(at.getUTCDate())}.${two(at.getUTCMonth() + 1)}`;
    const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    return step >= 86400 ? day : step >= 3600 && time === "00:00" ? day : time;
  }

  // Steps of less than a minute have the same words: the first of them says them.
  function ticks(at, step) {
    const words = at.map((seconds) => tick(seconds, step));
    return words.map((word, i) => word === words[i - 1] ? "" : word);
  }

  // A line's piece of the legend: its colour and its dashes, as the line has them.
  function mark(line) {
    const colour = style(`--s${line % 6 + 1}`);
    let at = 0;
    const parts = DASHES[line % 6].map((length, i) => `${i % 2 ? "transparent" : colour} ${at}px ${at += length}px`);
    return parts.length === 0 ? colour : `repeating-linear-gradient(to right, ${parts.join(", ")})`;
  }

  function draw(host) {
    const chart = JSON.parse(host.dataset.chart);
    const old = drawn.get(host);
    if (old && old.lines === chart.lines.length && old.step === chart.step) { old.plot.setData(table(chart)); return; }
    old?.plot.destroy();
    // What the node has drawn stays where no script runs.
    host.replaceChildren();
    const axis = { stroke: style("--quiet"), grid: { stroke: style("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const plot = new uPlot({
      width: host.clientWidth, height: HEIGHT, padding: [8, 24, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, __, most) => [0, Math.max(most * 1.08, 1)] } },
      axes: [
        { ...axis, size: 32, values: (_, at) => ticks(at, chart.step) },
        { ...axis, size: 64, incrs: STEPS, values: (_, at) => at.map((value) => number.format(value)) },
      ],
      legend: { markers: { width: 0, fill: (_, i) => mark(i - 1) } },
      series: [
        { label: "UTC", value: (_, at) => at == null ? "–" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ") },
        ...chart.lines.map((line, i) => ({
          label: line.name, stroke: style(`--s${i % 6 + 1}`), width: 1.75, dash: DASHES[i % 6], points: { show: false },
          value: (_, value) => value == null ? "–" : number.format(value),
        })),
      ],
    }, table(chart), host);
    drawn.set(host, { plot, lines: chart.lines.length, step: chart.step });
  }

  const watch = new MutationObserver((changes) => changes.forEach((change) => draw(change.target)));
  const size = new ResizeObserver((changes) => changes.forEach((change) => {
    const width = Math.floor(change.contentRect.width);
    const one = drawn.get(change.target);
    if (one && width > 0 && one.plot.width !== width) one.plot.setSize({ width, height: HEIGHT });
  }));

  function all() {
    for (const [host, one] of drawn) if (!host.isConnected) { one.plot.destroy(); drawn.delete(host); }
    document.querySelectorAll("[data-chart]").forEach((host) => {
      if (drawn.has(host)) return;
      draw(host);
      watch.observe(host, { attributes: true, attributeFilter: ["data-chart"] });
      size.observe(host);
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const one of drawn.values()) one.plot.destroy();
    drawn.clear();
    all();
  });
  document.addEventListener("htmx:after:swap", all);
  all();
})();
