// Models that write: conversations, and texts that are written on, piece by piece as they come.
import { button, labelled, make, say, titled } from "./dom.js";
import { events } from "./ask.js";
import { t } from "./strings.js";

export function writing(about, sent) {
  return about.writes === "chat" ? conversation(about, sent) : continuation(about, sent);
}

function settings() {
  const field = (name, more) => make("input", { type: "number", name, ...more });
  const temperature = field("temperature", { min: 0, max: 2, step: 0.1, value: 0.7 });
  const length = field("max_tokens", { min: 1, max: 4096, step: 1, value: 256 });
  const seed = field("seed", { min: 0, max: 2 ** 31 - 1, step: 1, placeholder: t("none") });
  const element = make("details.settings", {}, make("summary", {}, t("settings")),
    make("div.row", {}, labelled(t("temperature"), temperature), labelled(t("max-tokens"), length), labelled(t("seed"), seed)));
  const values = () => {
    const given = { temperature: Number(temperature.value), max_tokens: Number(length.value) };
    return seed.value === "" ? given : { ...given, seed: Number(seed.value) };
  };
  return { element, values };
}

// Sends, and shows what comes; `piece` is called with each text. Resolves to a note about the whole.
async function stream(path, body, signal, piece) {
  const begun = performance.now();
  let first = null;
  let usage = null;
  let ended = "";
  for await (const event of events(path, { ...body, stream: true, stream_options: { include_usage: true } }, signal)) {
    if (event.usage) usage = event.usage;
    const choice = event.choices?.[0];
    const text = choice?.delta?.content ?? choice?.text ?? "";
    if (choice?.finish_reason) ended = choice.finish_reason;
    if (text) {
      first ??= performance.now();
      piece(text);
    }
  }
  const seconds = (performance.now() - begun) / 1000;
  const tokens = usage?.completion_tokens ?? 0;
  const told = tokens ? t("speed", { tokens: tokens.toLocaleString(), rate: (tokens / Math.max(seconds, 1e-3)).toFixed(0) }) : "";
  return ended === "length" ? `${told} ${t("cut-short")}` : told;
}

// A form whose button sends, and stops what is under way.
function sender(go, word) {
  let running = null;
  const press = make("button.main", { type: "submit" }, word);
  async function submit(event) {
    event.preventDefault();
    if (running) {
      running.abort();
      return;
    }
    running = new AbortController();
    press.textContent = t("stop");
    try {
      await go(running.signal);
    } finally {
      running = null;
      press.textContent = word;
    }
  }
  return { press, submit, running: () => running !== null };
}

function conversation(about, sent) {
  const messages = [];
  const log = make("div.log", { role: "log", "aria-label": t("conversation"), "aria-live": "off", tabIndex: 0 });
  const area = make("textarea", { rows: 2, dir: "auto", placeholder: t("say-something") });
  const asked = settings();
  const { press, submit, running } = sender(turn, t("send"));
  async function turn(signal) {
    const text = area.value.trim();
    if (!text) return;
    area.value = "";
    messages.push({ role: "user", content: text });
    const body = { model: about.name, messages, ...asked.values() };
    sent({ path: "/v1/chat/completions", body: { ...body, messages: [...messages] } });
    log.append(make("div.turn.user", {}, make("span.visually-hidden", {}, `${t("you")}: `), make("p", { dir: "auto" }, text)));
    const words = make("p", { dir: "auto" });
    const note = make("small.note");
    const answer = make("div.turn.model", { "aria-busy": "true" }, make("span.visually-hidden", {}, `${about.name}: `), words, note);
    log.append(answer);
    answer.scrollIntoView({ block: "nearest" });
    let whole = "";
    try {
      note.textContent = await stream("/v1/chat/completions", body, signal, (piece) => {
        whole += piece;
        words.textContent = whole;
        answer.scrollIntoView({ block: "nearest" });
      });
    } catch (error) {
      note.textContent = error.name === "AbortError" ? t("stopped") : error.message;
      if (error.name !== "AbortError") note.className = "caution";
    }
    answer.removeAttribute("aria-busy");
    if (whole) messages.push({ role: "assistant", content: whole });
    else messages.pop(); // one that says nothing is no turn
    say(whole || note.textContent);
  }
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!running()) area.form.requestSubmit();
    }
  });
  const anew = button(t("anew"), () => {
    messages.length = 0;
    log.replaceChildren();
    area.focus();
  });
  return make("div.chat", {}, log,
    make("form.written", { onsubmit: submit }, labelled(t("your-message"), area), make("div.buttons", {}, press, anew, make("span.note.keys", {}, t("chat-keys"))), asked.element));
}

function continuation(about, sent) {
  const area = make("textarea", { rows: 5, dir: "auto", placeholder: t("begin-here") });
  const asked = settings();
  const { press, submit, running } = sender(go, t("write-on"));
  const shown = make("div.results");
  async function go(signal) {
    const prompt = area.value;
    const body = { model: about.name, prompt, ...asked.values() };
    sent({ path: "/v1/completions", body });
    const words = make("span.new");
    const note = make("small.note");
    const card = make("article.card", { "aria-busy": "true" }, make("p.transcript", { dir: "auto" }, make("span.prompt", {}, prompt), words), note);
    shown.prepend(card);
    let whole = "";
    try {
      note.textContent = await stream("/v1/completions", body, signal, (piece) => {
        whole += piece;
        words.textContent = whole;
      });
    } catch (error) {
      note.textContent = error.name === "AbortError" ? t("stopped") : error.message;
      if (error.name !== "AbortError") note.className = "caution";
    }
    card.removeAttribute("aria-busy");
    say(whole || note.textContent);
  }
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!running()) area.form.requestSubmit();
    }
  });
  return make("div", {}, make("form.written.card", { onsubmit: submit }, labelled(titled(about.takes[0]), area),
    make("div.buttons", {}, press, make("span.note.keys", {}, t("keys"))), asked.element), shown);
}
