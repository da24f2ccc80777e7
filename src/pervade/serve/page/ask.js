// Asking the server. The token lives in this module's memory: it came in the address's fragment, which no server sees,
// or was typed; it is in no storage, no cookie and no address.
import { t } from "./strings.js";

let token = "";

export function takeToken(given) {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (given === undefined && fragment.has("token")) {
    history.replaceState(null, "", location.pathname + location.search);
    given = fragment.get("token");
  }
  if (given !== undefined) token = given.trim();
}

export const hasToken = () => token !== "";

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export async function ask(path, { json, ...options } = {}) {
  const headers = new Headers();
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (json !== undefined) {
    headers.set("Content-Type", "application/json");
    options = { method: "POST", body: JSON.stringify(json), ...options };
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, t("unreachable"));
  }
  if (!response.ok) throw new Refused(response.status, await sentence(response));
  return response;
}

// The one sentence of a refusal, in whichever of the protocols' shapes.
async function sentence(response) {
  const said = await response.json().catch(() => ({}));
  const told = said.detail ?? said.error?.message ?? said.error;
  return typeof told === "string" ? told : `${response.status} ${response.statusText}`;
}

export const address = (model, verb) => `/v1/models/${encodeURIComponent(model)}/${verb}`;

const isFile = (value) => value instanceof File;
const hasFiles = (inputs) => inputs.some((input) => Object.values(input).some(isFile));

// The request for an answer to each input, in their order. An input is {field: text or File}.
export function request(about, inputs, top) {
  const path = address(about.name, "predict");
  if (hasFiles(inputs)) return { path, form: [...inputs.flatMap((input) => Object.entries(input)), ["top", String(top)]] };
  const only = about.takes.length === 1 ? about.takes[0].name : null;
  return { path, body: { inputs: only === null ? inputs : inputs.map((input) => input[only]), top } };
}

export async function answers(asked) {
  if (!asked.form) return (await (await ask(asked.path, { json: asked.body })).json()).answers;
  const body = new FormData();
  for (const [field, value] of asked.form) body.append(field, value);
  return (await (await ask(asked.path, { method: "POST", body })).json()).answers;
}

// The events of a stream, one after the other, until the server says that there are no more.
export async function* events(path, json, signal) {
  const response = await ask(path, { json, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += value;
    const lines = waiting.split(/\r?\n/);
    waiting = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Refused(500, event.error.message ?? String(event.error));
      yield event;
    }
  }
}
