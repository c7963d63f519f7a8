// The HTTP API as functions. Every error that leaves here is a sentence for the person at the screen.

const ROOT = "api/v1/";
const AGAIN_MS = 3000;
const UNSAFE = { "X-AcuteFindings": "page" };

export class ApiError extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

let signIn = () => {};

/** Set what happens when the server wants a token. */
export function onSignIn(ask) {
  signIn = ask;
}

function sentenceOf(status, text) {
  try {
    const problem = JSON.parse(text);
    if (typeof problem.detail === "string" && problem.detail) return problem.detail;
  } catch {
    // Not a problem of ours, as that of a proxy: its number says it.
  }
  return `The server answered with ${status}. Try again; if it stays so, tell who runs the server.`;
}

async function call(path, { method = "GET", headers = {}, body, signal } = {}) {
  let answer;
  try {
    answer = await fetch(ROOT + path, { method, body, signal, headers: method === "GET" ? headers : { ...UNSAFE, ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Check that it runs and that this computer reaches it.", 0);
  }
  if (answer.ok) return answer;
  if (answer.status === 401) signIn();
  throw new ApiError(sentenceOf(answer.status, await answer.text()), answer.status);
}

export const address = (path) => ROOT + path;
export const getJson = async (path, signal) => (await call(path, { signal })).json();
export const getText = async (path, signal) => (await call(path, { signal })).text();
export const remove = (path) => call(path, { method: "DELETE" });
export const postJson = (path, value) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
export const closeSession = () => call("session", { method: "DELETE" });
export const openSession = (token) => call("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });

/** Return what `path` gives, or null where the server has none of it. */
export async function getIfThere(get, path, signal) {
  try {
    return await get(path, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Return a file's bytes as an ArrayBuffer; `progress` gets how much is here, 0 to 1, where the server says how much comes. */
export async function getBytes(path, { signal, progress = () => {} } = {}) {
  const answer = await call(path, { signal });
  const whole = Number(answer.headers.get("Content-Length"));
  const parts = [];
  let here = 0;
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    here += value.length;
    if (whole) progress(Math.min(here / whole, 1));
  }
  return new Blob(parts).arrayBuffer();
}

/** Send files as one study; `progress` gets how much was sent. Returns the job, and `abort` to stop sending. */
export function upload(files, detector, progress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("detector", detector);
    for (const file of files) form.append("files", file, file.name);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status === 202) return resolve(JSON.parse(request.responseText));
      if (request.status === 401) signIn();
      reject(new ApiError(sentenceOf(request.status, request.responseText), request.status));
    });
    request.addEventListener("error", () => reject(new ApiError("The upload broke off. Check the connection and send the study again.", 0)));
    request.addEventListener("abort", () => reject(new ApiError("The upload was stopped.", 0)));
    request.open("POST", ROOT + "studies");
    request.setRequestHeader("X-AcuteFindings", "page");
    request.send(form);
  });
  return { done, abort: () => request.abort() };
}

/**
 * Call `heard` with the data of each server-sent event `name`; returns what ends it. Rests while the page is hidden.
 *
 * `lost` is called whenever the stream breaks off or is refused: what is shown may be out of date from then on.
 */
export function listen(path, name, heard, lost = () => {}) {
  let source;
  let again;
  const open = () => {
    source = new EventSource(ROOT + path);
    source.addEventListener(name, (event) => heard(event.data));
    source.addEventListener("error", () => {
      // What broke off is opened again by the browser, what was refused is not.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
      lost();
    });
  };
  const close = () => {
    clearTimeout(again);
    source?.close();
  };
  const turn = () => {
    close();
    if (!document.hidden) open();
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    close();
  };
}
