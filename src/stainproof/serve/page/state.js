// What the page knows: the cells as the server last told, the selection, the filter.
// Components subscribe and draw; nothing else changes the document.

export const UNCLASSIFIED = "unclassified";
export const HIDDEN = "";  // the section of cells whose predicted class is hidden

export const state = {
  session: null,
  cells: new Map(),  // id -> cell
  count: null,  // intervals, as the server last computed them
  isStale: true,  // whether cells changed since then
  agreement: null,
  check: null,  // verdict on the cells, and which are unlike the training cells
  unlike: new Set(),  // their ids
  selected: new Set(),
  focus: null,  // id of the cell that keys act on
  anchor: null,  // where a selection with Shift starts
  filter: "all",
  size: 112,  // px, width of a picture
  reviewer: 1,
};

const listeners = new Set();
let isQueued = false;

export const subscribe = (listener) => listeners.add(listener);

/** Draw all components once, in the next frame. */
export function changed() {
  cache = null;
  if (isQueued) return;
  isQueued = true;
  requestAnimationFrame(() => {
    isQueued = false;
    for (const listener of listeners) listener();
  });
}

export const confidence = (cell) => cell.probs ? Math.max(...cell.probs) : 0;
const isDoubtful = (cell) =>
  cell.is_uncertain || cell.label === null || cell.label === UNCLASSIFIED || isUnlike(cell);
export const needsCheck = (cell) => !cell.is_reviewed && isDoubtful(cell);
export const isUnlike = (cell) => state.unlike.has(cell.id);
export const isChanged = (cell) => cell.is_reviewed && cell.label !== cell.predicted;

export const FILTERS = {
  all: ["All", () => true],
  check: ["To check", needsCheck],
  open: ["Not reviewed", (cell) => !cell.is_reviewed],
  unlike: ["Unlike", isUnlike],
  changed: ["Changed", isChanged],
  disputed: ["Disputed", (cell) => cell.is_disputed],
};

/** The classes in order, then the two sections that are none. */
export function classes() {
  const known = state.session.classes.map((one, index) => ({...one, key: index < 9 ? String(index + 1) : ""}));
  return [...known, {name: UNCLASSIFIED, title: UNCLASSIFIED, key: "0", is_white: false}];
}

export const titleOf = (name) => classes().find((one) => one.name === name)?.title ?? name;

let cache = null;

/** Sections that have cells to show: {name, title, key, ids}, the most doubtful cells first. */
export function sections() {
  if (cache) return cache;
  const unclassified = classes().at(-1);
  const groups = new Map([[HIDDEN, []], ...classes().map((one) => [one.name, []])]);
  const fits = FILTERS[state.filter][1];
  for (const cell of state.cells.values()) {
    if (fits(cell)) groups.get(cell.label ?? HIDDEN).push(cell);
  }
  const hidden = {name: HIDDEN, title: "Class hidden", key: "", is_white: false};
  cache = [hidden, unclassified, ...classes().slice(0, -1)]
    .map((one) => ({...one, cells: groups.get(one.name)}))
    .filter((one) => one.cells.length)
    .map((one) => ({
      ...one,
      ids: one.cells.sort((a, b) => confidence(a) - confidence(b) || a.id - b.id).map((cell) => cell.id),
    }));
  return cache;
}

/** Numbers of cells by class, and of white cells; unclassified cells are white. */
export function tally() {
  const num = Object.fromEntries(classes().map((one) => [one.name, 0]));
  for (const cell of state.cells.values()) num[cell.label ?? UNCLASSIFIED] += 1;
  const white = classes().filter((one) => one.is_white || one.name === UNCLASSIFIED);
  return {num, numWhite: white.reduce((sum, one) => sum + num[one.name], 0)};
}

export const numReviewed = () => [...state.cells.values()].filter((cell) => cell.is_reviewed).length;

export const shownIds = () => sections().flatMap((section) => section.ids);

export const sectionOf = (id) => sections().find((section) => section.ids.includes(id));

/** The cells that an action is about: the selected ones, else the one in focus. */
export function chosen() {
  if (state.selected.size) return [...state.selected];
  return state.focus === null ? [] : [state.focus];
}

/** Take over what the server answered. */
export function merge(answer) {
  for (const cell of answer.cells) state.cells.set(cell.id, cell);
  if (answer.cells.length) state.isStale = true;
  changed();
}

export function select(ids, focus = ids.at(-1) ?? null) {
  state.selected = new Set(ids);
  state.focus = state.anchor = focus;
  changed();
}
