// Stands in for the server: the same requests, answered in the browser. Nothing is sent anywhere.

import {decode, openNetwork} from "./network.js";

export class Refusal extends Error {}
export class Unreachable extends Error {}

const cells = new Map();  // id -> {id, name, picture, probs}
const pixels = new Set();  // hashes
const steps = [];  // what was decided: each a map from ids to the class before, null for none
const decided = new Map();  // id -> class
let network = null;

const facts = () => network.facts;
const names = () => facts().model.classes;

export async function get(path) {
  if (path.startsWith("/api/session")) return session();
  if (path.startsWith("/api/count")) return count();
  if (path.startsWith("/api/agreement")) return {num_both: 0};
  return null;
}

export async function post(path, body) {
  if (path.startsWith("/api/decisions")) return decide(body);
  if (path.startsWith("/api/undo")) return undo();
  throw new Refusal("not possible on this page");
}

export async function upload(path, files, signal) {
  const answer = {cells: [], num_known: 0, refused: []};
  for (const [name, file] of files) {
    signal.throwIfAborted();
    try {
      const image = await decode(file), hash = hashed(image);
      if (pixels.has(hash)) {
        answer.num_known += 1;
        continue;
      }
      const probs = await network.predict(image);
      pixels.add(hash);
      const cell = {id: cells.size + 1, name, picture: URL.createObjectURL(file), probs};
      cells.set(cell.id, cell);
      answer.cells.push(view(cell));
    } catch (error) {
      answer.refused.push({name, error: error.message});
    }
  }
  return answer;
}

export const isUp = async () => true;

export const pictureOf = (id) => cells.get(id).picture;

export const explanationOf = () => null;

/** No cell of this page was cut from a field. */
export const fieldPictureOf = () => null;

/** Return the address of an export, or null if there is no such one here. */
export async function exported(name) {
  const make = {"count.json": countJson, "cells.csv": cellsCsv}[name];
  return make ? URL.createObjectURL(new Blob([await make()])) : null;
}

async function session() {
  network ??= await openNetwork();
  const {model, classes} = facts();
  return {
    model: {...model, is_verified: network.isVerified}, classes, cells: [...cells.values()].map(view),
    is_blind: false, uncertain: facts().uncertain, has_fields: false, is_static: true, session: null, folder: null,
    num_files: 1, body_bytes: Infinity,
  };
}

function best(cell) {
  return cell.probs.indexOf(Math.max(...cell.probs));
}

function view(cell) {
  const confidence = Math.max(...cell.probs), predicted = names()[best(cell)];
  const {threshold, uncertain_below, unclassified} = facts();
  return {
    id: cell.id, name: cell.name, predicted, probs: cell.probs,
    label: decided.get(cell.id) ?? (confidence >= threshold ? predicted : unclassified),
    is_reviewed: decided.has(cell.id), is_uncertain: confidence < uncertain_below, is_disputed: false,
    has_field: false,
  };
}

const changed = (ids) => ({cells: ids.map((id) => view(cells.get(id)))});

function decide({cells: ids, label}) {
  const step = new Map(ids.map((id) => [id, decided.get(id) ?? null]));
  steps.push(step);
  for (const id of ids) decided.set(id, label ?? decided.get(id) ?? names()[best(cells.get(id))]);
  return changed(ids);
}

function undo() {
  const step = steps.pop() ?? new Map();
  for (const [id, before] of step) {
    if (before === null) decided.delete(id);
    else decided.set(id, before);
  }
  return changed([...step.keys()]);
}

let worker = null;
let counted = Promise.resolve();

/** The intervals take a moment: they are computed beside the page, one count after the other. */
function count() {
  counted = counted.catch(() => {}).then(() => (cells.size ? counting() : null));
  return counted;
}

function counting() {
  worker ??= new Worker(new URL("./count.js", import.meta.url), {type: "module"});
  const evidence = [...cells.values()].map((cell) => ({
    predicted: order(best(cell)), confidence: Math.max(...cell.probs), label: decided.get(cell.id) ?? null,
  }));
  return new Promise((done, failed) => {
    worker.onmessage = ({data}) => done(data);
    worker.onerror = () => failed(new Error("the count failed"));
    worker.postMessage({cells: evidence, facts: facts()});
  });
}

/** The position of an output of the network in the order of the differential. */
const order = (index) => facts().classes.findIndex((one) => one.name === names()[index]);

const countJson = async () => `${JSON.stringify(await count(), null, 2)}\n`;

/** Quote a cell of a CSV table; a text that a spreadsheet would run gets an apostrophe. */
function quoted(value) {
  if (typeof value === "number") return String(value);
  const text = /^'*[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function cellsCsv() {
  const rows = [["name", "label", "predicted", "reviewer_1", ...names()]];
  for (const cell of cells.values()) {
    const {name, label, predicted, probs} = view(cell);
    rows.push([name, label, predicted, decided.get(cell.id) ?? "", ...probs]);
  }
  return rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

/** Two hashes of 32 bits of size and pixels (FNV-1a). */
function hashed({width, height, rgb}) {
  let a = 0x811c9dc5, b = 0x01000193;
  for (const byte of rgb) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b);
  }
  return `${width} ${height} ${a} ${b}`;
}

addEventListener("beforeunload", (event) => { if (decided.size) event.preventDefault(); });
