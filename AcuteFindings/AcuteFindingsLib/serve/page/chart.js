// The probabilities of all slices: drawn live, a click or a drag goes to the slice.

import { el, svg } from "./dom.js";
import { probability } from "./words.js";

const HEIGHT = 190;
const EDGE = { left: 34, right: 12, top: 16, bottom: 30 };
const DASHES = ["", "6 3", "2 3", "7 3 2 3", "1 2", "9 3 1 3"];
const COLORS = ["c1", "c0", "c2", "c3", "c4", "c5", "c6"];
const MOST_NAMED = 5;

/**
 * Return the chart's `element` and `mark(place)`, which moves its cursor.
 *
 * `go(place)` is called with the place of a slice in the list; `meanings` are the labels in words.
 */
export function sliceChart(chart, { main, meanings, go }) {
  const { slices, threshold } = chart;
  const labels = [...new Set([main, ...chart.labels.map((label) => label.name ?? label)])];
  const place = el("div", { class: "plot-place" });
  const tip = el("p", { class: "tip", hidden: true });
  const cursor = svg("line", { class: "cursor" });
  const dot = svg("circle", { class: "cursor-dot", r: 4.5 });
  let width = 0;
  let current = 0;

  const x = (at) => EDGE.left + ((at + 0.5) / slices.length) * (width - EDGE.left - EDGE.right);
  const y = (value) => EDGE.top + (1 - value) * (HEIGHT - EDGE.top - EDGE.bottom);
  const nearest = (event) => {
    const share = (event.clientX - place.getBoundingClientRect().left - EDGE.left) / (width - EDGE.left - EDGE.right);
    return Math.max(0, Math.min(slices.length - 1, Math.floor(share * slices.length)));
  };

  function draw() {
    width = place.clientWidth;
    if (!width) return;
    const picture = svg(
      "svg",
      { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": described(chart, main, meanings) },
      runs().map(([first, last]) => svg("rect", { class: "run", x: x(first - 0.5), y: EDGE.top, width: x(last + 0.5) - x(first - 0.5), height: y(0) - EDGE.top })),
      runs().slice(0, MOST_NAMED).map(([first, last]) =>
        svg("text", { class: "run-name", x: Math.min(Math.max(x((first + last) / 2), 60), width - 60), y: EDGE.top - 4, "text-anchor": "middle" }, first === last ? `${slices[first].number}` : `${slices[first].number}–${slices[last].number}`),
      ),
      [0, 0.5, 1].map((value) => [
        svg("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
        svg("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, String(value)),
      ]).flat(),
      ticks().map((at) => svg("text", { x: x(at), y: HEIGHT - 14, "text-anchor": "middle" }, String(slices[at].number))),
      svg("text", { x: (EDGE.left + width - EDGE.right) / 2, y: HEIGHT - 1, "text-anchor": "middle" }, "Slice"),
      svg("line", { class: "threshold", x1: EDGE.left, x2: width - EDGE.right, y1: y(threshold), y2: y(threshold) }),
      svg("text", { class: "threshold-name", x: width - EDGE.right, y: y(threshold) - 4, "text-anchor": "end" }, `threshold ${threshold.toFixed(2)}`),
      labels.toReversed().map((label) => {
        const number = labels.indexOf(label);
        return svg("polyline", {
          class: label === main ? "line main" : "line",
          style: `stroke: var(--${COLORS[number % COLORS.length]})`,
          "stroke-dasharray": DASHES[number % DASHES.length],
          points: slices.map((slice, at) => `${x(at).toFixed(1)},${y(slice.probabilities[label]).toFixed(1)}`).join(" "),
        });
      }),
      cursor,
      dot,
    );
    place.replaceChildren(picture, tip);
    mark(current);
  }

  const runs = () => {
    const at = new Map(slices.map((slice, number) => [slice.index, number]));
    return chart.runs.map((run) => [at.get(run.first ?? run[0]), at.get(run.last ?? run[1])]);
  };
  const ticks = () => {
    const most = Math.max(2, Math.floor(width / 70));
    const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500].find((size) => slices.length / size <= most) ?? 1000;
    return slices.map((_, at) => at).filter((at) => slices[at].number % step === 0 || (at === 0 && step > 1));
  };

  function mark(at) {
    current = at;
    const value = slices[at].probabilities[main];
    for (const [name, set] of Object.entries({ x1: x(at), x2: x(at), y1: EDGE.top, y2: y(0) })) cursor.setAttribute(name, set);
    dot.setAttribute("cx", x(at));
    dot.setAttribute("cy", y(value));
  }

  function hint(event) {
    const at = nearest(event);
    tip.hidden = false;
    tip.textContent = `Slice ${slices[at].number}: ${probability(slices[at].probabilities[main])}`;
    tip.style.left = `${Math.min(x(at) + 10, Math.max(0, width - 130))}px`;
  }

  place.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    place.setPointerCapture(event.pointerId);
    go(nearest(event));
  });
  place.addEventListener("pointermove", (event) => {
    hint(event);
    if (event.buttons === 1) go(nearest(event));
  });
  place.addEventListener("pointerleave", () => (tip.hidden = true));
  new ResizeObserver(draw).observe(place);

  const legend = el(
    "ul",
    { class: "legend" },
    labels.map((label, number) => {
      const key = svg("svg", { width: 26, height: 8, "aria-hidden": "true" }, svg("line", { class: label === main ? "line main" : "line", style: `stroke: var(--${COLORS[number % COLORS.length]})`, "stroke-dasharray": DASHES[number % DASHES.length], x1: 0, x2: 26, y1: 4, y2: 4 }));
      return el("li", {}, key, ` ${meanings[label] ?? label}${label === main && labels.length > 1 ? " (decides)" : ""}`);
    }),
  );
  return { element: el("div", { class: "live-chart" }, place, labels.length > 1 && legend), mark };
}

function described({ slices, threshold, runs }, main, meanings) {
  const values = slices.map((slice) => slice.probabilities[main]);
  const top = values.indexOf(Math.max(...values));
  return (
    `Probability of ${meanings[main] ?? main} over ${slices.length} slices: highest at slice ${slices[top].number} with ${probability(values[top])}, ` +
    `threshold ${threshold.toFixed(2)}, ${runs.length === 1 ? "1 positive run" : `${runs.length} positive runs`}. The slider below the images moves through it.`
  );
}
