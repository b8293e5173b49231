// Small helpers for the document.

export const $ = (id) => document.getElementById(id);

/** Make an element: properties, then children (nodes or texts). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Set attributes; null removes one. */
export function attributes(element, values) {
  for (const [name, value] of Object.entries(values)) {
    if (value === null) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

/** Tell screen readers what happened. */
export function announce(text) {
  $("status").textContent = text;
}

/** Show a message until it is closed or replaced by one of the same kind; returns it. */
export function message(kind, title, lines = [], severity = "error") {
  dismiss(kind);
  const close = make("button", {type: "button", className: "plain", textContent: "Close"});
  const list = make("ul", {}, ...lines.map((line) => make("li", {textContent: line})));
  const details = lines.length > 3
    ? make("details", {}, make("summary", {textContent: `${lines.length} files`}), list)
    : lines.length ? list : null;
  const box = make("div", {className: `message ${severity}`}, make("p", {textContent: title}), details, close);
  box.dataset.kind = kind;
  close.onclick = () => box.remove();
  $("messages").append(box);
  return box;
}

export function dismiss(kind) {
  document.querySelector(`#messages [data-kind="${kind}"]`)?.remove();
}

export const plural = (num, word) => `${num.toLocaleString("en")} ${word}${num === 1 ? "" : "s"}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
