// The list: most urgent first, live, to sort and to filter.

import { getJson, listen } from "./api.js";
import { el, state } from "./dom.js";
import { bind } from "./keys.js";
import { uploadPart } from "./upload.js";
import { capital, clock, probability, SIGNS, STATES, VERDICTS } from "./words.js";

const PAGE = 100;
const COLUMNS = [
  { title: "Finding", of: (item) => item.finding_words },
  { title: "Result", of: (item) => [...VERDICTS, ...STATES].indexOf(item.verdict ?? item.state) },
  { title: "Probability", of: (item) => item.probability ?? -1, number: true },
  { title: "Urgency", of: (item) => item.urgency, number: true },
  { title: "Arrived", of: (item) => item.arrived },
  { title: "Reader", of: (item) => item.answer },
];

/** Fill `place` with the list; returns what ends it. */
export function worklistView(place) {
  document.title = "Worklist – AcuteFindings";
  const end = new AbortController();
  const filters = { state: "", verdict: "", detector: "" };
  let items = [];
  let total = 0;
  let shown = PAGE;
  let sorted = null;
  let asks = 0;

  const body = el("div", { class: "list-body" }, state("loading", "Loading the list…"));
  const counted = el("p", { class: "sub", role: "status" });
  const detectorFilter = select("Finding", "detector", [["", "All findings"]]);
  const upload = uploadPart({ onchange: () => load(), signal: end.signal });
  place.append(
    el("h1", { class: "list-title" }, "Worklist"),
    upload.element,
    el(
      "div",
      { class: "filters", role: "group", "aria-label": "Filters" },
      select("State", "state", [["", "All states"], ...STATES.map((word) => [word, capital(word)])]),
      select("Result", "verdict", [["", "All results"], ...VERDICTS.map((word) => [word, capital(word)])]),
      detectorFilter,
      counted,
    ),
    body,
  );

  function select(title, name, options) {
    return el(
      "label",
      {},
      el("span", {}, title),
      el(
        "select",
        {
          name,
          onchange(event) {
            filters[name] = event.target.value;
            shown = PAGE;
            load();
          },
        },
        options.map(([value, text]) => el("option", { value }, text)),
      ),
    );
  }

  async function load() {
    const number = ++asks;
    const asked = Object.entries({ ...filters, limit: shown }).filter(([, value]) => value);
    try {
      const answer = await getJson(`studies?${new URLSearchParams(asked)}`, end.signal);
      // What was asked with other filters may come last.
      if (number !== asks) return;
      ({ studies: items, total } = answer);
      draw();
    } catch (error) {
      if (error.name === "AbortError" || number !== asks) return;
      // It is said once, however often it is tried.
      if (body.querySelector(".state.failed")?.textContent.includes(error.message)) return;
      body.replaceChildren(
        state("failed", "The list cannot be shown", error.message, el("button", { type: "button", onclick: load }, "Try again")),
      );
    }
  }

  function draw() {
    const filtered = Object.values(filters).some(Boolean);
    counted.textContent = total === 1 ? "1 study" : `${total} studies${sorted ? "" : ", the most urgent first"}`;
    if (!items.length) {
      body.replaceChildren(
        filtered
          ? state("empty", "No study fits these filters", "Choose All to see the whole list.")
          : state("empty", "No study yet", "Drop a study above, or read one with the command line into the same folder of results."),
      );
      return;
    }
    const focused = document.activeElement?.closest("tr")?.dataset.key;
    const head = document.activeElement?.closest("th[scope=col]")?.cellIndex;
    const rows = sorted === null ? items : [...items].sort(compare);
    body.replaceChildren(
      el(
        "div",
        { class: "scroll" },
        el(
          "table",
          { class: "worklist" },
          el("caption", { class: "hidden" }, "Studies"),
          el("thead", {}, el("tr", {}, COLUMNS.map(headOf))),
          el("tbody", {}, rows.map(rowOf)),
        ),
      ),
      ...(items.length < total ? [el("button", { type: "button", onclick: () => ((shown += PAGE), load()) }, `Show more (${total - items.length} left)`)] : []),
    );
    if (focused) body.querySelector(`tr[data-key="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
    if (head !== undefined) body.querySelectorAll("thead button")[head]?.focus({ preventScroll: true });
  }

  function compare(a, b) {
    const [x, y] = [a, b].map(COLUMNS[sorted.column].of);
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
    return sorted.down ? -order : order;
  }

  // A click sorts, a second one backwards, a third one puts the order of the list back: as in Slicer.
  function headOf(column, number) {
    const own = sorted?.column === number;
    return el(
      "th",
      { scope: "col", class: column.number && "number", "aria-sort": own ? (sorted.down ? "descending" : "ascending") : "none" },
      el(
        "button",
        {
          type: "button",
          title: "Sort by this column",
          onclick() {
            sorted = !own ? { column: number, down: false } : sorted.down ? null : { column: number, down: true };
            draw();
          },
        },
        column.title,
      ),
    );
  }

  const end_events = listen("studies/events", "list", load, load);
  getJson("detectors", end.signal).then((found) => {
    const kinds = found;
    for (const kind of kinds) detectorFilter.lastChild.append(el("option", { value: kind.id }, kind.finding));
    upload.offer(kinds);
  }, () => {});
  bind([
    { title: "Next study of the list", keys: ["ArrowDown", "n"], run: () => step(1) },
    { title: "Previous study of the list", keys: ["ArrowUp", "p"], run: () => step(-1) },
    { title: "Choose files to upload", keys: ["o"], run: upload.choose },
  ]);
  function step(by) {
    const links = [...body.querySelectorAll("tbody a")];
    const at = links.indexOf(document.activeElement);
    links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  }
  load();
  return () => {
    end.abort();
    end_events();
    upload.close();
  };
}

function rowOf(item) {
  const word = item.state === "done" && item.verdict ? item.verdict : item.state;
  const link = item.state === "done" || item.said;
  const name = item.finding_words || "Not yet known";
  return el(
    "tr",
    { class: item.answer ? `${word} answered` : word, data: { key: item.id } },
    el(
      "th",
      { scope: "row" },
      link ? el("a", { href: `#/studies/${item.id}` }, name) : name,
      el("br"),
      el("span", { class: "span" }, [item.id.slice(0, 8), item.model].filter(Boolean).join(" · ")),
    ),
    el(
      "td",
      { data: { title: "Result" } },
      el("span", { class: `chip ${word}` }, el("span", { "aria-hidden": "true" }, SIGNS[word] ?? ""), ` ${word}`),
      item.said && el("p", { class: "small" }, item.said),
    ),
    el("td", { class: "number", data: { title: "Probability" } }, probability(item.probability)),
    el(
      "td",
      { class: "number", data: { title: "Urgency" } },
      item.state === "done" ? el("span", { title: `Standing ${item.standing ?? "–"} in the list` }, item.urgency.toFixed(2)) : "–",
    ),
    el("td", { data: { title: "Arrived" } }, el("time", { dateTime: item.arrived }, clock(item.arrived))),
    el(
      "td",
      { class: !item.answer && "none", data: { title: "Reader" } },
      item.answer ? [item.answer, item.reader].filter(Boolean).join(", ") : "–",
      item.note && el("p", { class: "small" }, item.note),
    ),
  );
}
