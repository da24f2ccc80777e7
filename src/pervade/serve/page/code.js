// The last request as a command and as a program, ready to be copied.
import { hasToken } from "./ask.js";
import { button, make, say } from "./dom.js";
import { t } from "./strings.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`; // for a shell
const literal = (value) => JSON.stringify(value); // of texts and numbers, lists and dicts of them, Python's is the same
const TOKEN = "YOUR_TOKEN";

// `sent` is {path, body} of JSON, or {path, form} with files.
export function curl(sent) {
  const parts = [`curl ${quoted(location.origin + sent.path)}`];
  if (hasToken()) parts.push(`-H 'Authorization: Bearer ${TOKEN}'`);
  if (sent.form) {
    for (const [field, value] of sent.form) parts.push(`-F ${quoted(value instanceof File ? `${field}=@${value.name}` : `${field}=${value}`)}`);
  } else {
    parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(sent.body))}`);
  }
  return parts.join(" \\\n  ");
}

export function python(sent) {
  const wrote = ["/v1/chat/completions", "/v1/completions"].includes(sent.path);
  return wrote ? openai(sent) : httpx(sent);
}

function httpx(sent) {
  const head = hasToken() ? `,\n    headers={"Authorization": "Bearer ${TOKEN}"}` : "";
  const lines = ["import httpx", ""];
  if (sent.form) {
    const files = sent.form.filter(([, value]) => value instanceof File);
    const texts = sent.form.filter(([, value]) => !(value instanceof File));
    lines.push(`files = [${files.map(([field, value]) => `(${literal(field)}, open(${literal(value.name)}, "rb"))`).join(", ")}]`);
    const data = texts.length ? `,\n    data=${literal(Object.fromEntries(texts))}` : "";
    lines.push(`answer = httpx.post(\n    ${literal(location.origin + sent.path)},\n    files=files${data}${head},\n    timeout=60,\n)`);
  } else {
    lines.push(`answer = httpx.post(\n    ${literal(location.origin + sent.path)},\n    json=${literal(sent.body)}${head},\n    timeout=60,\n)`);
  }
  return [...lines, "print(answer.raise_for_status().json())"].join("\n");
}

function openai(sent) {
  const chat = sent.path === "/v1/chat/completions";
  const given = Object.entries(sent.body).map(([name, value]) => `    ${name}=${literal(value)},`);
  return ["from openai import OpenAI", "",
    `client = OpenAI(base_url=${literal(`${location.origin}/v1`)}, api_key=${literal(hasToken() ? TOKEN : "none")})`,
    `stream = client.${chat ? "chat.completions" : "completions"}.create(`, ...given, "    stream=True,", ")",
    "for event in stream:", `    print(event.choices[0].${chat ? "delta.content or \"\"" : "text"}, end="", flush=True)`].join("\n");
}

export function snippets() {
  const shown = { curl: make("code"), python: make("code") };
  const element = make("details.card.code", { hidden: true }, make("summary", {}, t("from-a-program")),
    Object.entries(shown).map(([name, code]) => make("section", {},
      make("div.bar-of", {}, make("h2", {}, name === "curl" ? "curl" : "Python"), button(t("copy"), () => copy(code), { drawn: "copy", look: "quiet", "aria-label": `${t("copy")} (${name})` })),
      make("pre", { tabIndex: 0 }, code))),
    make("p.note", {}, t("more-in-docs"), " ", make("a", { href: "/docs" }, "/docs")));
  function update(sent) {
    element.hidden = false;
    shown.curl.textContent = curl(sent);
    shown.python.textContent = python(sent);
  }
  return { element, update };
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    say(t("copied"));
  } catch {
    getSelection().selectAllChildren(code); // ready for Ctrl+C
    say(t("selected"));
  }
}
