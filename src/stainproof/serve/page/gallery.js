// The gallery: one list of cells for each class. Only tiles in view are in the document.

import {$, announce, attributes, capital, make, plural} from "./dom.js";
import {
  HIDDEN, UNCLASSIFIED, changed, confidence, isChanged, isUnlike, sectionOf, sections, select, shownIds, state, titleOf,
} from "./state.js";
import {confirmAll, dropOn, enlarge} from "./actions.js";
import {pictureOf} from "./server.js";

const CAPTION_PX = 24, GAP_PX = 10, MARGIN_PX = 600;
const HINTS = {
  [HIDDEN]: "Give each cell a class with a number key.",
  [UNCLASSIFIED]: "Give each cell a class; Enter takes the suggestion.",
};
const blocks = new Map();  // name of a section -> its elements
const tiles = new Map();  // id -> tile
let columns = 1, width = state.size;  // the row is filled: a picture is at least `state.size` wide

const rowHeight = () => width + CAPTION_PX + GAP_PX;

export function draw() {
  const gallery = $("gallery");
  const total = gallery.clientWidth + GAP_PX;
  columns = Math.max(1, Math.floor(total / (state.size + GAP_PX)));
  width = Math.max(state.size, Math.floor(total / columns) - GAP_PX);
  const wanted = sections();
  const names = new Set(wanted.map((one) => one.name));
  for (const [name, block] of blocks) {
    if (!names.has(name)) {
      block.section.remove();
      blocks.delete(name);
    }
  }
  let before = null;
  for (const one of wanted) {
    const block = blocks.get(one.name) ?? makeBlock(one);
    if (!block.section.parentNode || block.section.previousElementSibling !== before) {
      before ? before.after(block.section) : gallery.prepend(block.section);
    }
    before = block.section;
    drawBlock(block, one);
  }
  drawTiles();
}

function makeBlock({name, title}) {
  const heading = make("h2", {}, make("span", {textContent: capital(title)}), make("small"));
  const confirm = make("button", {type: "button", className: "plain", onclick: () => confirmAll(name)});
  const hint = name in HINTS ? make("p", {textContent: HINTS[name]}) : null;
  const header = make("header", {}, heading, hint, confirm);
  const list = make("div", {className: "tiles"});
  const section = make("section", {}, header, list);
  section.dataset.name = name;
  heading.id = `heading-${blocks.size}-${name.replace(/\W/g, "-")}`;
  attributes(list, {role: "listbox", tabindex: 0, "aria-multiselectable": true, "aria-labelledby": heading.id});
  list.addEventListener("focus", () => {
    const ids = sections().find((one) => one.name === name)?.ids ?? [];
    if (!ids.includes(state.focus)) select([], ids[0]);
  });
  if (name !== HIDDEN) dropOn(section, name);
  const block = {section, header, heading, confirm, list};
  blocks.set(name, block);
  return block;
}

function drawBlock({heading, confirm, list}, {name, ids}) {
  const open = ids.filter((id) => !state.cells.get(id).is_reviewed).length;
  heading.lastChild.textContent = ` ${ids.length.toLocaleString("en")}`;
  confirm.hidden = !open || name === HIDDEN || name === UNCLASSIFIED;
  confirm.textContent = open === ids.length ? `Confirm all ${open}` : `Confirm the other ${open}`;
  attributes(confirm, {"aria-label": `${confirm.textContent} as ${titleOf(name)}`});
  list.style.height = `${Math.ceil(ids.length / columns) * rowHeight()}px`;
}

/** Put the tiles in view into the document, and take the others out. */
export function drawTiles() {
  const kept = new Set();
  for (const {name, ids} of sections()) {
    const {list} = blocks.get(name) ?? {};
    if (!list) continue;
    const {top} = list.getBoundingClientRect();
    const first = Math.max(0, Math.floor((-MARGIN_PX - top) / rowHeight()) * columns);
    const end = Math.max(0, Math.ceil((innerHeight + MARGIN_PX - top) / rowHeight()) * columns);
    ids.slice(first, end).forEach((id, offset) => {
      kept.add(id);
      drawTile(id, first + offset, ids.length, list);
    });
    const isHere = ids.includes(state.focus) && kept.has(state.focus);
    attributes(list, {
      "aria-activedescendant": isHere ? `cell-${state.focus}` : null,
      "aria-busy": first >= ids.length || end <= first ? true : null,  // none of its cells is in view
    });
  }
  for (const [id, tile] of tiles) {
    if (!kept.has(id)) {
      tile.remove();
      tiles.delete(id);
    }
  }
}

function makeTile(id) {
  const picture = make("img", {src: pictureOf(id), alt: "", draggable: false, decoding: "async"});
  const tile = make("div", {className: "tile", id: `cell-${id}`, draggable: true}, picture,
    make("span", {className: "mark", ariaHidden: "true"}), make("span", {className: "caption"}),
    make("span", {className: "unlike", ariaHidden: "true"}));
  attributes(tile, {role: "option"});
  tile.dataset.id = id;
  tiles.set(id, tile);
  return tile;
}

function drawTile(id, index, num, list) {
  const tile = tiles.get(id) ?? makeTile(id);
  const cell = state.cells.get(id);
  if (tile.parentNode !== list) list.append(tile);
  const left = (index % columns) * (width + GAP_PX), top = Math.floor(index / columns) * rowHeight();
  tile.style.transform = `translate(${left}px, ${top}px)`;
  tile.style.width = `${width}px`;
  tile.firstChild.style.height = `${width}px`;
  tile.classList.toggle("focus", state.focus === id);
  tile.dataset.state = isChanged(cell) ? "changed" : cell.is_reviewed ? "confirmed"
    : cell.is_uncertain && cell.label !== UNCLASSIFIED ? "uncertain" : "open";
  const [, mark, caption, unlike] = tile.children;
  unlike.hidden = !isUnlike(cell);
  mark.textContent = cell.is_disputed ? "≠" : cell.is_reviewed ? "✓" : "";
  const text = captionOf(cell);
  if (caption.textContent !== text) caption.textContent = text;
  if (tile.title !== cell.name) tile.title = cell.name;
  attributes(tile, {
    "aria-selected": state.selected.has(id),
    "aria-posinset": index + 1,
    "aria-setsize": num,
    "aria-label": spoken(cell),
  });
}

function captionOf(cell) {
  if (cell.label === null) return "class hidden";
  if (isChanged(cell)) return `was ${titleOf(cell.predicted)}`;
  const percent = `${Math.round(100 * confidence(cell))} %`;
  if (cell.label === UNCLASSIFIED && !cell.is_reviewed) return `${titleOf(cell.predicted)}?`;
  return cell.is_uncertain && !cell.is_reviewed ? `${percent} uncertain` : percent;
}

function spoken(cell) {
  const parts = [cell.label === null ? "" : titleOf(cell.label), captionOf(cell)];
  if (cell.is_reviewed && !isChanged(cell)) parts.push("confirmed");
  if (cell.is_disputed) parts.push("disputed");
  if (isUnlike(cell)) parts.push("unlike the training cells");
  return [...parts, cell.name].filter(Boolean).join(", ");
}

/** Bring a cell into view and move the keyboard focus to its list. */
export function reveal(id) {
  const section = sectionOf(id);
  if (!section) return;
  draw();
  const {list} = blocks.get(section.name);
  const row = Math.floor(section.ids.indexOf(id) / columns);
  const top = list.getBoundingClientRect().top + row * rowHeight();
  const above = 120, below = $("selection").offsetHeight + 16;
  if (top < above) scrollBy(0, top - above);
  else if (top + rowHeight() > innerHeight - below) scrollBy(0, top + rowHeight() - innerHeight + below);
  list.focus({preventScroll: true});
  drawTiles();
}

export function scrollToSection(name) {
  const block = blocks.get(name);
  if (!block) return;
  scrollTo({top: block.section.getBoundingClientRect().top + scrollY - 110});
  const ids = sections().find((one) => one.name === name).ids;
  select([], ids[0]);
  block.list.focus({preventScroll: true});
}

/** Return the cell that lies in a direction of the one in focus. */
export function neighbour(key) {
  const ids = shownIds();
  if (state.focus === null || !ids.includes(state.focus)) return ids[0] ?? null;
  const all = sections(), section = sectionOf(state.focus), index = section.ids.indexOf(state.focus);
  const flat = ids.indexOf(state.focus);
  if (key === "ArrowRight") return ids[flat + 1] ?? state.focus;
  if (key === "ArrowLeft") return ids[flat - 1] ?? state.focus;
  if (key === "Home") return section.ids[0];
  if (key === "End") return section.ids.at(-1);
  const column = index % columns, num = section.ids.length;
  if (key === "ArrowDown") {
    if (index + columns < num) return section.ids[index + columns];
    if (Math.floor(index / columns) < Math.floor((num - 1) / columns)) return section.ids.at(-1);
    const next = all[all.indexOf(section) + 1];
    return next ? next.ids[Math.min(column, next.ids.length - 1)] : state.focus;
  }
  if (index >= columns) return section.ids[index - columns];
  const above = all[all.indexOf(section) - 1];
  if (!above) return state.focus;
  const start = Math.floor((above.ids.length - 1) / columns) * columns;
  return above.ids[Math.min(start + column, above.ids.length - 1)];
}

export function range(from, to) {
  const ids = shownIds(), [first, last] = [ids.indexOf(from), ids.indexOf(to)].sort((a, b) => a - b);
  return ids.slice(Math.max(first, 0), last + 1);
}

export function resize(by) {
  state.size = Math.min(200, Math.max(64, state.size + by));
  announce(`pictures of ${plural(state.size, "pixel")}`);
  changed();
}

$("gallery").addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  const id = Number(tile.dataset.id), isTouch = event.pointerType === "touch";
  if (event.shiftKey && state.anchor !== null) {
    const anchor = state.anchor;
    select(range(anchor, id), id);
    state.anchor = anchor;
  } else if (event.ctrlKey || event.metaKey || isTouch) {
    state.selected.has(id) ? state.selected.delete(id) : state.selected.add(id);
    select([...state.selected], id);
  } else select([id]);
  tile.parentNode.focus({preventScroll: true});
});
$("gallery").addEventListener("dblclick", (event) => {
  if (event.target.closest(".tile")) enlarge();
});
$("gallery").addEventListener("dragstart", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  const id = Number(tile.dataset.id);
  if (!state.selected.has(id)) select([id]);
  event.dataTransfer.setData("application/x-stainproof", "cells");
  event.dataTransfer.effectAllowed = "move";
  const badge = make("div", {className: "badge", textContent: plural(state.selected.size, "cell")});
  document.body.append(badge);
  event.dataTransfer.setDragImage(badge, 12, 12);
  setTimeout(() => badge.remove());
});
addEventListener("scroll", () => requestAnimationFrame(drawTiles), {passive: true});
new ResizeObserver(() => state.session && draw()).observe($("gallery"));
