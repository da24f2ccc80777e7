// An agent's episode: played on the server by its seed, looked at here picture by picture.
import { blob, button, icon, labelled, make, say } from "./dom.js";
import { address, ask } from "./ask.js";
import { number, share, t } from "./strings.js";

export function episodes(about, sent) {
  const seed = make("input", { type: "number", min: 0, max: 2 ** 31 - 1, value: 0, required: true });
  const shown = make("div.results");
  const play = make("button.main", { type: "submit" }, t("watch"));
  async function go(event) {
    event.preventDefault();
    const body = { seed: Number(seed.value) };
    sent({ path: address(about.name, "episode"), body });
    play.disabled = true;
    play.textContent = t("playing");
    try {
      const episode = await (await ask(address(about.name, "episode"), { json: body })).json();
      shown.replaceChildren(player(episode));
      say(summary(episode));
    } catch (error) {
      shown.replaceChildren(make("p.caution", {}, error.message));
      say(error.message);
    }
    play.disabled = false;
    play.textContent = t("watch");
  }
  const next = button(t("next-seed"), () => {
    seed.value = Number(seed.value) + 1;
    seed.form.requestSubmit();
  });
  return make("div", {},
    make("form.written.card", { onsubmit: go }, make("div.row", {}, labelled(t("seed"), seed)), make("div.buttons", {}, play, next)), shown);
}

const summary = (episode) => t(episode.cut ? "episode-cut" : "episode", {
  seed: episode.seed, steps: episode.length.toLocaleString(), total: number(episode.return) });

function player(episode) {
  const pictures = episode.frames.map((frame) => {
    const image = new Image();
    image.src = URL.createObjectURL(blob(frame, "image/png"));
    return image;
  });
  const told = make("p.trust", {}, summary(episode));
  const inner = make("div.inner");
  if (!pictures.length) return make("section.card", {}, told, make("p.note", {}, t("draws-nothing")));
  const canvas = make("canvas", { role: "img", "aria-label": summary(episode) });
  const slider = make("input", { type: "range", min: 0, max: pictures.length - 1, value: 0, "aria-label": t("step") });
  const step = make("output");
  let timer = null;
  function show(place) {
    const image = pictures[place];
    if (!image.complete || !image.naturalWidth) {
      image.addEventListener("load", () => Number(slider.value) === place && show(place), { once: true });
      return;
    }
    if (canvas.width !== image.naturalWidth) [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    const at = Math.min(place * episode.frames_every, episode.length - 1);
    slider.value = place;
    slider.setAttribute("aria-valuetext", t("step-of", { step: at + 1, steps: episode.length }));
    step.textContent = t("step-of", { step: at + 1, steps: episode.length });
    inner.replaceChildren(...thinking(episode, at));
  }
  function run(on) {
    clearInterval(timer);
    timer = on ? setInterval(forward, Math.max(20, (1000 * episode.frames_every) / episode.rate)) : null;
    toggle.replaceChildren(icon(on ? "pause" : "play"), on ? t("pause") : t("play"));
  }
  function forward() {
    const place = Number(slider.value) + 1;
    if (!canvas.isConnected || place >= pictures.length) run(false);
    else show(place);
  }
  const toggle = button(t("play"), () => {
    if (timer === null && Number(slider.value) >= pictures.length - 1) show(0);
    run(timer === null);
  }, { drawn: "play" });
  slider.addEventListener("input", () => {
    run(false);
    show(Number(slider.value));
  });
  show(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) run(true);
  return make("section.card.player", {}, told, make("div.stage", {}, canvas, inner), make("div.buttons", {}, toggle, slider, step));
}

// What it makes of this step: the chance, or the value, of every action.
function thinking(episode, at) {
  const place = Math.floor(at / episode.every);
  const chances = episode.chances?.[place];
  const values = episode.values?.[place];
  const known = chances ?? values;
  if (!known) return [];
  const probable = chances && Math.abs(chances.reduce((a, b) => a + b, 0) - 1) < 0.01 && chances.every((value) => value >= 0);
  const [low, high] = probable ? [0, 1] : [Math.min(...known), Math.max(...known)];
  const rows = known.slice(0, 18).map((value, action) => {
    const filled = make("span");
    filled.style.width = `${(100 * (value - low)) / (high - low || 1)}%`;
    const best = value === Math.max(...known) ? ".chosen" : "";
    return make(`li${probable || values ? best : ""}`, {}, make("span.name", {}, episode.actions?.[action] ?? t("action", { number: action })),
      make("span.share", {}, probable ? share(value) : number(value)), make("span.bar", { "aria-hidden": "true" }, filled));
  });
  return [make("p.term", {}, t(probable ? "chances" : values ? "values" : "means")), make("ol.bars", { role: "list" }, rows)];
}
