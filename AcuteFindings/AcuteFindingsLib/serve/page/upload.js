// Upload by drag and drop or by a dialog, and the jobs that come of it.

import { getJson, listen, remove, upload } from "./api.js";
import { el, say } from "./dom.js";
import { capital, SIGNS } from "./words.js";

const ACTIVE = ["waiting", "reading"];
const EVERY_MS = 4000;
const KEPT = 3;

// What is being sent goes on when another view is opened.
const sending = new Map();
let redraw = () => {};

/** Return the part: its `element`, `choose` (opens the dialog), `offer` (the detectors) and `close`. */
export function uploadPart({ onchange, signal }) {
  const jobs = el("ul", { class: "jobs", "aria-label": "Uploads" });
  const detector = el("select", { name: "upload-detector", id: "upload-detector" }, el("option", { value: "auto" }, "Find out by itself"));
  const files = el("input", { type: "file", multiple: true, id: "files", class: "hidden", tabIndex: -1, "aria-label": "Files of one study" });
  const folder = el("input", { type: "file", webkitdirectory: true, class: "hidden", tabIndex: -1, "aria-label": "Folder of one study" });
  const kept = el("span", {});
  getJson("version", signal).then(({ keep_days: days }) => (kept.textContent = days ? ` Uploaded studies are removed after ${days === 1 ? "a day" : `${days} days`}.` : ""), () => {});
  const zone = el(
    "section",
    { class: "drop", "aria-labelledby": "drop-title" },
    el(
      "div",
      {},
      el("h2", { id: "drop-title" }, "Read a study"),
      el("p", { class: "sub" }, "Drop one study here: a zip, a folder or files of DICOM, NIfTI, NRRD, or a picture.", kept),
    ),
    el(
      "div",
      { class: "drop-actions" },
      el("button", { type: "button", class: "primary", onclick: () => files.click() }, "Choose files"),
      el("button", { type: "button", onclick: () => folder.click() }, "Choose a folder"),
      el("label", { htmlFor: "upload-detector" }, "Look for"),
      detector,
    ),
    files,
    folder,
    jobs,
  );
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      send([...input.files]);
      input.value = "";
    });
  }

  let depth = 0;
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const over = (event) => carriesFiles(event) && event.preventDefault();
  const mark = (by) => (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth + by);
    zone.classList.toggle("over", depth > 0);
  };
  async function dropped(event) {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    zone.classList.remove("over");
    // The entries are to be taken before anything is awaited; after it the list is empty.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files];
    try {
      send(entries.length ? (await Promise.all(entries.map(filesBelow))).flat() : plain);
    } catch {
      say("What was dropped cannot be read. Choose the files with the button instead.");
    }
  }
  // The whole window takes a drop: a file that misses the box by a finger must not replace the page.
  for (const [name, heard] of [["dragover", over], ["dragenter", mark(1)], ["dragleave", mark(-1)], ["drop", dropped]]) {
    window.addEventListener(name, heard, { signal });
  }

  let known = [];
  let followed = null;

  async function send(list) {
    if (!list.length) return say("There was no file in it.");
    const row = { id: `sending-${Date.now()}`, state: "sending", text: `Sending ${list.length === 1 ? "1 file" : `${list.length} files`}`, progress: 0 };
    const { done, abort } = upload(list, detector.value, (share) => ((row.progress = share), redraw()));
    row.stop = abort;
    sending.set(row.id, row);
    redraw();
    try {
      await done;
      sending.delete(row.id);
      say("The study was sent. It is read now.");
    } catch (error) {
      Object.assign(row, { state: "failed", text: error.message, stop: undefined });
    }
    redraw();
    if (!signal.aborted) await load();
  }

  async function load() {
    try {
      const answer = await getJson("jobs", signal);
      known = (answer).sort((a, b) => b.created.localeCompare(a.created));
    } catch (error) {
      if (error.name === "AbortError") return;
      say(error.message);
    }
    follow();
    draw();
  }

  // One stream for the job that is read: a browser opens six connections to a server, for all its tabs together.
  function follow() {
    const job = known.find(({ state }) => state === "reading") ?? known.find(({ state }) => state === "waiting");
    if (job?.id === followed?.id) return;
    followed?.end();
    followed = job && { id: job.id, end: listen(`jobs/${job.id}/events`, "job", heard) };
  }

  function heard(text) {
    const job = JSON.parse(text);
    known = known.map((other) => (other.id === job.id ? job : other));
    draw();
    if (ACTIVE.includes(job.state)) return;
    say(job.state === "done" ? "A study was read." : job.text);
    load();
    onchange();
  }

  function draw() {
    const rows = [...sending.values(), ...known.filter((job) => ACTIVE.includes(job.state)), ...known.filter((job) => !ACTIVE.includes(job.state)).slice(0, KEPT)];
    const there = new Map([...jobs.children].map((node) => [node.dataset.id, node]));
    const wanted = rows.map((job) => {
      const old = there.get(job.id);
      const looks = JSON.stringify([job.state, job.text, job.study, job.progress]);
      return old?.dataset.looks === looks ? old : rowOf(job, looks);
    });
    jobs.replaceChildren(...wanted);
  }

  function rowOf(job, looks) {
    const active = ACTIVE.includes(job.state) || job.state === "sending";
    const percent = Math.round(100 * (job.progress ?? 0));
    return el(
      "li",
      { class: `job ${job.state}`, data: { id: job.id, looks } },
      el("span", { class: `chip ${job.state}` }, el("span", { "aria-hidden": "true" }, SIGNS[job.state] ?? ""), ` ${job.state}`),
      el("span", { class: "job-text" }, capital(job.text ?? "")),
      active && el("progress", { max: 100, value: percent, "aria-label": `Progress: ${job.text ?? job.state}` }),
      job.state === "done" && job.study && el("a", { href: `#/studies/${job.study}` }, "Open"),
      job.stop && el("button", { type: "button", onclick: job.stop }, "Stop"),
      !job.stop && job.state !== "done" && el("button", { type: "button", onclick: () => forget(job) }, active ? "Cancel" : "Clear"),
    );
  }

  async function forget(job) {
    if (sending.delete(job.id)) return draw();
    try {
      await remove(`jobs/${job.id}`);
    } catch (error) {
      say(error.message);
    }
    await load();
    onchange();
  }

  redraw = draw;
  const timer = setInterval(() => known.some(({ state }) => ACTIVE.includes(state)) && !document.hidden && load(), EVERY_MS);
  load();
  return {
    element: zone,
    choose: () => files.click(),
    offer: (kinds) => detector.append(...kinds.map((kind) => el("option", { value: kind.id }, kind.finding))),
    close() {
      clearInterval(timer);
      followed?.end();
      redraw = () => {};
    },
  };
}

// A browser gives the files of a folder in batches; what begins with a dot is the system's own.
async function filesBelow(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const child of some) found.push(...(await filesBelow(child)));
  }
}
