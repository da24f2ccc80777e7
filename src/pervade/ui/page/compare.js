// Two runs on the same rows, as `pervade compare` says it.
import { labelled, make, say } from "./dom.js";
import { address, json, query, scroll } from "./list.js";
import { t } from "./strings.js";

export function compare(asked) {
  const element = make("div", { ariaBusy: "true" }, make("h1", {}, t("compare"))), result = make("div", { ariaLive: "polite" });
  let turn = 0;
  const choice = { first: asked.get("first") ?? "", second: asked.get("second") ?? "", split: asked.get("split") ?? "test", different: "" };
  (async () => {
    try {
      const { runs } = await json("/api/runs");
      const names = runs.filter((run) => run.rows !== null && run.rows !== undefined).map((run) => run.name);
      const select = (key, options) => {
        const made = make("select", {}, options.map(([value, text]) => make("option", { value, selected: value === choice[key] }, text)));
        made.addEventListener("change", () => {
          choice[key] = made.value;
          history.replaceState(null, "", address("compare", choice));
          look();
        });
        return made;
      };
      const options = [["", t("choose-one")], ...names.map((name) => [name, name])];
      const different = make("input", { type: "checkbox" });
      different.addEventListener("change", () => ((choice.different = different.checked ? "true" : ""), look()));
      element.removeAttribute("aria-busy");
      element.replaceChildren(make("div.title", {}, make("h1", {}, t("compare")), make("p.lead", {}, t("compare-lead"))),
        make("div.filters", {}, labelled(t("first"), select("first", options)), labelled(t("second"), select("second", options)),
          labelled(t("split"), select("split", ["test", "validation", "train"].map((one) => [one, one]))), make("label.check", {}, different, t("common-rows"))), result);
      look();
    } catch (error) {
      element.replaceChildren(make("p.caution", { role: "alert" }, error.message));
    }
  })();
  async function look() {
    const own = ++turn;
    if (!choice.first || !choice.second) return result.replaceChildren(make("p.note", {}, t("choose-two")));
    result.replaceChildren(make("div.waiting", {}, make("i"), make("i"), make("i")));
    try {
      const told = await json(query("/api/compare", choice));
      if (own !== turn) return;
      result.replaceChildren(...draw(told, choice));
      say(told.headline);
    } catch (error) {
      if (own === turn) result.replaceChildren(make("p.caution", { lang: "en" }, error.message));
    }
  }
  return { title: t("compare"), element };
}

function draw(told, choice) {
  const heads = [t("figure"), choice.first, choice.second, t("difference"), t("interval"), "p"];
  return [
    make("h2.headline", { lang: "en", dir: "auto" }, told.headline),
    make("p.note", { lang: "en" }, told.counted),
    ...told.sentences.map((text) => make("p", { lang: "en", dir: "auto" }, text)),
    make("section.card", {}, scroll(t("figures"), make("table.figures.compared", {}, make("caption.visually-hidden", {}, t("compare")), make("thead", {}, make("tr", {}, heads.map((text, i) => make(i ? "th.number" : "th", { scope: "col" }, make("bdi", {}, text))))),
      make("tbody", {}, told.rows.map((row) => make("tr", {},
        make("th", { scope: "row", lang: "en" }, row.title, row.lower ? make("small", {}, ` ${t("lower")}`) : null),
        make("td.number", {}, row.first), make("td.number", {}, row.second),
        make(`td.number${row.shown ? (row.better ? ".better" : ".worse") : ".soft"}`, {}, row.difference, row.shown ? null : make("small", {}, t("not-shown"))),
        make("td.number.soft", {}, row.interval), make("td.number.soft", {}, row.p))))))),
    ...told.cautions.map((text) => make("p.caution", { lang: "en" }, text)),
    told.settings.length ? make("section.card", {}, make("h2", {}, t("settings")), scroll(t("settings"), make("table.figures", {}, make("thead", {}, make("tr", {}, [t("setting"), choice.first, choice.second].map((text) => make("th", { scope: "col" }, make("bdi", {}, text))))),
      make("tbody", {}, told.settings.map(([path, values]) => make("tr", {}, make("th", { scope: "row" }, make("code", {}, path)), values.map((value) => make("td", {}, value)))))))) : "",
    told.page ? make("p", {}, make("a.button", { href: query("/compare", choice), target: "_blank", rel: "noopener" }, t("whole-page"))) : "",
  ];
}
