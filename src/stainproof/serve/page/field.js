// The photograph that a cell was cut from, with its box and, thin, those of the other cells.

import {$, attributes, plural} from "./dom.js";
import {fieldPictureOf, get} from "./server.js";
import {state} from "./state.js";

const SVG = "http://www.w3.org/2000/svg";
const picture = $("zoom-field"), note = $("field-gone");
let shown = null;  // id of the cell whose field is drawn or asked for

export function hide() {
  shown = null;
  reveal(null);
}

/** Show the picture, the note or none of them; an SVG element has no property `hidden`. */
function reveal(what) {
  for (const one of [picture, note]) one.toggleAttribute("hidden", one !== what);
}

/** Draw the field of a cell, or say that it is not available any more. */
export async function show(id) {
  if (shown === id) return;
  shown = id;
  const field = await get(`/api/cells/${id}/field`).catch(() => null);
  if (shown !== id) return;  // another cell in the meantime
  if (field?.is_available) draw(field, id);
  else note.textContent = gone(field);
  reveal(field?.is_available ? picture : note);
}

function draw({name, width, height, boxes}, id) {
  const image = node("image", {href: fieldPictureOf(id), width, height});
  const own = boxes.find((box) => box.cell === id);
  const others = boxes.filter((box) => box.cell !== id);
  attributes(picture, {viewBox: `0 0 ${width} ${height}`, "aria-label": spoken(name, width, height, own, others.length)});
  picture.replaceChildren(image, ...others.flatMap((box) => outlines(box, "other")), ...outlines(own, "own"));
}

/** A box is a line on a wider, lighter one, to be seen on every stain. */
const outlines = (box, kind) => ["halo", "line"].map((part) => node("rect", {
  class: `${kind} ${part}`, x: box.x0, y: box.y0, width: box.x1 - box.x0, height: box.y1 - box.y0,
}));

function node(tag, values) {
  const made = document.createElementNS(SVG, tag);
  attributes(made, values);
  return made;
}

function spoken(name, width, height, {x0, y0, x1, y1}, numOthers) {
  const across = Math.round(50 * (x0 + x1) / width), down = Math.round(50 * (y0 + y1) / height);
  return `Field ${name}, ${width} by ${height} pixels. The box of this cell is ${across} % from the left and ` +
    `${down} % from the top. ${numOthers ? `${plural(numOthers, "other cell")} of the field ${numOthers === 1 ? "has" : "have"} thin boxes.` : "No other cell of it is here."}`;
}

function gone(field) {
  if (!field) return "The field cannot be shown.";
  return `The field ${field.name} is no longer available: fields are kept in memory until the server stops, and only ` +
    `the ones seen last. ${state.session.folder ? "Its file is not in the opened folder, or was changed. " : ""}` +
    "Drop it on the page again to see it; its cells are not added twice.";
}
