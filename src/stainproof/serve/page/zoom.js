// One cell in large, with the probability of every class.

import {$, announce, capital, make, message} from "./dom.js";
import {UNCLASSIFIED, classes, isChanged, isUnlike, state, titleOf} from "./state.js";
import {decide, moveTo} from "./actions.js";
import * as field from "./field.js";
import {neighbour} from "./gallery.js";
import {explanationOf, pictureOf} from "./server.js";

const dialog = $("zoom");
const CELL = "cell", EXPLAINED = "explained", FIELD = "field";
let wanted = CELL;  // what the picture shows: the cell, what supports its predicted class, or its field

export const isOpen = () => dialog.open;

export function open() {
  if (state.focus === null) return;
  draw();
  if (!dialog.open) dialog.showModal();
}

export function draw() {
  const cell = state.cells.get(state.focus);
  if (!cell) return dialog.close();
  const title = cell.label === null ? "Class hidden" : capital(titleOf(cell.label));
  const isSuggested = cell.label === UNCLASSIFIED && !cell.is_reviewed;
  const notes = [
    isSuggested ? `${titleOf(cell.predicted)}?` : cell.is_uncertain && "uncertain",
    isChanged(cell) ? `was ${titleOf(cell.predicted)}` : cell.is_reviewed && "confirmed",
    cell.is_disputed && "disputed", isUnlike(cell) && "unlike the training cells",
  ].filter(Boolean);
  $("zoom-title").replaceChildren(title, make("small", {textContent: notes.length ? ` ${notes.join(", ")}` : ""}));
  $("zoom-name").textContent = cell.name;
  drawPicture(cell);
  $("zoom-probs").replaceChildren(...classes().map((one) => line(one, cell)));
}

function drawPicture(cell) {
  const isHidden = cell.predicted === null;
  const isField = wanted === FIELD && cell.has_field, isExplained = wanted === EXPLAINED && !isHidden;
  $("zoom-picture").hidden = isField;
  isField ? field.show(cell.id) : field.hide();
  $("zoom-picture").src = isExplained ? explanationOf(cell.id, state.reviewer) : pictureOf(cell.id);
  $("zoom-picture").alt = `cell ${cell.name}`;
  $("explain").hidden = isHidden || !explanationOf(cell.id, state.reviewer);
  $("explain").setAttribute("aria-pressed", String(isExplained));
  $("in-field").hidden = !cell.has_field;
  $("in-field").setAttribute("aria-pressed", String(isField));
}

/** Show the cell in its field, or alone again. */
export function toggleField() {
  const cell = state.cells.get(state.focus);
  if (!cell?.has_field) return announce("this cell was not cut from a field");
  wanted = wanted === FIELD && dialog.open ? CELL : FIELD;
  return open();
}

function line({name, title, key}, cell) {
  const index = state.session.model.classes.indexOf(name);
  const share = cell.probs && index >= 0 ? cell.probs[index] : null;
  const button = make("button", {type: "button", onclick: () => decide(name, [cell.id])},
    make("kbd", {textContent: key}), make("span", {className: "name", textContent: capital(title)}),
    make("span", {className: "bar"}, make("span", {className: "point"})),
    make("span", {className: "value", textContent: share === null ? "" : `${(100 * share).toFixed(1)} %`}));
  button.querySelector(".point").style.width = `${100 * (share ?? 0)}%`;
  button.setAttribute("aria-pressed", String(cell.label === name));
  return make("li", {}, button);
}

$("explain").onclick = () => {
  wanted = wanted === EXPLAINED ? CELL : EXPLAINED;
  draw();
};
$("in-field").onclick = toggleField;
$("zoom-picture").onerror = () => {
  if (wanted !== EXPLAINED) return;
  wanted = CELL;
  draw();
  message("explain", "What the network looks at cannot be shown for this model.", [], "note");
};
dialog.addEventListener("click", (event) => {
  const {step} = event.target.closest("button")?.dataset ?? {};
  if (step) moveTo(neighbour(step > 0 ? "ArrowRight" : "ArrowLeft"));
});
dialog.addEventListener("close", () => {
  field.hide();
  if (state.focus !== null) moveTo(state.focus);
});
