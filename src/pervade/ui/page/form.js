// A training from a form: the line that will run is shown as the server makes it, and that line alone is started.
import { ask } from "./ask.js";
import { button, labelled, make, say } from "./dom.js";
import { address, json } from "./list.js";
import { failed, stopper, withToken } from "./run.js";
import { age, t } from "./strings.js";

const EVERY = 2000; // milliseconds between two looks at what was started
const fields = {}; // as long as the page lives

export function training() {
  const element = make("div"), started = make("div");
  let alive = true, timer;
  const line = make("code", {}, "pervade train …"), fault = make("p.caution", { hidden: true, role: "alert", lang: "en" }), box = make("div");
  let command = "", turn = 0, waiting;

  async function settle() {
    const own = ++turn;
    try {
      const told = fields.data ? await json("/api/command", { json: { fields } }) : { command: "" };
      if (own !== turn) return;
      command = told.command;
      line.textContent = command || "pervade train …";
      fault.hidden = true;
    } catch (error) {
      if (own !== turn) return;
      command = "";
      fault.hidden = false;
      fault.textContent = error.message;
    }
    start.disabled = !command;
  }
  const field = (name, properties = {}, look = "") => {
    const input = make("input", { value: fields[name] ?? "", autocomplete: "off", spellcheck: false, ...properties });
    input.addEventListener("input", () => {
      fields[name] = input.value;
      start.disabled = true; // until its line is there
      clearTimeout(waiting);
      waiting = setTimeout(settle, 250);
    });
    return labelled(t(`field-${name}`), input, look);
  };
  const start = make("button.main", { type: "submit", disabled: true }, t("start"));
  const tasks = make("datalist", { id: "tasks" }), models = make("datalist", { id: "models" });
  const usual = () => box.replaceChildren(make("div.buttons", {}, start));
  async function go() {
    try {
      const told = await json("/api/start", { json: { fields, command } });
      usual();
      say(t("was-started", { command: told.command }));
      look();
    } catch (error) {
      failed(box, error, go, usual);
    }
  }
  const where = make("p.note");
  element.append(make("div.title", {}, make("h1", {}, t("train")), make("p.lead", {}, t("train-lead"))),
    make("form.card.written", { onsubmit: (event) => (event.preventDefault(), command && withToken(box, go, usual)) },
      field("data", { required: true, placeholder: "photos/" }), where,
      make("div.row", {}, field("task", { list: null, placeholder: t("detected") }), field("model", { placeholder: t("suits") })),
      make("div.row", {}, field("time_limit", { placeholder: "10m" }), field("epochs", { inputMode: "numeric" }), field("name", { placeholder: t("made-up") })),
      make("details", {}, make("summary", {}, t("more")), make("div.row", {}, ["batch_size", "lr", "seed", "init", "label_column"].map((name) => field(name))), field("settings", { placeholder: "domain.size=128 optimizer=sgd" })),
      tasks, models, make("div", {}, make("h2", {}, t("runs-this")), make("pre", { tabIndex: 0 }, line), fault, box)),
    started);
  usual();
  element.querySelectorAll("input").forEach((input) => input.labels?.[0]?.textContent === t("field-task") && input.setAttribute("list", "tasks"));
  element.querySelectorAll("input").forEach((input) => input.labels?.[0]?.textContent === t("field-model") && input.setAttribute("list", "models"));
  json("/api/form").then((told) => {
    where.replaceChildren(t("from-folder"), " ", make("bdi", {}, told.folder));
    tasks.replaceChildren(...told.tasks.map((one) => make("option", { value: one.name }, one.about)));
    models.replaceChildren(...told.models.flatMap((kind) => kind.names.map((name) => make("option", { value: name }, kind.reads))));
  }).catch((error) => where.replaceChildren(error.message));

  const cards = new Map();
  async function look() {
    clearTimeout(timer);
    try {
      const [told, listed] = await Promise.all([json("/api/started"), json("/api/runs")]);
      if (!alive) return;
      if (told.length && !cards.size) started.replaceChildren(make("h2", {}, t("started")));
      for (const one of [...told].reverse()) {
        if (!cards.has(one.number)) {
          cards.set(one.number, card(one, look));
          started.firstChild.after(cards.get(one.number).element);
        }
        cards.get(one.number).update(one, listed.runs.find((run) => run.process === one.process && !run.inside) ?? listed.runs.find((run) => run.process === one.process));
      }
      if (told.some((one) => one.status === null)) timer = setTimeout(look, EVERY);
    } catch (error) {
      if (alive) timer = setTimeout(look, 3 * EVERY);
    }
  }
  if (fields.data) settle();
  look();
  return { title: t("train"), element, leave: () => ((alive = false), clearTimeout(timer)) };
}

function card(one, again) {
  const state = make("span"), link = make("span"), stop = make("span"), output = make("pre.output", { tabIndex: 0, ariaLabel: t("output") });
  let running;
  const element = make("section.card.job", {}, make("div.split", {}, make("div", {}, state, " ", make("span.note", {}, age(one.began))), make("div.buttons", {}, link, stop)), make("pre", { tabIndex: 0 }, make("code", {}, one.command)), output);
  return {
    element,
    update(now, run) {
      const runs = now.status === null;
      if (runs !== running) {
        running = runs;
        state.replaceChildren(make(`span.chip.${runs ? "working" : now.status === 0 ? "finished" : now.status === 130 || now.status === -2 ? "unfinished" : "damaged"}`, {}, t(runs ? "is-working" : now.status === 0 ? "ended-well" : now.status === 130 || now.status === -2 ? "ended-stopped" : "ended-badly", { status: now.status })));
        stop.replaceChildren(...(runs ? [stopper({ number: one.number }, again)] : []));
      }
      if (run && link.dataset.run !== run.name) {
        link.dataset.run = run.name;
        link.replaceChildren(make("a.button", { href: address("run", { run: run.name }) }, t("watch-it")));
      }
      if (output.textContent !== now.output) {
        const low = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
        output.textContent = now.output;
        if (low) output.scrollTop = output.scrollHeight;
      }
      output.hidden = !now.output;
    },
  };
}
