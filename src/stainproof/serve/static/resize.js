// Bring an image to the input of the network with the interpolation of OpenCV, as Python does.

const PAD_GREY = 128;
const CUBIC = -0.75;  // the parameter of OpenCV's bicubic kernel

/** An image: {width, height, rgb: Uint8Array of 3 * width * height}. */
export function toSquare(image, {size_px, fit}) {
  const {width, height} = image;
  if (fit === "crop") {
    const side = Math.min(width, height);
    image = crop(image, (width - side) >> 1, (height - side) >> 1, side);
  } else if (fit === "pad" && width !== height) {
    const scale = size_px / Math.max(width, height);
    const side = (length) => Math.max(1, roundHalfEven(length * scale));
    return pad(resize(image, side(width), side(height)), size_px);
  }
  return resize(image, size_px, size_px);
}

function crop({width, rgb}, left, top, side) {
  const cropped = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y += 1) {
    const start = 3 * ((top + y) * width + left);
    cropped.set(rgb.subarray(start, start + 3 * side), 3 * y * side);
  }
  return {width: side, height: side, rgb: cropped};
}

function pad({width, height, rgb}, side) {
  const padded = new Uint8Array(3 * side * side).fill(PAD_GREY);
  const left = (side - width) >> 1, top = (side - height) >> 1;
  for (let y = 0; y < height; y += 1) {
    padded.set(rgb.subarray(3 * y * width, 3 * (y + 1) * width), 3 * ((top + y) * side + left));
  }
  return {width: side, height: side, rgb: padded};
}

/**
 * Shrinking averages areas, enlarging is bicubic; both axes apart, rounded at the end. With a scale a
 * new pixel covers so many old ones, as where OpenCV gets a factor instead of a size.
 */
export function resize({width, height, rgb}, newWidth, newHeight, scale) {
  if (width === newWidth && height === newHeight) return {width, height, rgb};
  const isShrinking = newWidth < width || newHeight < height;
  const isMixed = isShrinking && (newWidth > width || newHeight > height);
  const weights = isMixed ? linearWeights : isShrinking ? areaWeights : cubicWeights;
  const scales = [scale ?? width / newWidth, scale ?? height / newHeight];
  const across = weights(width, newWidth, scales[0]), down = weights(height, newHeight, scales[1]);
  const rows = new Float64Array(3 * newWidth * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < newWidth; x += 1) {
      const at = 3 * (y * newWidth + x);
      for (const [from, weight] of across[x]) {
        const source = 3 * (y * width + from);
        rows[at] += weight * rgb[source];
        rows[at + 1] += weight * rgb[source + 1];
        rows[at + 2] += weight * rgb[source + 2];
      }
    }
  }
  const isHalved = scales.every((one) => one === 2);
  const round = isHalved || weights !== areaWeights ? (value) => Math.floor(value + 0.5) : roundHalfEven;
  const resized = new Uint8Array(3 * newWidth * newHeight), row = new Float64Array(3 * newWidth);
  for (let y = 0; y < newHeight; y += 1) {
    row.fill(0);
    for (const [from, weight] of down[y]) {
      const start = 3 * from * newWidth;
      for (let i = 0; i < row.length; i += 1) row[i] += weight * rows[start + i];
    }
    for (let i = 0; i < row.length; i += 1) {
      resized[y * row.length + i] = Math.min(255, Math.max(0, round(row[i])));
    }
  }
  return {width: newWidth, height: newHeight, rgb: resized};
}

export function roundHalfEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

/** For each new pixel the old ones with their weights: the area of each that it covers. */
function areaWeights(oldPx, newPx, scale) {
  return Array.from({length: newPx}, (_, index) => {
    const start = index * scale, end = start + scale, covered = Math.min(scale, oldPx - start);
    const last = Math.min(Math.floor(end), oldPx - 1), first = Math.min(Math.ceil(start), last);
    const weights = [];
    if (first - start > 1e-3) weights.push([first - 1, (first - start) / covered]);
    for (let from = first; from < last; from += 1) weights.push([from, 1 / covered]);
    if (end - last > 1e-3) weights.push([last, Math.min(end - last, 1, covered) / covered]);
    return weights;
  });
}

/** Where one axis shrinks and the other grows, OpenCV's averaging of areas interpolates linearly. */
function linearWeights(oldPx, newPx, scale) {
  return Array.from({length: newPx}, (_, index) => {
    const from = Math.floor(index * scale), raw = index + 1 - (from + 1) / scale;
    const share = raw <= 0 ? 0 : raw - Math.floor(raw);
    return [[from, 1 - share], [Math.min(from + 1, oldPx - 1), share]];
  });
}

function cubicWeights(oldPx, newPx, scale) {
  return Array.from({length: newPx}, (_, index) => {
    const centre = (index + 0.5) * scale - 0.5, from = Math.floor(centre), x = centre - from;
    const near = (d) => ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1;
    const far = (d) => ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC;
    const values = [far(x + 1), near(x), near(1 - x)];
    values.push(1 - values[0] - values[1] - values[2]);
    return values.map((value, step) =>
      [Math.min(oldPx - 1, Math.max(0, from - 1 + step)), value]);
  });
}
