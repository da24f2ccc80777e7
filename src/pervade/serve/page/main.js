// The page at "/": which model, what it is given, what it says.
import { button, labelled, make, say } from "./dom.js";
import { Refused, address, answers, ask, request, takeToken } from "./ask.js";
import { card, compared, spoken } from "./answer.js";
import { snippets } from "./code.js";
import { form } from "./give.js";
import { LANGUAGES, language, speak, t } from "./strings.js";
import { episodes } from "./watch.js";
import { writing } from "./write.js";

const MOST = 60; // cards that are kept
const TOP = 5; // classes that are asked for

const main = document.getElementById("main");
const switcher = document.getElementById("language");
let models = [];
let chosen = "";

switcher.addEventListener("click", () => {
  speak(LANGUAGES.find(([name]) => name !== language)[0]);
  greet();
  if (models.length) draw();
});

function greet() {
  const [name, title] = LANGUAGES.find(([other]) => other !== language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  switcher.textContent = title;
  switcher.lang = name;
}

async function start() {
  greet();
  try {
    models = (await (await ask("/v1/page")).json()).models;
  } catch (error) {
    if (error.status === 401) return askForToken(error);
    main.replaceChildren(make("p.caution", {}, error.message));
    return;
  }
  if (!models.length) main.replaceChildren(make("p.caution", {}, t("no-models")));
  else draw();
}

function askForToken() {
  const field = make("input", { type: "password", autocomplete: "off", required: true });
  main.replaceChildren(make("form.card.written", { onsubmit: (event) => (event.preventDefault(), takeToken(field.value), start()) },
    make("h1", {}, t("token")), make("p", {}, t("token-wanted")), labelled(t("token"), field),
    make("div.buttons", {}, make("button.main", { type: "submit" }, t("open")))));
  field.focus();
}

function draw() {
  const about = models.find((model) => model.name === chosen) ?? models[0];
  chosen = about.name;
  pick(about);
  document.title = `${about.name} · Pervade`;
  const code = snippets();
  const watched = make("p.note", { hidden: true, lang: "en" });
  const body = about.plays ? episodes(about, code.update) : about.writes ? writing(about, code.update) : asked(about, code, watched);
  main.replaceChildren(
    make("div.title", {}, make("h1", { lang: about.does ? "en" : null }, about.does || t("reads", { what: about.reads })), ...facts(about)),
    body, watched, code.element);
  incoming(about, watched);
}

function pick(about) {
  const place = document.getElementById("picker");
  if (models.length < 2) {
    place.replaceChildren(make("b", { dir: "auto" }, about.name));
    return;
  }
  const select = make("select", { "aria-label": t("model") }, models.map((model) => make("option", { value: model.name, selected: model === about }, model.name)));
  select.addEventListener("change", () => {
    chosen = select.value;
    draw();
    document.querySelector("#picker select").focus();
  });
  place.replaceChildren(select);
}

function facts(about) {
  const classes = about.labels.length > 2 ? about.labels.slice(0, 12).join(", ") + (about.labels.length > 12 ? " …" : "") : "";
  return [
    about.measured ? make("p.lead", { lang: "en" }, about.measured) : null,
    classes ? make("p.note", {}, make("bdi", {}, classes)) : null,
    about.promises?.length ? make("div.note.promises", {}, t("promised"), make("ul", { lang: "en" }, about.promises.map((one) => make("li", {}, one)))) : null,
    about.remark ? make("p.caution", { lang: "en" }, about.remark) : null,
  ].filter(Boolean);
}

// Inputs that are answered one by one.
function asked(about, code, watched) {
  const results = make("section.results", { "aria-label": t("answers") });
  const clear = button(t("clear"), () => {
    results.replaceChildren();
    embedded.length = 0;
    clear.hidden = true;
  }, { look: "quiet", hidden: true });
  const embedded = []; // the last inputs whose answers are embeddings
  async function send(inputs) {
    const waiting = inputs.map((input) => card(about, input, null));
    results.prepend(...waiting);
    clear.hidden = false;
    for (const old of [...results.children].slice(MOST)) forget(old);
    const wanted = request(about, inputs, TOP);
    code.update(wanted);
    try {
      const told = await answers(wanted);
      told.forEach((answer, i) => {
        waiting[i].replaceWith(card(about, inputs[i], answer));
        if (answer.embedding) embedded.push([inputs[i], answer]);
      });
      say(told.map((answer, i) => spoken(about, inputs[i], answer)).join(". "));
      embedded.splice(0, Math.max(0, embedded.length - Math.max(2, inputs.length)));
      const pairs = compared(about, embedded);
      if (pairs) {
        results.querySelector(".pairs")?.remove();
        results.prepend(pairs);
      }
    } catch (error) {
      const told = error instanceof Refused ? error.message : String(error);
      waiting.forEach((one, i) => one.replaceWith(card(about, inputs[i], { error: told })));
      say(told);
      if (error.status === 401) askForToken();
    }
    incoming(about, watched);
  }
  return make("div", {}, make("section.card.asking", {}, form(about, send)), results, clear);
}

function forget(old) {
  for (const media of old.querySelectorAll("img, audio")) URL.revokeObjectURL(media.src);
  old.remove();
}

// Whether what comes in looks like what the model learnt from, where the server watches that.
async function incoming(about, element) {
  if (!about.watched) return;
  const told = await ask(address(about.name, "watch")).then((response) => response.json()).catch(() => null);
  element.hidden = !told?.inputs || !Object.keys(told.statistics).length; // else there is nothing to say yet
  element.className = told?.alarm ? "caution" : "note";
  element.textContent = told ? told.sentence.charAt(0).toUpperCase() + told.sentence.slice(1) + "." : "";
}

takeToken();
start();
