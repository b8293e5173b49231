// The network in the browser: ONNX Runtime Web on one thread; images stay in this page.

import * as ort from "../runtime/ort.wasm.min.mjs";
import {toSquare} from "./resize.js";
import {standardise} from "./standardise.js";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("../runtime/", import.meta.url).href;

const MAX_PIXELS = 16_000_000;
const SMALLEST = 1.1754943508222875e-38;  // normal float32

/** Read the model; returns its description and how to predict. */
export async function openNetwork() {
  const facts = await (await fetched("../model/model.json")).json();
  const content = new Uint8Array(await (await fetched("../model/model.onnx")).arrayBuffer());
  const digest = await sha256(content);
  if (digest !== null && digest !== facts.onnx_sha256) {
    throw new Error("model/model.onnx was altered: its SHA-256 is not that in model/model.json");
  }
  const session = await ort.InferenceSession.create(content, {executionProviders: ["wasm"]});
  return {facts, isVerified: digest !== null, predict: (image) => predict(session, facts, image)};
}

async function fetched(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new Error(`${path.slice(3)}: the server answered ${answer.status}`);
  return answer;
}

/** Browsers compute it only at https addresses and at names of the own machine; else null. */
async function sha256(content) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function predict(session, {preprocessing, profile, temperature}, image) {
  const size = preprocessing.size_px;
  const {rgb} = toSquare(standardise(image, profile), preprocessing);
  const {probs} = await session.run({images: new ort.Tensor("uint8", rgb, [1, size, size, 3])});
  return calibrated([...probs.data], temperature);
}

/** Divide the logits behind probabilities by a temperature. */
export function calibrated(probs, temperature) {
  const logits = probs.map((p) => Math.log(Math.max(p, SMALLEST)) / temperature);
  const largest = Math.max(...logits), powers = logits.map((one) => Math.exp(one - largest));
  const total = powers.reduce((sum, one) => sum + one, 0);
  return powers.map((one) => one / total);
}

/** Decode a file: turned by its EXIF entry, without colour management, on white. */
export async function decode(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {colorSpaceConversion: "none", premultiplyAlpha: "none"});
  } catch {
    throw new Error("not an image that this browser can read");
  }
  const {width, height} = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    throw new Error(`too large; allowed: ${MAX_PIXELS.toLocaleString("en")} pixels`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const {data} = context.getImageData(0, 0, width, height), rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3] / 255, white = 255 * (1 - alpha);
    for (let i = 0; i < 3; i += 1) rgb[to + i] = Math.round(alpha * data[from + i] + white);
  }
  return {width, height, rgb};
}
