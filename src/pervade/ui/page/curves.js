// Curves of a training, read on from where they are; how far it is, and how long it still takes.
import { make } from "./dom.js";
import { json, query } from "./list.js";
import { duration, language, number, t } from "./strings.js";

const EVERY = 1500; // milliseconds between two looks while it trains
const WINDOW = 60; // seconds of training by whose pace the rest is judged
const HEIGHT = 220;

export function curves(run, ended) {
  const element = make("div", {}), progress = make("div.progress", { hidden: true });
  const charts = make("div.charts"), decisions = make("ul.decisions"), note = make("p.note", { hidden: true });
  element.append(progress, charts, note, decisions);
  let place = "", timer, alive = true, total = null, worked = false;
  let points = [], figures = {}, drawn = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => {
    for (const one of drawn.values()) one.plot.destroy();
    drawn = new Map();
    charts.replaceChildren();
    draw();
  };
  const resize = () => drawn.forEach((one) => one.plot.setSize({ width: one.box.clientWidth, height: HEIGHT }));
  dark.addEventListener("change", redraw);
  addEventListener("resize", resize);

  async function look() {
    try {
      const told = await json(query("/api/log", { run, place }));
      if (!alive) return;
      if (told.anew) {
        points = [];
        decisions.replaceChildren();
      }
      place = told.place;
      total = told.total_steps ?? total;
      points.push(...told.points);
      Object.assign(figures, told.figures);
      decisions.append(...told.decisions.map((one) => make("li", { lang: "en" }, make("b", {}, `${t("step")} ${number(one.step)}`), ` ${one.text}`)));
      if (told.points.length || told.anew) draw();
      note.hidden = points.length > 0;
      note.textContent = t(told.working ? "not-logged-yet" : "nothing-logged");
      far(told.working);
      if (worked && !told.working) ended?.();
      worked = told.working;
      if (told.working) timer = setTimeout(look, EVERY);
    } catch (error) {
      if (!alive) return;
      note.hidden = false;
      note.textContent = error.message;
      timer = setTimeout(look, 4 * EVERY);
    }
  }

  function far(working) {
    const steps = points.filter((one) => !one.judged), last = steps.at(-1);
    progress.hidden = !working || !last;
    if (progress.hidden) return;
    const timed = steps.filter((one) => one.seconds !== null), end = timed.at(-1);
    const since = timed.find((one) => end.seconds - one.seconds <= WINDOW);
    const pace = end && end.step > since.step ? (end.seconds - since.seconds) / (end.step - since.step) : null;
    const share = total ? Math.min(last.step / total, 1) : null;
    const bar = make("progress", { max: 1, ariaLabel: t("progress") });
    if (share !== null) bar.value = share;
    const left = total && pace !== null ? t("left", { time: duration(Math.max(total - last.step, 0) * pace) }) : t("left-unknown");
    progress.replaceChildren(bar, make("span", {}, share === null ? t("at-step", { step: number(last.step) }) : t("done", { share: Math.floor(100 * share), step: number(last.step), total: number(total) })), make("b", {}, left));
  }

  // Steps as passes over the data, where it is known how many make one; of an agent, steps of its environment.
  function across() {
    const acted = points.some((one) => one.acted !== undefined);
    const first = points.find((one) => one.judged && one.step && one.pass);
    if (acted) {
      let lived = 0;
      return [t("acted"), points.map((one) => (lived = one.acted ?? lived))];
    }
    const unit = first ? first.step / first.pass : 1;
    return [t(first ? "passes" : "steps"), points.map((one) => one.step / unit)];
  }

  function draw() {
    const [title, places] = across();
    // Each place once, in order; of several values at one place, as of a rollout that is learnt from again, the mean.
    const sorted = [...new Set(places)].sort((a, b) => a - b), at = new Map(sorted.map((place, i) => [place, i]));
    const quantities = new Map();
    for (const [name, about] of Object.entries(figures)) quantities.set(about.of, { ...quantities.get(about.of), [about.judged ? "judged" : "trained"]: name, title: about.title, percent: about.percent });
    for (const [of, quantity] of quantities) {
      const scale = quantity.percent ? 100 : 1;
      const line = (name, judged) => {
        const sums = new Array(sorted.length).fill(null), counts = new Array(sorted.length).fill(0);
        points.forEach((one, i) => {
          if (!name || Boolean(one.judged) !== judged || one.values[name] === undefined) return;
          sums[at.get(places[i])] += scale * one.values[name];
          counts[at.get(places[i])] += 1;
        });
        return sums.map((sum, i) => (sum === null ? null : sum / counts[i]));
      };
      const data = [sorted, line(quantity.trained, false), line(quantity.judged, true)];
      if (data[1].concat(data[2]).filter((value) => value !== null).length < 2) continue;
      const before = drawn.get(of);
      if (before && before.title === title && before.judged === Boolean(quantity.judged)) before.plot.setData(data);
      else {
        before?.plot.destroy();
        before?.figure.remove();
        drawn.set(of, chart(charts, quantity, title, data));
      }
      drawn.get(of).box.setAttribute("aria-label", spoken(quantity, data));
    }
  }

  look();
  return {
    element,
    leave: () => {
      alive = false;
      clearTimeout(timer);
      removeEventListener("resize", resize);
      dark.removeEventListener("change", redraw);
      drawn.forEach((one) => one.plot.destroy());
    },
  };
}

const digits = (value) => Number(value.toPrecision(4));

function spoken(quantity, [, trained, judged]) {
  const part = (values, word) => {
    const known = values.filter((value) => value !== null);
    return known.length ? t(word, { first: digits(known[0]), last: digits(known.at(-1)) }) : "";
  };
  return `${quantity.title}${quantity.percent ? " (%)" : ""}: ${[part(trained, "from-to"), part(judged, "judged-from-to")].filter(Boolean).join("; ")}`;
}

function chart(charts, quantity, title, data) {
  const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
  const box = make("div", { role: "img" });
  const figure = make("figure", {}, make("figcaption", { lang: "en" }, quantity.title, quantity.percent ? " (%)" : ""), box);
  charts.append(figure);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
  const value = (_, given) => (given === null || given === undefined ? "–" : String(digits(given)));
  const ticks = (_, splits) => splits.map((one) => (one === null ? "" : Number(one.toPrecision(5)).toLocaleString(language, { maximumSignificantDigits: 5 })));
  const dots = (series) => ({ show: true, size: 6, fill: series });
  const options = {
    width: box.clientWidth || 300,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [{ ...axis, label: title, labelSize: 20, labelFont: "12px system-ui, sans-serif", size: 34 }, { ...axis, size: 64, values: ticks }],
    legend: { live: true },
    cursor: { y: false, points: { size: 7 } },
    series: [
      { label: title, value },
      { label: t("training"), stroke: colour("--first"), width: 1.6, spanGaps: true, points: { show: data[1].length < 12 }, value },
      { label: t("validation"), stroke: colour("--second"), width: 2, spanGaps: true, points: dots(colour("--second")), value },
    ],
  };
  if (!quantity.judged) options.series.pop();
  const plot = new uPlot(options, quantity.judged ? data : data.slice(0, 2), box);
  return { plot: { setData: (now) => plot.setData(quantity.judged ? now : now.slice(0, 2)), setSize: (size) => plot.setSize(size), destroy: () => plot.destroy() }, box, figure, title, judged: Boolean(quantity.judged) };
}
