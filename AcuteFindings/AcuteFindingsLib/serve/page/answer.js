// What a reader says to the verdict.

import { el } from "./dom.js";
import { buttonFor } from "./keys.js";

const READER = "acutefindings-reader";
const ANSWERS = [
  { word: "agree", title: "Agree", key: "a" },
  { word: "disagree", title: "Disagree", key: "d" },
  { word: "unsure", title: "Unsure", key: "u" },
];

/** Return the part's `element`, its `actions`, and `chosen(word, reader)`, which shows what holds now. */
export function answerPart(item, send) {
  const reader = el("input", { id: "reader", maxLength: 64, autocomplete: "off", value: localStorage.getItem(READER) ?? "", placeholder: "Your initials" });
  const note = el("input", { id: "note", maxLength: 500, autocomplete: "off", value: item.note ?? "", placeholder: "No names or numbers of patients" });
  const holds = el("p", { class: "sub", role: "status" });
  const actions = ANSWERS.map(({ word, title, key }) => ({
    word,
    title: `${title} ${word === "unsure" ? "about" : "with"} the verdict`,
    keys: [key],
    run() {
      localStorage.setItem(READER, reader.value.trim());
      send(word, reader.value.trim(), note.value.trim());
    },
  }));
  const buttons = actions.map((action, number) =>
    buttonFor(action, { class: "answer", "aria-pressed": "false" }, ANSWERS[number].title, el("kbd", { "aria-hidden": "true" }, action.keys[0].toUpperCase())),
  );
  function chosen(word, who) {
    buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(actions[number].word === word)));
    holds.textContent = word ? `Answered: ${[word, who].filter(Boolean).join(", ")}.` : "Not answered yet.";
  }
  chosen(item.answer, item.reader);
  const element = el(
    "section",
    { class: "answers", "aria-labelledby": "answer-title" },
    el("h2", { id: "answer-title" }, "Your answer"),
    el("div", { class: "answer-buttons", role: "group", "aria-label": "Your answer to the verdict" }, buttons),
    el("div", { class: "answer-fields" }, el("label", { htmlFor: "reader" }, "Reader", reader), el("label", { htmlFor: "note" }, "Note", note)),
    holds,
  );
  return { element, actions, chosen };
}
