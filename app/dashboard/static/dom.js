// Elements of the page. Every text from outside becomes a text node, never markup.

/** Return an element: `h("p.note", { title: "..." }, "text", child)`. Attributes that are functions become listeners. */
export function h(selector, ...rest) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  const hasAttributes = rest[0] !== null && typeof rest[0] === "object" && !(rest[0] instanceof Node);
  const attributes = hasAttributes && !Array.isArray(rest[0]) ? rest.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...rest.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set the text of an element if it differs: a screen reader and a selection are then left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return a name from outside: isolated, whatever its direction, cut by the style sheet, and whole in its title. */
export function nameOf(text) {
  return h("bdi.name", { title: text, dir: "auto" }, text);
}

/** Set a name that `nameOf` made. */
export function setName(element, text) {
  if (element.title === text) return;
  element.title = text;
  element.textContent = text;
}

/** Return a titled part of the page. */
export function panel(title, { note = null, className = "" } = {}, ...children) {
  const heading = h("h2", title);
  return h(`section.panel${className}`, h("header.panel-head", heading, note), ...children);
}

let ids = 0;

/** Return an id that no other element has. */
export const newId = (prefix) => `${prefix}-${(ids += 1)}`;

/** Return the details that hold the table behind a chart. It is filled only while it is open. */
export function tableBehind(label, table, fill) {
  const details = h("details.behind", h("summary", label), table.element);
  details.addEventListener("toggle", () => details.open && fill());
  return { element: details, refresh: () => details.open && fill() };
}

/** Return a line that shows a share between 0 and `top`, with its interval, as a dot and a bar. */
export function whisker() {
  const bar = h("span.whisker-bar");
  const dot = h("span.whisker-dot");
  const element = h("span.whisker", { "aria-hidden": "true" }, bar, dot);
  const at = (value, top) => `${(100 * Math.min(1, value / top)).toFixed(2)}%`;
  return {
    element,
    set({ value, low, high }, top) {
      element.hidden = value === null || !top;
      if (element.hidden) return;
      bar.hidden = low === null;
      if (low !== null) {
        bar.style.left = at(low, top);
        bar.style.right = `${(100 - 100 * Math.min(1, high / top)).toFixed(2)}%`;
      }
      dot.style.left = at(value, top);
    },
  };
}

/** Show a sentence to screen readers, once. */
export function announce(text) {
  setText(document.getElementById("announce"), text);
}
