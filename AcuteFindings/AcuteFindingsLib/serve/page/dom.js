// Elements made without markup: what comes out of files is text, never HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    // By the object model: the policy of the page allows no style in attributes.
    else if (name === "style") node.style.cssText = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && !name.includes("-") && node.namespaceURI !== SVG) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Return an element; `on…` properties are listeners, strings among the children become text. */
export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Return an SVG element in the same way. */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Return a section with a heading that names it, `undefined` where it would hold nothing. */
export function section(id, title, ...children) {
  const held = children.flat().filter(Boolean);
  return held.length ? el("section", { "aria-labelledby": id }, el("h2", { id }, title), held) : undefined;
}

/** Return a designed state of a place: loading, empty, refused or failed, with a sentence and what can be done. */
export function state(kind, title, text, ...actions) {
  const role = kind === "failed" || kind === "refused" ? "alert" : "status";
  return el("div", { class: `state ${kind}`, role }, el("p", { class: "state-title" }, title), text && el("p", {}, text), actions);
}

/** Say something where everybody notices: on the screen for a while, and to screen readers. */
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (place.textContent = ""), 6000);
}
