// Which of the views is shown. The address's fragment says it: #view=run&run=pets; none is the list.
import { takeToken } from "./ask.js";
import { make } from "./dom.js";
import { compare } from "./compare.js";
import { training } from "./form.js";
import { list } from "./list.js";
import { run } from "./run.js";
import { LANGUAGES, language, speak, t } from "./strings.js";

const VIEWS = { list, run, compare, train: training };
const main = document.getElementById("main");
const switcher = document.getElementById("language");
let leave = () => {};

function show(focus) {
  leave();
  const asked = new URLSearchParams(location.hash.slice(1));
  const name = VIEWS[asked.get("view")] ? asked.get("view") : "list";
  greet(name);
  // A view gives what is shown and what is to be done when it is left.
  const view = VIEWS[name](asked);
  leave = view.leave ?? (() => {});
  document.title = `${view.title} · Pervade`;
  main.replaceChildren(...[view.element].flat());
  if (focus) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function greet(view) {
  const [name, title] = LANGUAGES.find(([other]) => other !== language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  switcher.textContent = title;
  switcher.lang = name;
  const nav = document.getElementById("nav");
  nav.setAttribute("aria-label", t("views"));
  nav.replaceChildren(...[["list", "#"], ["compare", "#view=compare"], ["train", "#view=train"]].map(([one, href]) =>
    make("a", { href, "aria-current": one === view || (one === "list" && view === "run") ? "page" : null }, t(`nav-${one}`))));
}

switcher.addEventListener("click", () => {
  speak(LANGUAGES.find(([name]) => name !== language)[0]);
  show(false);
});
addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("token")) takeToken();
  show(true);
});
takeToken();
show(false);
