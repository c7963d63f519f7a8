// The description of the API as a page for people.

import { getJson } from "./api.js";
import { el, state } from "./dom.js";

const place = document.getElementById("routes");
try {
  const { paths } = await getJson("openapi.json");
  const routes = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, route]) => ({ path, method, route })));
  place.replaceChildren(...routes.map(part));
} catch (error) {
  place.replaceChildren(state("failed", "The description cannot be shown", error.message));
}

function part({ path, method, route }) {
  const schema = route.requestBody && Object.values(route.requestBody.content)[0].schema;
  const fields = [
    ...(route.parameters ?? []).map(({ name, in: where, schema: { default: usual } = {} }) => [name, where, usual]),
    ...Object.entries(schema?.properties ?? {}).map(([name, { default: usual }]) => [name, "form", usual]),
  ];
  return el(
    "section",
    { class: "route" },
    el("h2", {}, el("code", {}, `${method.toUpperCase()} ${path}`), ` ${route.summary ?? ""}`),
    route.description && el("p", {}, route.description),
    fields.length > 0 && el("p", { class: "small" }, `Takes ${fields.map(([name, where, usual]) => `${name} (${where}${usual === undefined || usual === null ? "" : `, ${usual}`})`).join(", ")}.`),
    el("p", { class: "small" }, `Answers with ${Object.keys(route.responses).join(", ")}.`),
  );
}
