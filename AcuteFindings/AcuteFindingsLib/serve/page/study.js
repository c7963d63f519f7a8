// One study: its pictures, its chart and its verdict, which follow each other.

import { address, getBytes, getIfThere, getJson, getText, postJson } from "./api.js";
import { answerPart } from "./answer.js";
import { sliceChart } from "./chart.js";
import { el, say, section, state } from "./dom.js";
import { cardPart, downloads, evidence, picturesPart, verdictPart } from "./evidence.js";
import { bind } from "./keys.js";
import { capital, probability } from "./words.js";
import { hasWebGl, makeViewer } from "./viewer.js";

const FILES = { seg: "segmentation.dcm", sr: "report.dcm", finding: "finding.json" };

/** Fill `place` with a study; returns what ends it. */
export function studyView(place, key) {
  const end = new AbortController();
  let viewer = null;
  place.append(state("loading", "Loading the study…"));
  document.title = "Study – AcuteFindings";
  fillIn().catch((error) => {
    if (error.name === "AbortError") return;
    place.replaceChildren(failed(error.status === 404 ? "This study is not here" : "The study cannot be shown", error.message));
  });
  return () => {
    end.abort();
    viewer?.close();
  };

  function failed(title, text, kind = "failed") {
    return el("div", {}, back(), state(kind, title, text, el("a", { class: "button", href: "#/" }, "Back to the worklist")));
  }

  async function fillIn() {
    const path = `studies/${key}`;
    const item = await getJson(path, end.signal);
    const name = item.finding_words || "Study";
    if (item.state !== "done") {
      const titles = { refused: `${name}: refused`, failed: `${name}: reading failed` };
      const kind = titles[item.state] ? item.state : "loading";
      return place.replaceChildren(failed(titles[item.state] ?? `${name}: ${item.state}`, item.said || "The study is not read yet.", kind));
    }
    const [finding, sheet, chart, pictures] = await Promise.all([
      getJson(`${path}/finding`, end.signal),
      getJson(`${path}/sheet`, end.signal),
      getIfThere(getJson, `${path}/chart`, end.signal),
      getIfThere(getJson, `${path}/pictures`, end.signal),
    ]);
    document.title = `${sheet.title}: ${sheet.words} – AcuteFindings`;
    draw({ path, item, finding, sheet, chart, pictures: pictures ?? [] });
  }

  function draw({ path, item, finding, sheet, chart, pictures }) {
    const slices = finding.slices;
    const place_of = new Map(slices.map((slice, place) => [slice.index, place]));
    const many = slices.length > 1;
    const positive = slices.map((slice) => many && slice.probabilities[finding.main_label] >= finding.slice_threshold);
    const starts = positive.map((_, place) => place).filter((place) => positive[place]);
    const best = slices.reduce((top, slice, place) => (slice.probabilities[finding.main_label] > slices[top].probabilities[finding.main_label] ? place : top), 0);
    let current = best;

    const answer = answerPart(item, async (word, reader, note) => {
      try {
        await postJson(`${path}/answer`, { answer: word, reader, note });
        answer.chosen(word, reader);
        say(`Kept: ${word}.`);
      } catch (error) {
        say(error.message);
      }
    });
    const drawn = chart && many ? sliceChart(chart, { main: finding.main_label, meanings: sheet.labels, go: (place) => go(place) }) : null;
    const readout = el("output", { class: "readout", htmlFor: "slice" });
    const slider = el("input", {
      type: "range",
      id: "slice",
      min: 1,
      max: slices.length,
      step: 1,
      value: 1,
      "aria-label": "Slice",
      oninput: () => go(slider.valueAsNumber - 1),
    });
    const stage = el("div", { class: "stage" });
    const tools = el("div", { class: "tools", role: "toolbar", "aria-label": "Viewer" });
    const left = el(
      "div",
      { class: "left" },
      el("section", { class: "viewer", "aria-label": "Images" }, tools, stage, many && el("div", { class: "slice-line" }, slider, readout)),
      drawn && section("chart", "Probability of each slice", drawn.element),
    );
    // What is not there is said in a sentence, not saved as a file.
    async function save(name) {
      try {
        const link = el("a", { href: URL.createObjectURL(new Blob([await getBytes(`${path}/${name}`)])), download: `${key}-${FILES[name] ?? name}` });
        link.click();
        URL.revokeObjectURL(link.href);
      } catch (error) {
        say(error.message);
      }
    }
    const jump = (index) => place_of.has(index) && go(place_of.get(index));
    const right = el(
      "div",
      { class: "right-side" },
      verdictPart(finding, sheet),
      answer.element,
      evidence(finding, sheet, many ? jump : null),
      picturesPart(pictures, address(`${path}/pictures/`)),
      cardPart(() => getText(`${path}/card`, end.signal), finding, sheet),
      downloads(address(path), save),
    );
    place.replaceChildren(
      el("div", { class: "study-head" }, back(), el("h1", {}, sheet.title), el("p", { class: "sub" }, `${sheet.study} · ${key.slice(0, 8)} · AcuteFindings ${sheet.software ?? ""}`.trim())),
      el("div", { class: "columns" }, left, right),
    );

    function go(wanted, { fromViewer = false } = {}) {
      current = Math.max(0, Math.min(slices.length - 1, wanted));
      const value = slices[current].probabilities[finding.main_label];
      const number = `Slice ${slices[current].index + 1} of ${slices.length}`;
      const mark = positive[current] ? ", positive" : "";
      const words = `${number}, ${sheet.labels[finding.main_label] ?? finding.main_label} ${probability(value)}${mark}`;
      slider.value = current + 1;
      slider.setAttribute("aria-valuetext", words);
      readout.textContent = `${number}: ${probability(value)}${mark}`;
      readout.classList.toggle("is-positive", positive[current]);
      drawn?.mark(current);
      if (!fromViewer) viewer?.goTo(current);
    }
    const step = (by) => () => go(current + by);
    const nextOf = (wanted) => (wanted === undefined ? say("There is no further positive slice.") : go(wanted));

    const actions = [
      ...(many
        ? [
            { title: "Next slice", keys: ["ArrowDown", "ArrowRight"], run: step(1) },
            { title: "Previous slice", keys: ["ArrowUp", "ArrowLeft"], run: step(-1) },
            { title: "Ten slices on", keys: ["PageDown"], run: step(10) },
            { title: "Ten slices back", keys: ["PageUp"], run: step(-10) },
            { title: "Next positive slice", keys: ["n"], run: () => nextOf(starts.find((place) => place > current)) },
            { title: "Previous positive slice", keys: ["p"], run: () => nextOf(starts.findLast((place) => place < current)) },
            { title: "Slice of the highest probability", keys: ["m"], run: () => go(best) },
          ]
        : []),
      ...answer.actions,
      { title: "Back to the worklist", keys: ["Escape"], run: () => (location.hash = "#/") },
    ];
    bind(actions);
    go(best);
    openViewer().catch((error) => {
      if (error.name !== "AbortError") stage.replaceChildren(state("failed", "The images cannot be shown", `${error.message} The key pictures show the study.`));
    });

    async function openViewer() {
      if (!hasWebGl()) {
        throw new Error("This browser has no WebGL 2, which the viewer needs.");
      }
      const bar = el("progress", { max: 100, value: 0, "aria-label": "Loading the images" });
      const loading = state("loading", "Loading the images…", "", bar);
      const canvas = el("canvas", { "aria-label": "", role: "img", tabIndex: 0 });
      stage.replaceChildren(canvas, loading);
      const bytes = await getBytes(`${path}/volume.nii.gz`, { signal: end.signal, progress: (share) => (bar.value = 100 * share) });
      viewer = await makeViewer({
        canvas,
        bytes,
        finding,
        projection: item.radiograph,
        load: (name) => getIfThere((where) => getBytes(where, { signal: end.signal }), `${path}/${name}.nii.gz`),
        moved: (place) => go(place, { fromViewer: true }),
        step: (by) => go(current + by),
      });
      if (end.signal.aborted) return viewer.close();
      canvas.setAttribute("aria-label", `${capital(sheet.study)}: the slice is said beside the slider`);
      loading.remove();
      stage.append(viewer.overlay);
      tools.append(...viewer.tools);
      bind([...actions.slice(0, -1), ...viewer.actions, actions.at(-1)]);
      viewer.goTo(current);
      await viewer.loadOverlays();
    }
  }
}

const back = () => el("a", { class: "back", href: "#/" }, "← Worklist");
