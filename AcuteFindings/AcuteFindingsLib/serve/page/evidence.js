// What stands beside the pictures: verdict with its rule, reasons, likeness, warnings, measurements, model card.

import { el, section, state, svg } from "./dom.js";
import { capital, probability } from "./words.js";

const SHAPES = {
  positive: [svg("path", { class: "solid", d: "M20 3h24l17 17v24L44 61H20L3 44V20z" }), svg("path", { class: "sign", d: "M32 15v22M32 46v4" })],
  negative: [svg("circle", { class: "open", cx: 32, cy: 32, r: 27 }), svg("path", { class: "sign", d: "M18 32h28" })],
  indeterminate: [svg("path", { class: "solid", d: "M32 4 61 58H3z" }), svg("path", { class: "sign", d: "M26 29c0-9 13-9 12 0-1 5-6 5-6 11M32 48v3" })],
};
const SEVERITIES = { refuse: ["■", "Does not fit"], warn: ["▲", "Warning"], info: ["●", "Note"] };

/** Return the verdict: its word, what has to stand beside it, how it was reached. */
export function verdictPart({ verdict }, sheet) {
  const shape = svg("svg", { class: "shape", viewBox: "0 0 64 64", "aria-hidden": "true" }, SHAPES[verdict.label].map((node) => node.cloneNode()));
  return el(
    "section",
    { class: `verdict ${verdict.label}`, "aria-labelledby": "verdict" },
    shape,
    el(
      "div",
      { class: "words" },
      el("h2", { id: "verdict" }, sheet.forced ? `${sheet.forced}: ${verdict.label}` : verdict.label, sheet.marks.map((mark) => el("span", { class: "mark" }, mark))),
      el("p", { class: "explanation" }, verdict.explanation),
      el("p", { class: "rule" }, el("b", {}, "Rule. "), verdict.rule),
      verdict.by_rule && verdict.by_rule !== verdict.label && el("p", { class: "rule" }, el("b", {}, "By the model's rule alone:"), ` ${verdict.by_rule}.`),
      sheet.phantoms_only && el("p", { class: "phantoms" }, el("b", {}, "Trained on computer-made phantoms only."), " The model has never seen a patient's image; on a patient's study its answer is not evidence."),
    ),
    el("div", { class: "figure" }, el("p", {}, el("span", { class: "big" }, probability(verdict.probability)), el("br"), "probability"), bar(verdict.probability, verdict.threshold), el("p", { class: "scale" }, el("span", {}, "0"), el("span", {}, `threshold ${probability(verdict.threshold)}`), el("span", {}, "1"))),
  );
}

function bar(value, threshold) {
  const words = `probability ${probability(value)}${threshold === null ? "" : `, threshold ${probability(threshold)}`}`;
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 200 14", preserveAspectRatio: "none", role: "img", "aria-label": words },
    svg("rect", { class: "track", width: 200, height: 14, rx: 2 }),
    svg("rect", { class: threshold !== null && value >= threshold ? "fill reached" : "fill", width: 200 * Math.min(Math.max(value, 0), 1), height: 14, rx: 2 }),
    threshold !== null && svg("line", { class: "point", x1: 200 * threshold, x2: 200 * threshold, y1: 0, y2: 14 }),
  );
}

/** Return reasons, likeness, warnings, runs, labels and measurements; `jump(index)` goes to a slice, null without slices. */
export function evidence(finding, sheet, jump) {
  return [
    section(
      "reasons",
      "Reasons to check against the images",
      finding.reasons?.length && el("ul", { class: "notices reasons" }, finding.reasons.map((reason) => reasonRow(reason, sheet.bearings, jump))),
      sources(finding.reasons ?? []),
      sheet.likeness && el("p", { class: `likeness ${finding.likeness.label}` }, sheet.likeness),
    ),
    section("warnings", "Warnings", finding.warnings.length && el("ul", { class: "notices" }, finding.warnings.map(warningRow))),
    section("runs", "Positive slices", jump && (sheet.runs.length ? el("ul", { class: "runs" }, sheet.runs.map((run) => runRow(run, jump))) : el("p", {}, `No slice reaches the threshold of ${probability(finding.slice_threshold)}.`))),
    section("labels", "Findings on the image", sheet.pathologies?.length && labelTable(sheet.pathologies)),
    section("tubes", "Tubes", sheet.tubes?.length && labelTable(sheet.tubes)),
    section("shortcuts", "What the answer depends on", sheet.shortcuts?.length && shortcutTable(sheet.shortcuts, finding.verdict.threshold)),
    section("measurements", "Measurements", sheet.measurements.length && measurementTable(sheet.measurements)),
  ];
}

function sources(reasons) {
  const named = [...new Set(reasons.map((reason) => reason.source).filter(Boolean))];
  return named.length > 0 && el("p", { class: "small" }, `Where the rules come from: ${named.join("; ")}.`);
}

function reasonRow({ bearing, text, index }, bearings, jump) {
  const [sign, name] = bearings[bearing] ?? ["○", capital(bearing)];
  const to = jump && index !== null && index !== undefined;
  return el(
    "li",
    { class: bearing },
    el("span", { class: "tag" }, `${sign} ${name}`),
    el("span", {}, text, to && [" ", el("button", { type: "button", class: "link", onclick: () => jump(index) }, `Show slice ${index + 1}`)]),
  );
}

function warningRow({ severity, text, code }) {
  const [sign, name] = SEVERITIES[severity] ?? SEVERITIES.info;
  return el("li", { class: severity }, el("span", { class: "tag" }, `${sign} ${name}`), el("span", {}, text, " ", el("code", {}, code)));
}

function runRow(run, jump) {
  return el("li", {}, el("button", { type: "button", class: "link", onclick: () => jump(run.first) }, capital(run.slices)), ` ${run.extent_mm.toFixed(1)} mm, highest ${probability(run.highest)}`);
}

function table(heads, rows) {
  const [first, ...others] = heads;
  const kind = (title) => ({ scope: "col", class: ["Value", "Probability", "Threshold"].includes(title) && "number" });
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, first), others.map((title) => el("th", kind(title), title)))),
      el("tbody", {}, rows.map(([name, ...cells]) => el("tr", { class: cells.at(-1) === "▲ present" && "positive" }, el("th", { scope: "row" }, name), cells.map((text, number) => el("td", { class: kind(others[number]).class }, text))))),
    ),
  );
}

const labelTable = (rows) =>
  table(
    ["Finding", "Value", "Threshold", "Answer"],
    rows.map((row) => [row.meaning, probability(row.probability), probability(row.threshold), row.answer === "present" ? "▲ present" : row.answer]),
  );
const measurementTable = (rows) => table(["Measurement", "Value", "Unit"], rows.map((row) => [row.name, row.value, row.unit]));
const shortcutTable = (rows, threshold) =>
  table(
    ["The model was shown", "Probability", `Threshold ${probability(threshold)}`],
    rows.map((row) => [row.shown, probability(row.probability), row.probability >= threshold ? "▲ reached" : "not reached"]),
  );

/** Return the key pictures; `below` is the address that a picture's number is added to. */
export function picturesPart(pictures, below) {
  const shown = pictures.map((picture) => ({ ...picture, source: `${below}${picture.n}` })).filter(({ kind }) => kind !== "chart");
  return section(
    "pictures",
    "Key pictures",
    shown.length > 0 &&
      el(
        "div",
        { class: "pictures" },
        shown.map(({ source, caption }) =>
          el("figure", {}, el("button", { type: "button", class: "enlarges", "aria-label": `Enlarge: ${caption}`, onclick: () => enlarge(source, caption) }, el("img", { src: source, alt: caption, loading: "lazy" })), el("figcaption", {}, caption)),
        ),
      ),
  );
}

function enlarge(source, caption) {
  const dialog = el("dialog", { class: "large", "aria-label": caption, onclose: () => dialog.remove(), onclick: () => dialog.close() }, el("img", { src: source, alt: caption }), el("p", {}, caption), el("button", { type: "button", autofocus: true }, "Close"));
  document.body.append(dialog);
  dialog.showModal();
}

/** Return the model's identity, with its card, which is read when it is opened. */
export function cardPart(read, { model }, sheet) {
  const card = el("pre", { class: "card", tabIndex: 0 });
  const details = el("details", {}, el("summary", {}, "The model's card"), card);
  details.addEventListener("toggle", async () => {
    if (!details.open || card.textContent) return;
    card.textContent = "Loading…";
    try {
      card.textContent = await read();
    } catch (error) {
      card.textContent = "";
      card.replaceWith(state("failed", "No card", error.message));
    }
  });
  const facts = [
    ["Model", `${model.id} ${model.version}`],
    ["Trained on", model.trained_on],
    ["Never saw", model.never_saw],
    ["Why this model", model.chosen],
    ["Computed by", sheet.computed],
    ["SHA-256", `${model.sha256.slice(0, 12)}…`],
  ].filter(([, value]) => value);
  return section("model", "Model", el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))), details);
}

/** Return what else there is of the study: the report as a link, files to `save(name)`. */
export function downloads(path, save) {
  const files = [
    ["Finding with masks", "finding.zip"],
    ["DICOM Segmentation", "seg"],
    ["DICOM Structured Report", "sr"],
    ["Finding (JSON)", "finding"],
  ];
  return section(
    "downloads",
    "More",
    el(
      "ul",
      { class: "links" },
      el("li", {}, el("a", { href: `${path}/report.html`, target: "_blank", rel: "noopener" }, "Report")),
      files.map(([title, name]) => el("li", {}, el("button", { type: "button", class: "link", onclick: () => save(name) }, title))),
    ),
  );
}
