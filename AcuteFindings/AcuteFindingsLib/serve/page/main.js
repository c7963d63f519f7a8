// Which view is shown: the address after # says it, so links, Back and reload work. It never holds a patient's name.

import { closeSession, getJson, onSignIn, openSession } from "./api.js";
import { el, say, state } from "./dom.js";
import { bind, showKeys } from "./keys.js";
import { worklistView } from "./worklist.js";
import { studyView } from "./study.js";

const main = document.getElementById("main");
let leave = () => {};

function show() {
  leave();
  bind([]);
  const [, key] = /^#\/studies\/([\w-]+)$/.exec(location.hash) ?? [];
  document.getElementById("to-list").toggleAttribute("aria-current", !key);
  const view = el("div", { class: key ? "study-view" : "list-view" });
  main.replaceChildren(view);
  leave = key ? studyView(view, key) : worklistView(view);
  window.scrollTo(0, 0);
}

function signIn() {
  if (document.getElementById("token")) return;
  leave();
  leave = () => {};
  bind([]);
  document.title = "Sign in – AcuteFindings";
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const form = el(
    "form",
    {
      class: "sign-in",
      async onsubmit(event) {
        event.preventDefault();
        try {
          await openSession(token.value.trim());
          token.remove();
          show();
        } catch (error) {
          wrong.textContent = error.status === 401 ? "The server does not know this token." : error.message;
          token.select();
        }
      },
    },
    el("h1", {}, "Sign in"),
    el("p", {}, "This server is open to those who have a token. Who runs the server gives you one."),
    el("label", { htmlFor: "token" }, "Token"),
    token,
    el("button", { type: "submit", class: "primary" }, "Sign in"),
    wrong,
  );
  main.replaceChildren(form);
  token.focus();
}

onSignIn(signIn);
const out = document.getElementById("sign-out");
out.addEventListener("click", async () => {
  await closeSession();
  signIn();
});
getJson("version").then(({ tokens }) => (out.hidden = !tokens), () => {});
document.getElementById("show-keys").addEventListener("click", showKeys);
window.addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
});
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") return;
  const fault = event.reason?.message ?? String(event.reason);
  say(fault);
  if (main.querySelector(".loading")) main.replaceChildren(state("failed", "This cannot be shown", fault));
});
show();
