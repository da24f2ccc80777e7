// Predictions as a table: which, in what order, and the rows themselves.
import { button, labelled, make, say } from "./dom.js";
import { json, query, scroll } from "./list.js";
import { number, share, t } from "./strings.js";

const MOST = 20; // rows of a page
const ORDERS = { sure: ["surest", "least-sure"], off: ["farthest", "nearest"] };

export function rows(run, files) {
  const asked = { file: files[0], only: "all", order: "", said: "", target: "", begin: 0 };
  const element = make("div"), bar = make("div.filters"), table = make("div", { ariaLive: "off" }), pager = make("div.buttons.pager");
  element.append(bar, table, pager);
  let about, turn = 0;
  async function look() {
    const own = ++turn;
    table.setAttribute("aria-busy", "true");
    try {
      const told = await json(query("/api/predictions", { run, most: MOST, ...asked }));
      if (own !== turn) return;
      if (!about) draw((about = told.about));
      table.replaceChildren(told.shown.length ? page(told, about) : make("p.note", {}, t("no-rows")));
      turning(told);
      say(t("rows-of", { from: number(told.rows ? told.begin + 1 : 0), to: number(told.begin + told.shown.length), number: number(told.rows) }));
    } catch (error) {
      if (own === turn) table.replaceChildren(make("p.caution", { role: "alert" }, error.message));
    }
    table.removeAttribute("aria-busy");
  }
  function choice(title, key, options) {
    const select = make("select", {}, options.map(([value, text]) => make("option", { value, selected: value === asked[key] }, text)));
    select.addEventListener("change", () => {
      Object.assign(asked, { [key]: select.value, begin: 0 });
      if (key === "file") {
        about = undefined;
        Object.assign(asked, { only: "all", order: "", said: "", target: "" });
      }
      look();
    });
    return labelled(title, select);
  }
  function draw() {
    const orders = about.orders.flatMap((name) => (ORDERS[name] ? [[name, t(ORDERS[name][0])], [`-${name}`, t(ORDERS[name][1])]] : [[name, t("largest", { name })], [`-${name}`, t("smallest", { name })]]));
    const classes = [["", t("any")], ...about.labels.map((label) => [label, label])];
    bar.replaceChildren(...[
      files.length > 1 ? choice(t("file"), "file", files.map((file) => [file, file])) : null,
      about.judged ? choice(t("show"), "only", [["all", t("all-rows", { number: number(about.rows) })], ["wrong", t("wrong-rows", { number: number(about.wrong) })], ["right", t("right-rows", { number: number(about.rows - about.wrong) })]]) : null,
      choice(t("order"), "order", [["", t("as-they-stand")], ...orders]),
      about.labels.length ? choice(t("said"), "said", classes) : null,
      about.labels.length ? choice(t("true"), "target", classes) : null,
    ].filter(Boolean));
  }
  function turning(told) {
    const move = (text, begin, off) => button(text, () => ((asked.begin = begin), look(), element.scrollIntoView({ block: "start" })), { disabled: off });
    pager.hidden = told.rows <= MOST;
    pager.replaceChildren(move(t("before"), Math.max(told.begin - MOST, 0), told.begin === 0),
      make("span", {}, t("rows-of", { from: number(told.rows ? told.begin + 1 : 0), to: number(told.begin + told.shown.length), number: number(told.rows) })),
      move(t("after"), told.begin + MOST, told.begin + MOST >= told.rows));
  }
  look();
  return element;
}

function page(told, about) {
  const answered = told.shown.some((one) => one.said !== null), facts = Object.keys(told.shown[0].facts);
  const heads = [t("row"), ...(answered ? [t("said"), t("true")] : []), ...facts];
  return scroll(t("predictions"), make("table.rows", {}, make("caption.visually-hidden", {}, t("predictions")),
    make("thead", {}, make("tr", {}, heads.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, told.shown.map((one) => line(one, answered, facts)))));
}

function line(one, answered, facts) {
  const verdict = one.right === null ? null : make(`span.mark.${one.right ? "right" : "wrong"}`, { role: "img", ariaLabel: t(one.right ? "is-right" : "is-wrong") }, one.right ? "✓" : "✗");
  return make(one.right === false ? "tr.wrong" : "tr", {},
    make("th", { scope: "row" }, one.media.map(media), make("small", { dir: "auto" }, one.id)),
    answered ? make("td", { "data-title": t("said") }, make("b", { dir: "auto" }, one.said ?? "–"), " ", verdict, one.sure === null ? null : make("small", {}, t("sure", { share: share(one.sure) })), one.off === null ? null : make("small", {}, t("off-by", { number: number(one.off) }))) : null,
    answered ? make("td", { "data-title": t("true"), dir: "auto" }, one.target ?? "–") : null,
    facts.map((name) => make("td", { "data-title": name, dir: "auto" }, one.facts[name])));
}

function media(one) {
  if (one.kind === "picture") return make(one.small ? "img.pixels" : "img", { src: one.source, alt: t("a-picture") });
  if (one.kind === "sound") return make("span.heard", {}, one.picture ? make("img", { src: one.picture, alt: t("spectrogram") }) : null, make("audio", { src: one.source, controls: true, preload: "none", ariaLabel: one.alt || t("a-sound") }));
  if (one.kind === "text") return make("span.text", { dir: "auto" }, one.text);
  return make("span.blank", { lang: "en" }, one.why);
}
