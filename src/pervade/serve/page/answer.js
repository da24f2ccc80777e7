// An answer, drawn by what stands in it: what `pervade predict --json` prints, key by key.
import { blob, make, titled } from "./dom.js";
import { number, share, t } from "./strings.js";

const FEWEST = 20; // measured rows of a bar, below which nothing is said of it
const SURE = 0.6; // share right of such answers, else probability, below which the model is said not to be sure
const KNOWN = ["input", "error", "answer", "answered", "top", "labels", "gaps", "set", "coverage", "value", "low", "high",
  "text", "words", "confidence", "error_bound", "probability", "start", "end", "embedding", "neighbours", "cut"];

// The card of one input and its answer; `null` while it is waited for.
export function card(about, input, answer) {
  const [shown, sound] = given(about, input);
  const body = make("div.said", {});
  const made = make("article.card", { "aria-label": named(input), "aria-busy": String(answer === null) }, shown, body);
  if (answer === null) body.append(make("div.waiting", {}, make("i"), make("i"), make("i")));
  else body.append(...told(about, input, answer, sound));
  return made;
}

export function named(input) {
  const values = Object.values(input).map((value) => (value instanceof File ? value.name : value));
  return values.filter(Boolean).join(" · ").slice(0, 80) || "–";
}

function given(about, input) {
  let sound = null;
  const parts = about.takes.map((field) => {
    const value = input[field.name];
    if (!(value instanceof File)) {
      if (!value || field.kind === "label" || field.kind === "seed") return null; // which stand below what was made
      const text = make("p.text", { dir: "auto" }, value);
      return about.takes.length > 1 ? make("div", {}, make("p.term", {}, titled(field)), text) : text;
    }
    if (field.kind === "picture") return picture(value);
    const name = make("p.file", { dir: "auto" }, value.name);
    if (field.kind !== "sound") return name;
    sound = make("audio", { controls: true, src: URL.createObjectURL(value), "aria-label": value.name });
    return make("div.sound", {}, name, sound);
  });
  const shown = parts.filter(Boolean);
  return [shown.length ? make("div.given", {}, shown) : null, sound];
}

const picture = (file) => make("figure", {}, preview(file, t("no-preview")), make("figcaption", { dir: "auto" }, file.name));

// The picture, or `otherwise` where browsers do not know its form.
function preview(file, otherwise) {
  const image = make("img", { src: URL.createObjectURL(file), alt: file.name });
  image.addEventListener("error", () => image.replaceWith(make("div.blank", { dir: "auto" }, otherwise)));
  return image;
}

// Everything that is said, as elements.
function told(about, input, answer, sound) {
  if (answer.error) return [make("p.caution", { dir: "auto" }, answer.error)];
  return [
    ...headline(about, input, answer, sound),
    ...passage(input, answer),
    ...gaps(answer),
    bars(answer),
    setOf(answer),
    neighbours(answer),
    media(answer),
    others(answer),
    answer.cut ? make("p.note", {}, answer.cut) : null,
  ].filter(Boolean);
}

// What is said first, for people who hear the page as well.
export function spoken(about, input, answer) {
  if (answer.error) return `${named(input)}: ${answer.error}`;
  const [said, , sure] = verdict(about, answer);
  if (!said) return t("ready");
  return `${named(input)}: ${sure ? said : `${t("not-sure")}, ${said}`}`;
}

// The likeliest; none where a task calls something else so.
const ranked = (answer) => (Array.isArray(answer.top) ? answer.top : []);

// [what is said, how likely that is, whether the model is sure, the bar of the measured rows that were answered alike]
function verdict(about, answer) {
  const top = ranked(answer);
  const likeliest = top.reduce((best, one) => (!best || one.probability > best.probability ? one : best), null);
  let said = typeof answer.answer === "string" && answer.answered !== false ? answer.answer || t("no-answer") : null;
  if (answer.labels) said = answer.labels.map((one) => one.label).join(", ") || t("no-label");
  else if (said === null && answer.text !== undefined) said = answer.text;
  else if (said === null && answer.value !== undefined) said = number(answer.value);
  else if (said === null && top.length) said = top[0].label;
  else if (said === null && answer.neighbours?.length) said = answer.neighbours[0].same === false ? t("nobody") : answer.neighbours[0].label;
  else if (said === null && answer.gaps) said = answer.gaps.map((gap) => gap[0]?.label ?? "–").join(", ");
  said ??= "";
  if (answer.labels || !likeliest) return [said, null, answer.answered !== false, null];
  const chance = answer.probability ?? top.find((one) => one.label === said)?.probability ?? null;
  const judged = said === likeliest.label && !answer.gaps && answer.probability === undefined && about.sureness.length;
  const bar = judged ? about.sureness.find((one) => one.low < chance && chance <= one.high) ?? { n: 0 } : null;
  const right = bar?.n >= FEWEST ? bar.right : chance ?? 1;
  return [said, chance, answer.answered !== false && right >= SURE, bar];
}

function headline(about, input, answer, sound) {
  if (answer.text !== undefined) return transcript(answer, sound);
  if (answer.value !== undefined) return [make("h2", {}, number(answer.value)), range(answer)];
  const [said, chance, sure, bar] = verdict(about, answer);
  if (!said) return [];
  const shown = make("bdi", {}, said);
  const beside = chance === null ? null : make("span.chance", {}, share(chance));
  const made = sure ? [make("h2", {}, shown, beside)]
    : [make("h2.unsure", {}, t("not-sure")), make("p.likeliest", {}, t("likeliest"), " ", make("b", {}, shown), beside)];
  if (answer.answered === false) made.push(make("p.note", {}, t("withheld")));
  if (bar && bar.n < FEWEST) made.push(make("p.note", {}, t("trust-few", { n: bar.n })));
  else if (bar) {
    const ends = [bar.right, bar.right_low, bar.right_high];
    const digits = ends.some((end) => end > 0.99 && end < 1) ? 1 : 0;
    const [right, low, high] = ends.map((end) => (end === 1 ? "100" : (100 * end).toFixed(digits)));
    const values = { right, low, high, n: bar.n.toLocaleString() };
    made.push(make("p.trust", {}, t("trust", values), " ", make("small", {}, t("trust-of", values))));
  }
  return made;
}

const hundred = (value) => (100 * value).toFixed(value > 0.99 && value < 1 ? 1 : 0);

function transcript(answer, sound) {
  const text = make("p.transcript", { dir: "auto" });
  if (!answer.words?.length) text.append(answer.text || t("nothing-heard"));
  const words = (answer.words ?? []).map((word) => {
    const doubtful = word.confidence < 0.5;
    const title = `${word.start.toFixed(2)}–${word.end.toFixed(2)} s, ${share(word.confidence)}`;
    const made = make(`span.word${doubtful ? ".doubtful" : ""}`, { title }, word.word);
    text.append(made, " ");
    return [word, made];
  });
  sound?.addEventListener("timeupdate", () => {
    const now = sound.currentTime;
    for (const [word, element] of words) element.classList.toggle("now", !sound.paused && word.start <= now && now < word.end);
  });
  const notes = [];
  if (answer.confidence !== undefined) notes.push(t("word-confidence", { share: share(answer.confidence) }));
  if (answer.error_bound !== undefined) notes.push(t("error-bound", { share: share(answer.error_bound), of: hundred(answer.coverage) }));
  if (words.some(([word]) => word.confidence < 0.5)) notes.push(t("doubtful"));
  return [text, notes.length ? make("p.note", {}, notes.join(" ")) : null];
}

function range(answer) {
  if (answer.low === undefined) return null;
  return make("p.trust", {}, t("range", { low: number(answer.low), high: number(answer.high), of: hundred(answer.coverage) }));
}

// Where in a text that was given the answer stands.
function passage(input, answer) {
  if (!Number.isInteger(answer.start) || !answer.answer) return [];
  const text = Object.values(input).find((value) => typeof value === "string" && [...value].slice(answer.start, answer.end).join("") === answer.answer);
  if (!text) return [];
  const letters = [...text]; // the server counts characters, and not halves of them
  const from = Math.max(0, answer.start - 120);
  const to = Math.min(letters.length, answer.end + 120);
  const cut = (begin, end) => letters.slice(begin, end).join("");
  return [make("p.passage", { dir: "auto" }, from ? "… " : "", cut(from, answer.start),
    make("mark", {}, answer.answer), cut(answer.end, to), to < letters.length ? " …" : "")];
}

function gaps(answer) {
  if (!answer.gaps || answer.gaps.length < 2) return [];
  return answer.gaps.map((gap, i) => make("div", {}, make("p.term", {}, t("gap", { number: i + 1 })), list(gap)));
}

function bars(answer) {
  const top = ranked(answer);
  if (!top.length || (answer.gaps && answer.gaps.length > 1)) return null;
  return list(top.map((one) => ({ ...one, label: one.label || t("no-answer") })), new Set(answer.labels?.map((one) => one.label)), answer.set);
}

function list(rows, chosen = new Set(), inside = null) {
  return make("ol.bars", { role: "list" }, rows.map((row) => {
    const filled = make("span");
    filled.style.width = `${Math.max(0, Math.min(100, 100 * row.probability))}%`;
    const look = chosen.has(row.label) || inside?.includes(row.label) ? ".chosen" : "";
    return make(`li${look}`, {}, make("bdi.name", {}, row.label), make("span.share", {}, share(row.probability)), make("span.bar", { "aria-hidden": "true" }, filled));
  }));
}

function setOf(answer) {
  if (!answer.set) return null;
  const one = answer.set.join(", ") || t("empty-set");
  return make("p.trust", {}, t("set", { of: hundred(answer.coverage) }), " ", make("b", {}, make("bdi", {}, one)));
}

function neighbours(answer) {
  if (!answer.neighbours?.length) return null;
  const verdicts = { true: t("same"), false: t("different") };
  const rows = answer.neighbours.map((near) => {
    const filled = make("span");
    filled.style.width = `${Math.max(0, Math.min(100, 100 * near.similarity))}%`;
    return make("li", {}, make("bdi.name", {}, near.label), make("span.share", {}, near.similarity.toFixed(3), " ", make("small", {}, verdicts[near.same] ?? "")),
      make("span.bar", { "aria-hidden": "true" }, filled));
  });
  return make("div", {}, make("p.term", {}, t("nearest")), make("ol.bars", { role: "list" }, rows));
}

// A file that was made: {"type": …, "base64": …}.
function media(answer) {
  if (!answer.file?.base64) return null;
  const { type, base64 } = answer.file;
  const source = URL.createObjectURL(blob(base64, type));
  const told = ["label", "seed"].filter((key) => answer[key] !== undefined && answer[key] !== null).map((key) => `${t(`its-${key}`)} ${answer[key]}`).join(", ");
  const made = type.startsWith("audio/") ? make("audio", { controls: true, src: source, "aria-label": told || t("sound") })
    : make("img.made", { src: source, alt: t("made-picture", { told }) });
  return make("figure", {}, made, make("figcaption", {}, told, " ", make("a", { href: source, download: `made.${type.split("/")[1]}` }, t("save"))));
}

function others(answer) {
  const known = answer.file?.base64 ? [...KNOWN, "label", "seed", "file"] : KNOWN;
  const rest = Object.entries(answer).filter(([name, value]) => value !== null && (!known.includes(name) || (name === "top" && !Array.isArray(value))));
  if (!rest.length) return null;
  const written = (value) => (typeof value === "number" ? number(value) : typeof value === "string" ? value : JSON.stringify(value));
  return make("dl", {}, rest.map(([name, value]) => [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, written(value))]));
}

// How alike inputs are whose answers are embeddings: each two of the last few.
export function compared(about, pairs) {
  const rows = [];
  for (let i = 0; i < pairs.length; i++) {
    for (let j = i + 1; j < pairs.length && rows.length < 6; j++) rows.push([pairs[i], pairs[j]]);
  }
  if (!rows.length) return null;
  return make("section.card.pairs", {}, make("h2", {}, t("compared")), rows.map(([[one, a], [other, b]]) => {
    const cosine = a.embedding.reduce((sum, value, i) => sum + value * b.embedding[i], 0);
    const verdict = about.threshold == null ? "" : t(cosine >= about.threshold ? "same" : "different");
    return make("div.pair", {}, ...thumbs(one), make("p", {}, make("b", {}, verdict || t("similarity")), " ", cosine.toFixed(3),
      about.threshold == null ? null : make("small", {}, " ", t("same-from", { threshold: about.threshold.toFixed(3) }))), ...thumbs(other));
  }));
}

function thumbs(input) {
  return Object.values(input).map((value) => value instanceof File ? preview(value, value.name) : make("span", { dir: "auto" }, named(input).slice(0, 40)));
}
