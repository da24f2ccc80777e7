// Making elements. Texts go in as text nodes alone, so that no name and no answer is ever read as markup.

export function make(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-") && name !== "role") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  picture: "M4 5h16v14H4zM4 16l4.5-4.5L13 16l3-3 4 4M15.5 9.5h.01",
  camera: "M4 8h3.5L9 5.5h6L16.5 8H20v11H4zM12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z",
  sound: "M5 10v4M9 7v10M13 4v16M17 8v8M21 11v2",
  record: "M12 14.5a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3zM6 11.5a6 6 0 0 0 12 0M12 17.5V21",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6L6 18",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  next: "M6 5l9 7-9 7zM18.5 5v14",
  send: "M12 20V4M5 11l7-7 7 7",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function button(text, does, { look = "", drawn = null, ...more } = {}) {
  return make(`button${look && `.${look}`}`, { type: "button", onclick: does, ...more }, drawn && icon(drawn), text);
}

let count = 0;

// A control below its label.
export function labelled(text, control, look = "") {
  control.id ||= `control-${++count}`;
  return make(`div.field${look && `.${look}`}`, {}, make("label", { htmlFor: control.id }, text), control);
}

// Said to those who hear the page, and shown to nobody.
export function say(text) {
  document.getElementById("said").textContent = text;
}

// What a field is called, as a label.
export const titled = (field) => field.title.charAt(0).toUpperCase() + field.title.slice(1);

// The bytes that are written in Base64.
export const blob = (base64, type) => new Blob([Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0))], { type });
