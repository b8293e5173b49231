// Standardise an image by a laboratory profile, as stainproof.shift.lab does: zoom, white point.

import {resize, roundHalfEven} from "./resize.js";

const MAX_ENLARGED_SIDE = 1024;

/** An image: {width, height, rgb}. Without a profile it is returned as it is. */
export function standardise(image, profile) {
  return profile ? balance(zoom(image, profile.scale), profile.gains) : image;
}

function zoom(image, scale) {
  if (scale === 1) return image;
  const longest = Math.max(image.width, image.height);
  if (scale < 1 && longest > MAX_ENLARGED_SIDE) {
    const factor = MAX_ENLARGED_SIDE / longest;
    const shorter = (side) => Math.max(1, roundHalfEven(side * factor));
    image = resize(image, shorter(image.width), shorter(image.height), 1 / factor);
  }
  const across = positions(image.width, scale), down = positions(image.height, scale);
  const rgb = new Uint8Array(3 * across.length * down.length);
  let to = 0;
  for (const y of down) {
    for (const x of across) {
      const from = 3 * (y * image.width + x);
      rgb[to++] = image.rgb[from];
      rgb[to++] = image.rgb[from + 1];
      rgb[to++] = image.rgb[from + 2];
    }
  }
  return {width: across.length, height: down.length, rgb};
}

/** The centre of an axis, or the axis with a reflected border. */
function positions(side, scale) {
  const newSide = Math.max(1, roundHalfEven(side / scale));
  const start = scale > 1 ? (side - newSide) >> 1 : -((newSide - side) >> 1);
  return Array.from({length: newSide}, (_, index) => {
    const position = ((start + index) % (2 * side) + 2 * side) % (2 * side);
    return position < side ? position : 2 * side - 1 - position;
  });
}

function balance({width, height, rgb}, gains) {
  const levels = gains.map((gain) =>
    Uint8Array.from({length: 256}, (_, value) => Math.min(255, roundHalfEven(value * gain))));
  return {width, height, rgb: rgb.map((value, index) => levels[index % 3][value])};
}
