// The runs of the folder: filtered, sorted by any figure, those that a run holds under it.
import { ask } from "./ask.js";
import { button, labelled, make, say } from "./dom.js";
import { age, duration, t } from "./strings.js";

const OFTEN = 2500, SELDOM = 10000; // milliseconds between two looks, while something runs and while nothing does
export const address = (view, values) => `#${new URLSearchParams({ view, ...values })}`;
export const json = async (path, options) => (await ask(path, options)).json();
export const query = (path, values) => `${path}?${new URLSearchParams(Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "" && value !== undefined)))}`;
// What is wider than the page scrolls by itself, by keys too.
export const scroll = (label, child) => make("div.scroll", { tabIndex: 0, role: "region", ariaLabel: label }, child);
const asked = { text: "", state: "", figure: "", bound: "", sort: "made", down: true }; // as long as the page lives
const opened = new Set();
const chosen = new Set();

export function list() {
  const place = make("div", { ariaBusy: "true" }, make("h1", {}, t("runs")), make("div.waiting", {}, make("i"), make("i"), make("i")));
  let timer, before, alive = true, drawn;
  async function look() {
    try {
      const told = await json("/api/runs");
      if (!alive) return;
      const now = JSON.stringify(told);
      if (now !== before) {
        before = now;
        drawn ??= frame(place);
        drawn(told);
      }
      timer = setTimeout(look, told.runs.some((one) => one.state === "working") ? OFTEN : SELDOM);
    } catch (error) {
      if (!alive) return;
      before = drawn = undefined;
      place.replaceChildren(make("p.caution", { role: "alert" }, error.message));
      timer = setTimeout(look, SELDOM);
    }
  }
  look();
  return { title: t("runs"), element: place, leave: () => ((alive = false), clearTimeout(timer)) };
}

// The controls stay while the table below them is drawn anew.
function frame(place) {
  let told = { runs: [] };
  const note = make("p.note"), body = make("div"), bar = make("div.chosen", { hidden: true });
  const text = make("input", { type: "search", value: asked.text, placeholder: t("find-hint") });
  const state = make("select", {}, ["", "working", "finished", "unfinished", "damaged"].map((one) => make("option", { value: one, selected: one === asked.state }, t(one ? `is-${one}` : "any"))));
  const figure = make("select");
  const bound = make("input", { inputMode: "decimal", value: asked.bound, placeholder: "0.9" });
  const bounded = labelled(t("at-least"), bound);
  const draw = () => table(told, body, bar, bounded, draw);
  text.addEventListener("input", () => ((asked.text = text.value), draw()));
  state.addEventListener("change", () => ((asked.state = state.value), draw()));
  figure.addEventListener("change", () => {
    Object.assign(asked, { figure: figure.value, sort: "figure", down: true });
    if (figures(told.runs).get(asked.figure)?.higher_is_better === false) asked.down = false;
    draw();
  });
  bound.addEventListener("input", () => ((asked.bound = bound.value), draw()));
  place.removeAttribute("aria-busy");
  place.replaceChildren(
    make("div.title.split", {}, make("div", {}, make("h1", {}, t("runs")), note), make("a.button.main", { href: "#view=train" }, t("nav-train"))),
    make("section.filters", { ariaLabel: t("filter") }, labelled(t("find"), text, "wide"), labelled(t("state"), state), labelled(t("figure"), figure), bounded),
    body, bar);
  return (now) => {
    told = now;
    note.replaceChildren(make("bdi", {}, told.folder), ` · ${t("so-many", { number: told.runs.length })}`);
    const names = figures(told.runs);
    figure.replaceChildren(make("option", { value: "" }, t("headline")), ...groups(names, (name, one) => make("option", { value: name, selected: name === asked.figure }, one.title)));
    draw();
  };
}

// Every figure that some run has, those that most runs have first.
function figures(runs) {
  const counted = new Map();
  for (const run of runs) for (const name of Object.keys(run.figures ?? {})) counted.set(name, (counted.get(name) ?? 0) + 1);
  const first = (name) => runs.find((run) => run.figures?.[name]).figures[name];
  return new Map([...counted].sort((a, b) => b[1] - a[1]).map(([name]) => [name, first(name)]));
}

function groups(names, option) {
  const all = [...names], whole = all.filter(([name]) => !name.endsWith("]")), single = all.filter(([name]) => name.endsWith("]"));
  return [...whole.map((pair) => option(...pair)), single.length ? make("optgroup", { label: t("of-classes") }, single.map((pair) => option(...pair))) : null].filter(Boolean);
}

const shown = (run) => run.figures?.[asked.figure || run.headline];

function fits(run) {
  const words = [run.name, run.does, run.task, run.model, run.data].join(" ").toLowerCase();
  if (!asked.text.toLowerCase().split(/\s+/).every((word) => words.includes(word))) return false;
  if (asked.state && !(run.state === asked.state || (asked.state === "damaged" && run.damaged?.length))) return false;
  const least = Number.parseFloat(asked.bound.replace(",", "."));
  if (Number.isNaN(least)) return true;
  const figure = shown(run);
  if (figure?.value === undefined || figure.value === null) return false;
  const limit = figure.percent && asked.bound.includes("%") ? least / 100 : least;
  return figure.higher_is_better === false ? figure.value <= limit : figure.value >= limit;
}

const KEYS = {
  name: (run) => run.name.toLowerCase(),
  state: (run) => ["working", "unfinished", "damaged", "finished"].indexOf(run.state),
  task: (run) => `${run.task} ${run.model}`.toLowerCase(),
  figure: (run) => shown(run)?.value ?? null,
  seconds: (run) => run.seconds ?? null,
  made: (run) => run.made ?? null,
};

function sorted(runs) {
  const key = KEYS[asked.sort], way = asked.down ? -1 : 1;
  return [...runs].sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one === null || other === null) return (one === null) - (other === null); // without one: last
    return way * (one < other ? -1 : one > other ? 1 : 0);
  });
}

function table(told, body, bar, bounded, draw) {
  const lower = asked.figure && figures(told.runs).get(asked.figure)?.higher_is_better === false;
  bounded.querySelector("label").textContent = t(lower ? "at-most" : "at-least");
  const by = Map.groupBy ? Map.groupBy(told.runs, (run) => run.inside) : grouped(told.runs);
  const wanted = new Set(told.runs.filter(fits).map((run) => run.name));
  for (const name of [...wanted]) for (let at = name.lastIndexOf("/"); at > 0; at = name.lastIndexOf("/", at - 1)) wanted.add(name.slice(0, at));
  const filtered = asked.text || asked.state || asked.bound;
  const lines = [];
  const add = (inside, deep) => {
    for (const run of sorted(by.get(inside) ?? [])) {
      if (!wanted.has(run.name)) continue;
      const members = (by.get(run.name) ?? []).length;
      const open = members && (opened.has(run.name) || (filtered && (by.get(run.name) ?? []).some(fits)));
      lines.push(line(run, deep, members, open, draw));
      if (open) add(run.name, deep + 1);
    }
  };
  add("", 0);
  const focused = document.activeElement?.dataset?.key;
  const columns = [["name", "run"], ["state", "state"], ["task", "task"], ["figure", "figure"], ["seconds", "time"], ["made", "begun"]];
  const heads = columns.map(([sort, title]) => {
    const on = asked.sort === sort;
    const head = button(t(title), () => {
      Object.assign(asked, on ? { down: !asked.down } : { sort, down: ["made", "figure", "seconds"].includes(sort) });
      draw();
    }, { look: "sort", "data-key": `sort ${sort}` });
    return make("th", { scope: "col", ariaSort: on ? (asked.down ? "descending" : "ascending") : null, className: `of-${sort}` }, head);
  });
  body.replaceChildren(lines.length
    ? scroll(t("runs"), make("table.runs", {}, make("caption.visually-hidden", {}, t("runs")), make("thead", {}, make("tr", {}, make("th.of-choice", { scope: "col" }, make("span.visually-hidden", {}, t("choose"))), heads)), make("tbody", {}, lines)))
    : make("p.card.empty", {}, told.runs.length ? t("none-fit") : t("none-yet")));
  if (focused) [...body.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus();
  pair(told, bar, draw);
}

function grouped(runs) {
  const by = new Map();
  for (const run of runs) by.set(run.inside, [...(by.get(run.inside) ?? []), run]);
  return by;
}

export const chip = (state, verb) => make(`span.chip.${state}`, {}, t(state === "working" && verb && verb !== "train" && verb !== "resume" ? "is-at-work" : `is-${state}`));

function line(run, deep, members, open, draw) {
  const own = run.name.slice(run.inside ? run.inside.length + 1 : 0), figure = shown(run);
  const choice = make("input", { type: "checkbox", checked: chosen.has(run.name), ariaLabel: t("choose-run", { run: run.name }), "data-key": `choice ${run.name}` });
  choice.addEventListener("change", () => {
    choice.checked ? chosen.add(run.name) : chosen.delete(run.name);
    while (chosen.size > 2) chosen.delete([...chosen][0]);
    draw();
  });
  const toggle = members ? button(t(members === 1 ? "one-inside" : "many-inside", { number: members }), () => {
    open ? opened.delete(run.name) : opened.add(run.name);
    draw();
  }, { look: "inside", ariaExpanded: open ? "true" : "false", ariaLabel: `${run.name}: ${t(members === 1 ? "one-inside" : "many-inside", { number: members })}`, "data-key": `inside ${run.name}` }) : null;
  return make(`tr.deep-${Math.min(deep, 2)}`, {},
    make("td.of-choice", {}, choice),
    make("th.of-name", { scope: "row" }, make("a", { href: address("run", { run: run.name }), "data-key": `run ${run.name}` }, make("bdi", {}, own)),
      run.does ? make("small", { lang: "en" }, run.does) : null,
      (run.damaged ?? []).slice(0, 1).map((why) => make("small.why", { lang: "en" }, why)), toggle),
    make("td.of-state", {}, chip(run.state, run.verb), run.damaged?.length && run.state !== "damaged" ? chip("damaged") : null),
    make("td.of-task", {}, run.task ?? "", run.model ? make("small", {}, run.model) : null),
    make(figure ? "td.of-figure" : "td.of-figure.none", {}, figure ? [make("b", {}, figure.text), figure.interval ? make("small", {}, figure.interval) : null, asked.figure ? null : make("small.called", { lang: "en" }, figure.title)] : "–"),
    make("td.of-seconds", {}, run.seconds ? duration(run.seconds) : "–"),
    make("td.of-made", {}, run.made ? age(run.made) : "–"));
}

function pair(told, bar, draw) {
  for (const name of [...chosen]) if (!told.runs.some((run) => run.name === name)) chosen.delete(name);
  bar.hidden = !chosen.size;
  if (!chosen.size) return;
  const [first, second] = [...chosen];
  bar.replaceChildren(make("span", {}, second ? t("two-chosen", { first, second }) : t("one-chosen", { first })),
    make("span.buttons", {}, second ? make("a.button.main", { href: address("compare", { first, second }) }, t("nav-compare")) : null,
      button(t("clear"), () => (chosen.clear(), say(t("cleared")), draw()), { look: "quiet" })));
}
