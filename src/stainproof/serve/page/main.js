// Start, the frame around gallery and panel, and the keyboard.

import {$, attributes, capital, make, message, plural} from "./dom.js";
import {FILTERS, changed, classes, needsCheck, numReviewed, sectionOf, select, shownIds, state, subscribe} from "./state.js";
import * as actions from "./actions.js";
import * as adding from "./adding.js";
import * as banner from "./banner.js";
import * as gallery from "./gallery.js";
import * as panel from "./panel.js";
import {exported} from "./server.js";
import * as zoom from "./zoom.js";

function draw() {
  const {session, cells, selected} = state, hasCells = cells.size > 0, num = numReviewed();
  $("model").textContent = session.model.name;
  document.body.classList.toggle("static", Boolean(session.is_static));
  const {weights_sha256, is_verified} = session.model;
  for (const place of document.querySelectorAll(".weights")) {
    place.textContent = `Weights: SHA-256 ${place.dataset.length ? weights_sha256.slice(0, place.dataset.length) : weights_sha256}` +
      (is_verified ? "; the network's file was verified." : is_verified === false ? "; the file could not be verified here." : "");
  }
  for (const place of document.querySelectorAll(".uncertain-rule")) place.textContent = session.uncertain;
  $("empty").hidden = hasCells || !$("working").hidden;
  $("what").textContent = session.has_fields ? "Each image is a photograph of a smear; its cells are found first."
    : "Each image shows one cell.";
  $("kept").textContent = session.session
    ? `Cells and decisions are kept in ${session.session}.`
    : session.is_static ? "Nothing is kept when this page is closed: export before."
    : "Nothing is kept after the server stops; start it with --session FILE to keep the review.";
  const {folder} = session;
  for (const button of document.querySelectorAll("[data-pick=server]")) {
    button.hidden = !folder;
    if (folder) button.textContent = `Open ${folder.name} (${plural(folder.num_images, "image")})`;
  }
  for (const id of ["undo", "export"]) $(id).disabled = !hasCells;
  $("reviewed").hidden = !hasCells;
  $("reviewed").querySelector(".text").textContent =
    `${num.toLocaleString("en")} of ${cells.size.toLocaleString("en")} reviewed`;
  $("reviewed").querySelector("progress").value = num / Math.max(cells.size, 1);
  const time = state.savedAt?.toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit"});
  $("saved").textContent = time ? (session.session ? `Saved ${time}` : session.is_static ? "Kept until the page is closed" : "Kept until the server stops") : "";
  drawFilters(hasCells);
  drawSelection(selected);
  banner.draw();
  gallery.draw();
  panel.draw();
  $("none").hidden = !hasCells || shownIds().length > 0;
}

function drawFilters(hasCells) {
  const box = $("filters");
  box.hidden = !hasCells;
  if (!box.childElementCount) {
    for (const [name, [title]] of Object.entries(FILTERS)) {
      const button = make("button", {type: "button", onclick: () => setFilter(name)}, `${title} `, make("small"));
      button.dataset.filter = name;
      box.append(button);
    }
    const smaller = make("button", {type: "button", textContent: "−", onclick: () => gallery.resize(-20)});
    const larger = make("button", {type: "button", textContent: "+", onclick: () => gallery.resize(20)});
    smaller.setAttribute("aria-label", "Smaller pictures");
    larger.setAttribute("aria-label", "Larger pictures");
    box.append(make("span", {className: "sizes"}, smaller, larger));
  }
  const all = [...state.cells.values()];
  for (const button of box.querySelectorAll("[data-filter]")) {
    const {filter} = button.dataset, num = all.filter(FILTERS[filter][1]).length;
    button.lastChild.textContent = num.toLocaleString("en");
    button.hidden = !num && filter !== "all" && filter !== state.filter;
    attributes(button, {"aria-pressed": filter === state.filter});
  }
}

function setFilter(name) {
  state.filter = name;
  state.selected.clear();
  changed();
}

function drawSelection(selected) {
  const box = $("selection");
  box.hidden = !selected.size;
  document.body.classList.toggle("selecting", selected.size > 0);
  if (!selected.size) return;
  box.querySelector(".text").textContent = `${plural(selected.size, "cell")} selected`;
  const buttons = box.querySelector(".buttons");
  if (buttons.childElementCount) return;
  buttons.append(...classes().map(({name, title, key}) =>
    make("button", {type: "button", onclick: () => actions.decide(name)}, make("kbd", {textContent: key}), capital(title))));
}

function nextToCheck() {
  const ids = shownIds(), start = ids.indexOf(state.focus) + 1;
  const next = [...ids.slice(start), ...ids.slice(0, start)].find((id) => needsCheck(state.cells.get(id)));
  if (next === undefined) message("check", "No cell is left to check.", [], "note");
  else actions.moveTo(next);
}

function selectSection() {
  const section = sectionOf(state.focus ?? shownIds()[0]);
  if (section) select(section.ids, state.focus ?? section.ids[0]);
}

function toggle() {
  const {focus, selected} = state;
  if (focus === null) return;
  selected.has(focus) ? selected.delete(focus) : selected.add(focus);
  select([...selected], focus);
}

const move = (event) => actions.moveTo(gallery.neighbour(event.key), event.shiftKey);
const KEYS = {
  ArrowRight: move, ArrowLeft: move, ArrowUp: move, ArrowDown: move, Home: move, End: move,
  Enter: () => actions.decide(null), " ": toggle, u: () => actions.undo(), n: nextToCheck,
  z: () => actions.enlarge(), f: () => zoom.toggleField(), "?": () => $("keys").showModal(), "+": () => gallery.resize(20),
  "-": () => gallery.resize(-20),
  Escape: () => select([], state.focus),
};

document.addEventListener("keydown", (event) => {
  if (!state.cells.size || event.altKey) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog && (dialog.id !== "zoom" || event.key === "Escape")) return;
  const isModified = event.ctrlKey || event.metaKey, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const inControl = event.target.closest("button, a, input, summary");
  if (inControl && (key === "Enter" || key === " ")) return;
  let act = null;
  if (isModified) act = {z: () => actions.undo(), a: selectSection}[key];
  else if (/^\d$/.test(key)) {
    const one = classes().find((other) => other.key === key);
    act = one && (() => actions.decide(one.name));
  } else act = KEYS[key];
  if (!act) return;
  event.preventDefault();
  act(event);
});

$("undo").onclick = () => actions.undo();
$("confirm").onclick = () => actions.decide(null);
$("enlarge").onclick = () => actions.enlarge();
$("clear").onclick = () => select([], state.focus);
$("add").onclick = () => $("adding").showModal();
for (const button of document.querySelectorAll("[data-pick]")) {
  button.onclick = () => {
    $("adding").close();
    if (button.dataset.pick === "server") adding.addFolder();
    else $(button.dataset.pick).click();
  };
}
$("help").onclick = () => $("keys").showModal();
$("export").onclick = async () => {
  $("exports").showModal();
  for (const link of document.querySelectorAll("#exports a")) {
    link.closest("li").hidden = true;
    const address = await exported(link.download, state.reviewer);
    link.closest("li").hidden = !address;
    if (address) link.href = address;
  }
  if (!state.session.folder || state.session.has_fields) $("with-paths").hidden = true;
};
$("blind").onchange = (event) => actions.setBlind(event.target.checked);
for (const button of document.querySelectorAll("[data-reviewer]")) {
  button.onclick = () => actions.setReviewer(Number(button.dataset.reviewer));
}
for (const button of document.querySelectorAll(".views button")) {
  button.onclick = () => {
    document.body.dataset.view = button.dataset.view;
    for (const other of document.querySelectorAll(".views button")) {
      attributes(other, {"aria-pressed": other === button});
    }
    changed();
  };
}
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}

state.reviewer = Number(sessionStorage.getItem("reviewer")) || 1;
actions.load().then(() => {
  subscribe(draw);
  changed();
}).catch((error) => message("offline", `The review cannot be loaded: ${error.message}.`));
