// Actions as data: title, keys and what they do. Buttons, keys and the table of keys come from the same list.

import { el } from "./dom.js";

const NAMES = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓" };
const HANDS =
  "On the images: wheel for slices, with Ctrl to zoom; drag for the value at a point, with Shift to move the picture; " +
  "right drag for the window. By touch: one finger for slices, two to zoom and move.";
const OFF = "acutefindings-keys-off";
let actions = [];

/** Make these actions those of the view: `{title, keys, run}`. */
export function bind(list) {
  actions = list;
}

/** Return a button for an action; its tool tip names the key. */
export function buttonFor(action, properties, ...children) {
  return el(
    "button",
    { type: "button", title: `${action.title} (${shown(action.keys[0])})`, "aria-keyshortcuts": action.keys[0], onclick: action.run, ...properties },
    children.length ? children : action.title,
  );
}

const shown = (key) => NAMES[key] ?? key.toUpperCase();
const typing = (node) => node.matches?.("input:not([type=range], [type=checkbox], [type=button]), textarea, select");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  // Who speaks to the computer can switch keys of a single letter off (WCAG 2.1.4).
  if (event.key.length === 1 && localStorage.getItem(OFF)) return;
  if (event.key === "?") return showKeys();
  const action = actions.find(({ keys }) => keys.includes(event.key.length === 1 ? event.key.toLowerCase() : event.key));
  if (!action) return;
  event.preventDefault();
  action.run();
});

/** Show the keys of the view. */
export function showKeys() {
  const dialog = el(
    "dialog",
    { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    el("h2", { id: "keys-title" }, "Keys"),
    el(
      "dl",
      {},
      [...actions, { title: "Show the keys", keys: ["?"] }].map(({ title, keys }) =>
        el("div", {}, el("dt", {}, keys.map((key) => el("kbd", {}, shown(key)))), el("dd", {}, title)),
      ),
    ),
    el("p", { class: "small" }, HANDS),
    el(
      "label",
      { class: "check" },
      el("input", {
        type: "checkbox",
        checked: !localStorage.getItem(OFF),
        onchange: (event) => (event.target.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")),
      }),
      "Keys of a single letter work",
    ),
    el("button", { type: "button", class: "primary", autofocus: true, onclick: () => dialog.close() }, "Close"),
  );
  document.body.append(dialog);
  dialog.showModal();
}
