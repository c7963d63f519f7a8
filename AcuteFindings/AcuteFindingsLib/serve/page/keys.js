// Actions as data: title, keys and what they do. Buttons, keys and the table of keys come from the same list.

import { el } from "./dom.js";

const NAMES = { ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓" };
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
      "table",
      {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Key"), el("th", { scope: "col" }, "What it does"))),
      el(
        "tbody",
        {},
        [...actions, { title: "Show the keys", keys: ["?"] }].map(({ title, keys }) =>
          el("tr", {}, el("td", {}, keys.map((key) => el("kbd", {}, shown(key)))), el("td", {}, title)),
        ),
      ),
    ),
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
    el("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close"),
  );
  document.body.append(dialog);
  dialog.showModal();
}
