// One run: what it does and reached, its curves, the runs that it holds, its predictions.
import { ask, hasToken, takeToken } from "./ask.js";
import { button, labelled, make, say } from "./dom.js";
import { curves } from "./curves.js";
import { address, chip, json, query, scroll } from "./list.js";
import { rows } from "./rows.js";
import { age, duration, number, t } from "./strings.js";

export function run(asked) {
  const name = asked.get("run") ?? "", element = make("div", { ariaBusy: "true" }, make("h1", {}, make("bdi", {}, name)));
  let alive = true, watching;
  async function look() {
    watching?.leave();
    watching = undefined;
    try {
      const told = await json(query("/api/run", { run: name }));
      if (!alive) return;
      element.removeAttribute("aria-busy");
      watching = draw(element, told, look);
    } catch (error) {
      if (alive) element.replaceChildren(make("h1", {}, make("bdi", {}, name)), make("p.caution", { role: "alert" }, error.message));
    }
  }
  look();
  return { title: name, element, leave: () => ((alive = false), watching?.leave()) };
}

function draw(element, told, again) {
  const about = told.run, inside = told.inside;
  const table = told.predictions.length ? rows(about.name, told.predictions) : null;
  // A run of runs has no log of its own: shown is the one that works, else the first.
  const candidates = [about, ...inside.filter((one) => one.state === "working"), ...inside.filter((one) => one.state !== "working")];
  const begin = inside.length ? candidates[1] : about;
  const box = make("div");
  let drawn = curves(begin.name, again);
  box.append(drawn.element);
  const which = inside.length ? make("select", {}, candidates.map((one) => make("option", { value: one.name, selected: one === begin }, one.name))) : null;
  which?.addEventListener("change", () => {
    drawn.leave();
    drawn = curves(which.value, again);
    box.replaceChildren(drawn.element);
  });
  element.replaceChildren(
    make("div.title", {}, make("h1", {}, make("bdi", {}, about.name), " ", chip(about.state, about.verb)), about.does ? make("p.lead", { lang: "en" }, about.does) : null),
    ...(about.damaged ?? []).map((why) => make("p.caution", { lang: "en" }, why)),
    actions(about, again),
    make("div.beside", {},
      make("section.card", {}, make("h2", {}, t("facts")), facts(about, told.path)),
      Object.keys(about.figures ?? {}).length ? make("section.card", {}, make("h2", {}, t("figures")), figures(about)) : null),
    inside.length ? make("section.card", {}, make("h2", {}, t("inside")), members(inside)) : "",
    make("section.card", {}, make("h2", {}, t("curves")), which ? labelled(t("of-run"), which) : null, box),
    table ? make("section.card", {}, make("h2", {}, t("predictions")), table) : "");
  return { leave: () => drawn.leave() };
}

function actions(about, again) {
  const link = (href, text) => make("a.button", { href, target: "_blank", rel: "noopener" }, text);
  const others = (about.others ?? []).map((page) => link(query("/report", { run: about.name, name: page }), page.replace(/\.html$/, "")));
  const parts = [
    about.report ? link(query("/report", { run: about.name }), t("report")) : null,
    about.card ? link(query("/card", { run: about.name }), t("card")) : null,
    ...others,
    about.state !== "damaged" ? make("a.button", { href: address("compare", { first: about.name }) }, t("nav-compare")) : null,
  ].filter(Boolean);
  const bar = make("div.buttons.actions", {}, parts);
  if (about.state === "working" && about.stoppable) bar.prepend(stopper({ run: about.name }, again));
  else if (about.state === "working") bar.append(make("span.note", {}, t("works", { process: about.process, verb: about.verb || "?" })));
  if (about.state === "unfinished") bar.append(make("span.note", {}, t("go-on"), " ", make("code", {}, `pervade resume ${about.name.replaceAll("/", "/members/")}`)));
  return bar;
}

// "Stop and save", asked twice; what it says and, where none is known, the token that it takes.
export function stopper(what, then) {
  const box = make("span.stopper");
  const rest = () => box.replaceChildren(button(t("stop"), sure, { look: "stop", drawn: "stop" }));
  function sure() {
    const yes = button(t("stop-yes"), () => withToken(box, go, rest), { look: "stop" });
    box.replaceChildren(make("span", {}, t("stop-sure")), yes, button(t("no"), rest, { look: "quiet" }));
    yes.focus();
  }
  async function go() {
    try {
      await ask("/api/stop", { json: what });
      box.replaceChildren(make("span.note", {}, t("stopping")));
      say(t("stopping"));
      setTimeout(() => then?.(), 4000);
    } catch (error) {
      failed(box, error, go, rest);
    }
  }
  rest();
  return box;
}

export function failed(box, error, again, back) {
  box.replaceChildren(make("span.caution", { role: "alert" }, error.message), button(t("back"), back, { look: "quiet" }));
  if (error.status === 401) {
    takeToken("");
    withToken(box, again, back, error.message);
  }
}

// What changes something takes the token that stands in the line with which the page was started.
export function withToken(box, then, back, why = "") {
  if (hasToken()) return then();
  const field = make("input", { type: "password", autocomplete: "off", required: true });
  const form = make("form.token", { onsubmit: (event) => (event.preventDefault(), takeToken(field.value), then()) },
    why ? make("p.caution", { role: "alert" }, why) : null, make("p.note", {}, t("token-wanted")), labelled(t("token"), field),
    make("div.buttons", {}, make("button.main", { type: "submit" }, t("go")), button(t("back"), back, { look: "quiet" })));
  box.replaceChildren(form);
  field.focus();
}

function facts(about, path) {
  const parts = [
    [t("task"), about.task], [t("model"), about.model && (about.parameters ? t("with-weights", { model: about.model, number: number(about.parameters) }) : about.model)],
    [t("data"), about.data], [t("measured"), about.rows === null || about.rows === undefined ? null : `${number(about.rows)} · ${about.split} · ${about.checkpoint}`],
    [t("time"), about.seconds ? duration(about.seconds) : null], [t("begun"), about.made ? age(about.made) : null],
    [t("beats"), about.beats_baseline === null || about.beats_baseline === undefined ? null : t(about.beats_baseline ? "yes" : "not-shown")], [t("folder"), path],
  ];
  return make("dl", {}, parts.filter(([, value]) => value).flatMap(([title, value]) => [make("dt", {}, title), make("dd", {}, make("bdi", {}, String(value)))]));
}

function figures(about) {
  const all = Object.entries(about.figures), whole = all.filter(([name]) => !name.endsWith("]")), single = all.filter(([name]) => name.endsWith("]"));
  return make("div", {}, figureTable(whole, about.headline), single.length ? make("details", {}, make("summary", {}, t("of-classes")), figureTable(single, "")) : null);
}

function figureTable(pairs, headline) {
  return scroll(t(headline ? "figures" : "of-classes"), make("table.figures", {}, make("thead.visually-hidden", {}, make("tr", {}, [t("figure"), t("value"), t("interval")].map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, pairs.map(([name, one]) => make(name === headline ? "tr.headline" : "tr", {},
      make("th", { scope: "row", lang: "en" }, one.title, one.higher_is_better === false ? make("small", {}, ` ${t("lower")}`) : null),
      make("td.number", {}, one.text), one.interval || !one.why ? make("td.number.soft", {}, one.interval) : make("td.why", { lang: "en" }, make("small", {}, one.why)))))));
}

function members(inside) {
  return scroll(t("inside"), make("table.figures", {}, make("thead", {}, make("tr", {}, ["run", "state", "figure"].map((text) => make("th", { scope: "col" }, t(text))))),
    make("tbody", {}, inside.map((one) => {
      const figure = one.figures?.[one.headline];
      return make("tr", {}, make("th", { scope: "row" }, make("a", { href: address("run", { run: one.name }) }, one.name)), make("td", {}, chip(one.state, one.verb)),
        make("td", {}, figure ? [make("b", {}, figure.text), " ", make("small", { lang: "en" }, figure.title)] : "–"));
    }))));
}
