// What a reviewer does: give a class, confirm, undo. The answer comes once it is on the disk.

import {announce, dismiss, message, plural} from "./dom.js";
import {get, isUp, post, Refusal} from "./server.js";
import {changed, chosen, merge, sectionOf, sections, select, shownIds, state, titleOf} from "./state.js";
import * as gallery from "./gallery.js";
import * as zoom from "./zoom.js";

const query = () => `?reviewer=${state.reviewer}`;
let pending = Promise.resolve();

/** Run requests that change something one after the other. */
function inOrder(action) {
  pending = pending.then(action).catch(failed);
  return pending;
}

async function failed(error) {
  if (error instanceof Refusal) {
    message("refusal", error.message);
    return;
  }
  document.body.classList.add("offline");
  message("offline", "The server cannot be reached. Your last change was not saved; all earlier ones are. " +
    "Start the server again with the same --session; this page goes on by itself.");
  while (!await isUp()) await new Promise((done) => setTimeout(done, 1000));
  await load();
  dismiss("offline");
  document.body.classList.remove("offline");
  announce("connected again");
}

export async function load() {
  state.session = await get(`/api/session${query()}`);
  state.cells = new Map(state.session.cells.map((cell) => [cell.id, cell]));
  state.selected.clear();
  if (!state.cells.has(state.focus)) state.focus = null;
  await agree();
  state.isStale = true;
  merge({cells: []});
  count();
  check();
}

let counting = null;

/** Bring the intervals up to date; changes meanwhile are counted afterwards. */
export async function count() {
  while (counting) await counting;
  if (!state.isStale) return;
  state.isStale = false;
  counting = get(`/api/count${query()}`).then((found) => { state.count = found; }, () => { state.isStale = true; });
  await counting;
  counting = null;
  changed();
}

/** Compare the cells with those that the model was trained on, if it has a reference. */
export async function check() {
  try {
    state.check = await get("/api/check");
  } catch (error) {
    if (error instanceof Refusal) message("check", `The cells cannot be checked: ${error.message}.`);
    return;
  }
  state.unlike = new Set(state.check?.unlike);
  changed();
}

export async function agree() {
  state.agreement = await get(`/api/agreement${query()}`);
}

/** Give the chosen cells a class, or confirm the one they have (null); go on to the next cell. */
export function decide(label, ids = chosen()) {
  if (!ids.length) return pending;
  const next = following(ids);
  return inOrder(async () => {
    const answer = await post(`/api/decisions${query()}`, {cells: ids, label});
    await settle(answer);
    const num = answer.cells.length;
    if (!num) {
      announce("a hidden class cannot be confirmed; give it a class");
      message("hidden", "The class of this cell is hidden; give it a class with a number key.", [], "note");
      return;
    }
    dismiss("hidden");
    announce(`${plural(num, "cell")} ${label === null ? "confirmed" : `now ${titleOf(label)}`}, saved`);
    select([], next);
    if (next !== null && !zoom.isOpen()) gallery.reveal(next);
    zoom.draw();
  });
}

export function confirmAll(name) {
  const section = sections().find((one) => one.name === name);
  return decide(null, section.ids.filter((id) => !state.cells.get(id).is_reviewed));
}

export function undo() {
  return inOrder(async () => {
    const answer = await post(`/api/undo${query()}`);
    await settle(answer);
    const ids = answer.cells.map((cell) => cell.id);
    announce(ids.length ? `undone: ${plural(ids.length, "cell")}` : "nothing to undo");
    if (!ids.length) return;
    select(ids.length > 1 ? ids : [], ids[0]);
    if (!zoom.isOpen()) gallery.reveal(ids[0]);
    zoom.draw();
  });
}

export function setBlind(isBlind) {
  return inOrder(async () => {
    const answer = await post(`/api/blind${query()}`, {is_blind: isBlind});
    state.session.is_blind = isBlind;
    await settle(answer);
    announce(`blind mode ${isBlind ? "on" : "off"}`);
  });
}

export function setReviewer(reviewer) {
  return inOrder(async () => {
    state.reviewer = reviewer;
    sessionStorage.setItem("reviewer", reviewer);
    await load();
    announce(`reviewer ${reviewer}`);
  });
}

async function settle(answer) {
  await agree();
  state.savedAt = new Date();
  merge(answer);
  count();
}

/** The cell to go to after these ones: the next of the same class, else the one before. */
function following(ids) {
  const gone = new Set(ids);
  const own = sectionOf(ids.at(-1))?.ids ?? [];
  const after = own.slice(own.indexOf(ids.at(-1)) + 1).find((id) => !gone.has(id));
  return after ?? own.findLast((id) => !gone.has(id)) ?? shownIds().find((id) => !gone.has(id)) ?? null;
}

export function enlarge() {
  if (state.focus === null) state.focus = chosen()[0] ?? shownIds()[0] ?? null;
  zoom.open();
}

/** Move the focus; with `extend` the selection grows from where it started. */
export function moveTo(id, extend = false) {
  if (id === null) return;
  if (extend) {
    const anchor = state.anchor ?? id;
    select(gallery.range(anchor, id), id);
    state.anchor = anchor;
  } else select([], id);
  if (zoom.isOpen()) zoom.draw();
  else gallery.reveal(id);
}

/** Let cells be dropped on an element to give them a class. */
export function dropOn(element, name) {
  const isCells = (event) => event.dataTransfer.types.includes("application/x-stainproof");
  element.addEventListener("dragover", (event) => {
    if (!isCells(event)) return;
    event.preventDefault();
    element.classList.add("target");
  });
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget)) element.classList.remove("target");
  });
  element.addEventListener("drop", (event) => {
    element.classList.remove("target");
    if (!isCells(event)) return;
    event.preventDefault();
    decide(name);
  });
}
