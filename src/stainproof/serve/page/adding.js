// Images come in: dropped, chosen, or from the folder of the server; with progress.

import {$, announce, message, plural} from "./dom.js";
import {post, upload} from "./server.js";
import {check, count} from "./actions.js";
import {merge, state} from "./state.js";

const SUFFIXES = /\.(jpe?g|jpe|jfif|png|bmp|tiff?|webp)$/i;
const BATCH = 16;
let stop = null;  // ends the work that is going on

/** Classify files: [name, File] pairs. Those that are no images are counted. */
export function addFiles(found) {
  const images = found.filter(([name]) => SUFFIXES.test(name) && !/(^|\/)\./.test(name));
  const others = found.length - images.length;
  if (!images.length) {
    message("adding", found.length ? "None of these files is an image that can be read: JPEG, PNG, BMP, TIFF, WebP."
      : "This folder has no files.");
    return undefined;
  }
  return working(images.length, others, async (step, signal) => {
    for (const batch of batches(images)) {
      step(await upload(`/api/cells?reviewer=${state.reviewer}`, batch, signal), batch.length);
    }
  });
}

/** Classify the images of the server's own folder. */
export function addFolder() {
  const num = state.session.folder.num_images;
  return working(num, 0, async (step, signal) => {
    for (let start = 0; start !== null;) {
      const answer = await post(`/api/folder?reviewer=${state.reviewer}`, {start}, signal);
      step(answer, (answer.next ?? num) - start);
      start = answer.next;
    }
  });
}

/** Yield groups that one request may have. */
function* batches(images) {
  const {num_files, body_bytes} = state.session;
  let batch = [], bytes = 0;
  for (const image of images) {
    const size = image[1].size + 1000;
    if (batch.length && (batch.length >= Math.min(BATCH, num_files) || bytes + size > body_bytes / 2)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(image);
    bytes += size;
  }
  yield batch;
}

async function working(total, others, work) {
  stop?.abort();
  stop = new AbortController();
  const {signal} = stop, box = $("working"), start = performance.now();
  const refused = [];
  let done = 0, known = 0, added = 0;
  const draw = () => {
    box.querySelector(".text").textContent = `Classifying ${done.toLocaleString("en")} of ${plural(total, "image")}`;
    box.querySelector("progress").value = done / Math.max(total, 1);
  };
  box.hidden = false;
  draw();
  try {
    await work((answer, num) => {
      if (signal.aborted) return;
      done += num;
      known += answer.num_known;
      added += answer.cells.length;
      refused.push(...answer.refused.map(({name, error}) => `${name}: ${error}`));
      merge(answer);
      count();
      draw();
    }, signal);
  } catch (error) {
    if (!signal.aborted) message("adding", `Stopped after ${done} of ${plural(total, "image")}: ${error.message}.`);
  }
  if (stop?.signal !== signal) return;
  stop = null;
  box.hidden = true;
  check();
  const notes = [known && `${plural(known, "image")} already there`, others && `${plural(others, "other file")} skipped`];
  if (refused.length) message("refused", `${plural(refused.length, "file")} could not be read.`, refused);
  if (notes.some(Boolean)) message("notes", `${notes.filter(Boolean).join("; ")}.`, [], "note");
  announce(`${plural(added, "cell")} added in ${((performance.now() - start) / 1000).toFixed(0)} seconds`);
}

/** List dropped files and folders as [path, File] pairs. */
async function listed(items) {
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed)).catch(() => null);
      if (file) found.push([entry.fullPath.slice(1), file]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed)).catch(() => []);
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  const entries = [...items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  for (const entry of entries) {
    if (entry instanceof File) found.push([entry.name, entry]);
    else await walk(entry);
  }
  return found.sort(([a], [b]) => a.localeCompare(b, "en", {numeric: true}));
}

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  $("overlay").hidden = false;
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("overlay").hidden = true; });
addEventListener("drop", async (event) => {
  $("overlay").hidden = true;
  if (!hasFiles(event)) return;
  event.preventDefault();
  addFiles(await listed(event.dataTransfer.items));
});
for (const id of ["files", "folder"]) {
  $(id).addEventListener("change", (event) => {
    addFiles([...event.target.files].map((file) => [file.webkitRelativePath || file.name, file]));
    event.target.value = "";
  });
}
$("working").querySelector("button").onclick = () => stop?.abort();
