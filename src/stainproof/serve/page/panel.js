// The differential, live: one line for each class, on which cells can be dropped.

import {$, attributes, capital, make, plural} from "./dom.js";
import {UNCLASSIFIED, classes, numReviewed, state, tally} from "./state.js";
import {dropOn} from "./actions.js";
import {scrollToSection} from "./gallery.js";

const clamp = (value) => Math.min(100, Math.max(0, value));
const lines = new Map();  // name -> elements
/** Round an end of an interval outwards. */
const rounded = (value, round) => value < 10 ? (round(10 * value) / 10).toFixed(1) : String(round(value));
const signed = (value, decimals) => value.toFixed(decimals).replace("-", "−");

export function draw() {
  const {cells, count, isStale} = state, open = cells.size - numReviewed();
  $("panel").hidden = !cells.size;
  if (!cells.size) return;
  const {num, numWhite} = tally();
  for (const one of classes()) {
    drawLine(lines.get(one.name) ?? makeLine(one), one, num[one.name], numWhite, count?.classes[one.name]);
  }
  $("panel").classList.toggle("stale", isStale || !count);
  $("summary").textContent = `${plural(numWhite, "white cell")}` +
    (open ? `; ${plural(open, "cell")} not reviewed` : "; all cells reviewed");
  const missing = 100 - numWhite;
  $("few").hidden = missing <= 0;
  $("few").textContent = `A differential needs 100 white cells or more; ${plural(missing, "more cell")} would do.`;
  $("assumption").textContent = count?.assumption ?? "";
  $("blind").checked = state.session.is_blind;
  for (const button of document.querySelectorAll("[data-reviewer]")) {
    attributes(button, {"aria-pressed": Number(button.dataset.reviewer) === state.reviewer});
  }
  drawAgreement();
}

function makeLine({name, title, key, is_white}) {
  const value = make("b", {className: "value"}), interval = make("span", {className: "interval"});
  const num = make("span", {className: "num"});
  const range = make("span", {className: "range"}), point = make("span", {className: "point"});
  const button = make("button", {type: "button", onclick: () => scrollToSection(name)},
    make("kbd", {textContent: key}), make("span", {className: "name", textContent: capital(title)}), value, interval, num,
    make("span", {className: "bar", ariaHidden: "true"}, range, point));
  const item = make("li", {}, button);
  dropOn(item, name);
  $(name === UNCLASSIFIED ? "rest" : is_white ? "white" : "apart").append(item);
  const made = {item, button, value, interval, num, range, point};
  lines.set(name, made);
  return made;
}

function drawLine(line, one, num, numWhite, found) {
  const percent = numWhite ? 100 * num / numWhite : null;
  const unit = one.is_white || one.name === UNCLASSIFIED ? " %" : "";
  line.num.textContent = num.toLocaleString("en");
  line.item.classList.toggle("absent", !num);
  line.value.textContent = percent === null ? "" : `${percent.toFixed(1)}${unit}`;
  line.point.style.left = `${clamp(percent ?? 0)}%`;
  const {low, high} = found ?? {low: null, high: null};
  line.interval.textContent = low === null ? "" : `${rounded(low, Math.floor)} to ${rounded(high, Math.ceil)}`;
  line.range.style.left = `${clamp(low ?? 0)}%`;
  line.range.style.width = `${clamp(high ?? 0) - clamp(low ?? 0)}%`;
}

const share = ({value, low, high}) =>
  `${(100 * value).toFixed(0)} % (${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)})`;

function drawAgreement() {
  const {num_both, num_equal, kappa, shown, num_shown, blind, num_blind, anchoring} = state.agreement;
  const rows = [];
  if (num_both) {
    const agreed = `${num_equal} of ${plural(num_both, "cell")} equal`;
    rows.push(["Both reviewers", kappa === null ? agreed : `kappa ${signed(kappa, 2)}; ${agreed}`]);
  }
  if (shown) rows.push(["Model, class shown", `agrees on ${share(shown)} of ${num_shown}`]);
  if (blind) rows.push(["Model, class hidden", `agrees on ${share(blind)} of ${num_blind}`]);
  if (anchoring) {
    const points = (value) => signed(100 * value, 0);
    rows.push(["Difference (anchoring)",
      `${points(anchoring.value)} points (${points(anchoring.low)} to ${points(anchoring.high)})`]);
  }
  $("agreement").replaceChildren(...rows.map(([name, text]) =>
    make("div", {}, make("dt", {textContent: name}), make("dd", {textContent: text}))));
}
