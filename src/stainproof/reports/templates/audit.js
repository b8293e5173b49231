"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const groups = [...document.querySelectorAll(".group")];
const decisions = new Map();  // key of a group -> {decision: "keep" | "drop" | "relabel", label}
const dialog = document.getElementById("zoom");
let current = null;  // the group that keys act on
let picture = null;  // the enlarged <img>
let saved = true;

const isShown = (group) => !group.hidden && !group.closest("section").hidden;
const decideBox = (group) => group.decideBox ??= group.querySelector(".decide");

function state(group) {
  const made = decisions.get(group.dataset.key);
  return made ? made.decision : group.dataset.action === "review" ? "open" : "drop";
}

function paint(group) {
  group.dataset.state = state(group);
  const box = decideBox(group);
  if (!box) return;
  for (const button of box.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.decision === state(group)));
  }
  const select = box.querySelector("select");
  if (select) select.value = decisions.get(group.dataset.key)?.label ?? "";
  select?.classList.toggle("chosen", Boolean(select.value));
}

function fill(select) {
  for (const name of select.length > 1 ? [] : data.classes) select.add(new Option(name));
}

function decide(group, decision, label = "") {
  if (!decideBox(group)) return;
  const suggested = group.dataset.action === "review" ? "open" : "drop";
  if (decision === suggested || decision === "undo") decisions.delete(group.dataset.key);
  else decisions.set(group.dataset.key, {decision, label});
  saved = false;
  paint(group);
  tally();
}

function decidedRows() {
  return data.rows.flatMap(([key, action, ifRelabelled, row]) => {
    const made = decisions.get(key);
    if (!made) return [[row, action, ""]];
    if (made.decision === "keep") return [];
    if (made.decision === "relabel") return [[row, ifRelabelled, made.label]];
    return [[row, action === "review" ? "drop" : action, ""]];
  });
}

function tally() {
  const aside = decidedRows().filter(([, action]) => action !== "review").length;
  document.getElementById("tally").textContent =
    `${aside} of ${data.rows.length} findings set images aside; ${decisions.size} decided by you`;
}

function save() {
  const safe = (text) => /^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text;  // no formula
  const quoted = (text) => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = decidedRows().map(([row, action, label]) => `${row},${action},${quoted(safe(label))}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[data.header, ...lines, ""].join("\n")], {type: "text/csv"}));
  link.download = "reviewed.csv";
  link.click();
  saved = true;
}

function filter() {
  const wanted = (id) => document.getElementById(id).value;
  const [kind, label, decision] = ["kind", "class", "decision"].map(wanted);
  for (const group of groups) {
    const fits = decision === "decided" ? decisions.has(group.dataset.key)
      : !decision || state(group) === decision;
    group.hidden = !fits || (label && !JSON.parse(group.dataset.labels).includes(label));
  }
  for (const section of document.querySelectorAll("section.kind")) {
    const none = [...section.querySelectorAll(".group")].every((group) => group.hidden);
    section.hidden = (kind && section.id !== kind) || (none && Boolean(label || decision));
  }
  const num = groups.filter(isShown).length;
  document.getElementById("shown").textContent = `${num} of ${groups.length} shown`;
}

function enlarge(image) {
  picture = image;
  putBack();
  current = image.closest(".group");
  const figure = image.closest("figure");
  dialog.querySelector("img").src = image.src;
  dialog.querySelector("img").alt = image.alt;
  document.getElementById("caption").textContent =
    [...figure.querySelectorAll("b, span")].map((part) => part.title || part.textContent).join(" · ");
  // The decision buttons are the group's own; they return to it when the dialog closes.
  if (decideBox(current)) document.getElementById("here").append(decideBox(current));
  if (!dialog.open) dialog.showModal();
}

function putBack() {
  const box = document.querySelector("#here .decide");
  if (box) groups.find((group) => group.decideBox === box).append(box);
}

function step(by) {
  if (dialog.open) {
    const images = [...document.querySelectorAll(".group img")]
      .filter((image) => isShown(image.closest(".group")));
    const next = images[images.indexOf(picture) + by];
    if (next) enlarge(next);
    return;
  }
  const shown = groups.filter(isShown);
  const next = shown[current ? shown.indexOf(current) + by : 0];
  if (next) next.focus();
  next?.scrollIntoView({block: "center"});
}

const onKey = {
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  k: () => current && decide(current, "keep"),
  x: () => current && decide(current, "drop"),
  u: () => current && decide(current, "undo"),
  r: () => current && decideBox(current)?.querySelector("select")?.focus(),
  z: () => dialog.open ? dialog.close() : current?.querySelector("img") && enlarge(current.querySelector("img")),
};

document.addEventListener("keydown", (event) => {
  const act = onKey[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  event.preventDefault();
  act();
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches(".decide select")) fill(event.target);
  current = event.target.closest(".group") ?? current;
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) {
    if (event.target === dialog) dialog.close();
    return;
  }
  if (button.matches(".zoom")) enlarge(button.querySelector("img"));
  if (button.dataset.decision) {
    const group = button.closest(".group") ?? current;
    decide(group, button.getAttribute("aria-pressed") === "true" ? "undo" : button.dataset.decision);
  }
  if (button.dataset.step) step(Number(button.dataset.step));
  if (button.id === "close") dialog.close();
  if (button.id === "save") save();
});
document.addEventListener("change", (event) => {
  if (event.target.matches(".toolbar select")) filter();
  if (!event.target.matches(".decide select")) return;
  const group = event.target.closest(".group") ?? current;
  const label = event.target.value;
  decide(group, label ? "relabel" : "undo", label);
  (dialog.open ? dialog : group).focus();
});
dialog.addEventListener("close", () => { putBack(); current?.focus(); });
addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });

groups.forEach(paint);
if (groups.length) filter();
if (document.getElementById("tally")) tally();
