// What a model is given, by the kinds of its fields (About.takes) and nothing else.
import { button, icon, labelled, make, say, titled } from "./dom.js";
import { canRecord, record } from "./record.js";
import { t } from "./strings.js";

const FILES = { picture: "image/*", sound: "audio/*", file: "" };

// The form for a model; `send` is called with a list of inputs, each {field: text or File}.
export function form(about, send) {
  const fields = about.takes;
  if (fields[0].kind === "label") return making(about, fields, send);
  if (fields.length > 1) return together(fields, send);
  if (fields[0].kind in FILES) return zone(fields[0], (files) => send(files.map((file) => ({ [fields[0].name]: file }))));
  return texts(fields[0], send);
}

// Files: dropped, chosen, pasted, photographed, recorded. They are sent at once.
function zone(field, take) {
  const chosen = chooser(field, true, take);
  const buttons = [button(t(`choose-${field.kind}`), () => chosen.click(), { look: "main", drawn: field.kind })];
  const more = [];
  if (field.kind === "picture") {
    const camera = chooser(field, false, take, { capture: "environment" });
    more.push(camera);
    buttons.push(button(t("photograph"), () => camera.click(), { look: "touch", drawn: "camera" }));
  }
  if (field.kind === "sound") buttons.push(recorder((file) => take([file])));
  const dropped = make("div.zone", {}, make("p.hint", {}, t(`drop-${field.kind}`)), make("div.buttons", {}, buttons), chosen, more);
  receive(dropped, field, take);
  return dropped;
}

function chooser(field, multiple, take, more = {}) {
  const accept = field.kind === "file" ? field.suffixes.join() : [FILES[field.kind], ...field.suffixes].join();
  const input = make("input", { type: "file", accept, multiple, hidden: true, "aria-label": field.title, ...more });
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
  return input;
}

// What is dropped anywhere on the page, or pasted outside of a text.
function receive(element, field, take) {
  const here = () => element.isConnected;
  const mark = (on) => element.classList.toggle("over", on);
  const listen = (kind, does) => {
    const heard = (event) => (here() ? does(event) : document.removeEventListener(kind, heard));
    document.addEventListener(kind, heard);
  };
  listen("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    mark(true);
  });
  listen("dragleave", (event) => event.relatedTarget === null && mark(false));
  listen("drop", (event) => {
    mark(false);
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  listen("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length || event.target.closest?.("textarea, input")) return;
    event.preventDefault();
    take(files);
  });
}

function recorder(take) {
  let running = null;
  let seconds = 0;
  let clock;
  const press = button(t("record"), toggle, { look: "record", drawn: "record" });
  const caption = (text, drawn) => press.replaceChildren(icon(drawn), text);
  async function toggle() {
    if (running) {
      const ending = running;
      running = null;
      clearInterval(clock);
      press.disabled = true;
      press.classList.remove("on");
      press.style.removeProperty("--loud");
      caption(t("record"), "record");
      try {
        take(await ending.stop());
      } catch {
        say(t("no-recording"));
      }
      press.disabled = false;
      return;
    }
    press.disabled = true;
    try {
      running = await record((loud) => press.style.setProperty("--loud", loud.toFixed(2)));
    } catch (error) {
      press.disabled = error.name === "NotFoundError";
      const why = t(error.name === "NotFoundError" ? "no-microphone" : "microphone-refused");
      press.title = why;
      caption(why, "record");
      say(why);
      return;
    }
    press.disabled = false;
    press.classList.add("on");
    seconds = 0;
    caption(t("stop-at", { time: "0:00" }), "stop");
    say(t("recording"));
    clock = setInterval(() => {
      seconds += 1;
      caption(t("stop-at", { time: `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` }), "stop");
    }, 1000);
  }
  if (!canRecord()) {
    press.disabled = true;
    press.title = t("needs-https");
  }
  return press;
}

// A text, or each line one.
function texts(field, send) {
  const area = make("textarea", { rows: 4, spellcheck: false, dir: "auto", placeholder: t("text-here") });
  const lines = make("input", { type: "checkbox" });
  const each = make("label.check", { hidden: true }, lines, t("each-line"));
  const files = field.suffixes.length ? chooser({ ...field, kind: "file" }, true, (given) => send(given.map((file) => ({ [field.name]: file })))) : null;
  const told = make("p.note");
  const go = () => {
    const given = lines.checked && !each.hidden ? area.value.split("\n") : [area.value];
    const said = given.filter((text) => text.trim());
    told.textContent = said.length ? "" : t("nothing-written");
    if (said.length) send(said.map((text) => ({ [field.name]: text })));
    else area.focus();
  };
  area.addEventListener("input", () => (each.hidden = !area.value.trim().includes("\n")));
  sendsBy(area, go);
  const made = make("form.written", { onsubmit: (event) => (event.preventDefault(), go()) },
    labelled(titled(field), area),
    make("div.buttons", {},
      make("button.main", { type: "submit" }, t("answer")),
      files && button(t("choose-file"), () => files.click(), { drawn: "file" }),
      each, make("span.note.keys", {}, t("keys"))),
    told, files);
  if (files) receive(made, field, (given) => send(given.map((file) => ({ [field.name]: file }))));
  return made;
}

function sendsBy(area, go) {
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      go();
    }
  });
}

// Several fields that make one input: a question and its text, two pictures.
function together(fields, send) {
  const told = make("p.note");
  const parts = fields.map(control);
  const go = () => {
    const missing = parts.find((part) => !part.value());
    told.textContent = missing ? t("missing-field", { field: missing.field.title }) : "";
    if (missing) missing.focus();
    else send([Object.fromEntries(parts.map((part) => [part.field.name, part.value()]))]);
  };
  for (const part of parts) if (part.area) sendsBy(part.area, go);
  return make("form.written", { onsubmit: (event) => (event.preventDefault(), go()) },
    parts.map((part) => part.element),
    make("div.buttons", {}, make("button.main", { type: "submit" }, t("answer")), make("span.note.keys", {}, t("keys"))),
    told);
}

function control(field, place) {
  if (field.kind in FILES) {
    const input = make("input", { type: "file", accept: [FILES[field.kind], ...field.suffixes].join() });
    return { field, element: labelled(titled(field), input), value: () => input.files[0], focus: () => input.focus() };
  }
  const area = make("textarea", { rows: place ? 6 : 2, spellcheck: false, dir: "auto" });
  return { field, area, element: labelled(titled(field), area), value: () => area.value.trim() && area.value, focus: () => area.focus() };
}

// What is made of a label, or, where a seed tells one from another, of nothing: then several at once.
function making(about, [field, second], send) {
  const seed = second?.kind === "seed" ? make("input", { type: "number", min: 0, max: 2 ** 31 - 17, value: 0, required: true }) : null;
  const number = make("input", { type: "number", min: 1, max: 16, value: 4, required: true });
  const options = about.labels.map((label) => make("option", { value: label }, label));
  const which = seed ? make("select", {}, make("option", { value: "" }, t("any-label")), options) : make("input", { required: true });
  const list = seed ? null : make("datalist", { id: "labels" }, options);
  if (list) which.setAttribute("list", list.id);
  const go = () => {
    const inputs = Array.from({ length: seed ? Number(number.value) : 1 }, (_, i) => ({
      [field.name]: which.value, ...(seed ? { [second.name]: String(Number(seed.value) + i) } : {}) }));
    send(inputs);
  };
  return make("form.written", { onsubmit: (event) => (event.preventDefault(), go()) },
    make("div.row", {}, seed ? labelled(t("how-many"), number) : null, about.labels.length ? labelled(titled(field), which) : null, seed ? labelled(titled(second), seed) : null, list),
    make("div.buttons", {}, make("button.main", { type: "submit" }, t("make"))));
}
