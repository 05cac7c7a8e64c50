// The steps of a preprocessing that a card names, as `diagnosis/preprocess.py` defines them.

import { cropped, luma, resized, type Pixels } from "./pixels";

export type Step =
  | { op: "scaled_decode"; factor: number }
  | { op: "greyscale" }
  | { op: "rgb" }
  | { op: "centre_crop"; fraction: number }
  | { op: "resize"; width: number; height: number; filter: "bilinear" | "bicubic" | "box" }
  | { op: "contrast_stretch"; low: number; high: number }
  | { op: "equalise" }
  | { op: "scale"; divisor: number; offset: number }
  | { op: "standardise" }
  | { op: "normalise"; mean: number[]; std: number[] };

export interface Preprocessing {
  name: string;
  steps: Step[];
}

/** Half to even, as Python rounds. */
function rounded(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

function greyscale(image: Pixels): Pixels {
  if (image.channels === 1) return image;
  const size = image.width * image.height;
  const whole = image.data instanceof Uint8Array;
  const data = whole ? new Uint8Array(size) : new Float32Array(size);
  for (let at = 0; at < size; at += 1) {
    const [r = 0, g = 0, b = 0] = image.data.subarray(3 * at, 3 * at + 3);
    data[at] = whole ? luma(r, g, b) : 0.299 * r + 0.587 * g + 0.114 * b;
  }
  return { ...image, channels: 1, data };
}

function rgb(image: Pixels): Pixels {
  if (image.channels === 3) return image;
  const size = image.width * image.height;
  const data = image.data instanceof Uint8Array ? new Uint8Array(3 * size) : new Float32Array(3 * size);
  for (let at = 0; at < size; at += 1) data.fill(image.data[at] ?? 0, 3 * at, 3 * at + 3);
  return { ...image, channels: 3, data };
}

function centreCrop(image: Pixels, fraction: number): Pixels {
  const cut = (side: number): number =>
    Math.min(rounded((side * (1 - fraction)) / 2), Math.floor((side - 1) / 2));
  const left = cut(image.width);
  const top = cut(image.height);
  return cropped(image, left, top, image.width - left, image.height - top);
}

function mapped(image: Pixels, change: (value: number, channel: number) => number): Pixels {
  const data = new Float32Array(image.data.length);
  for (let at = 0; at < data.length; at += 1) {
    data[at] = change(image.data[at] ?? 0, at % image.channels);
  }
  return { ...image, data };
}

/** The value below which so many per cent lie, between two of them in proportion. */
function percentile(sorted: Float32Array, share: number): number {
  const place = (share / 100) * (sorted.length - 1);
  const low = sorted[Math.floor(place)] ?? 0;
  const high = sorted[Math.ceil(place)] ?? 0;
  return low + (high - low) * (place - Math.floor(place));
}

function contrastStretch(image: Pixels, low: number, high: number): Pixels {
  const sorted = Float32Array.from(image.data).sort();
  const bottom = percentile(sorted, low);
  const factor = 255 / Math.max(percentile(sorted, high) - bottom, 1e-6);
  return mapped(image, (value) => Math.min(255, Math.max(0, (value - bottom) * factor)));
}

function equalise(image: Pixels): Pixels {
  const bins = Uint8Array.from(image.data, (value) => Math.min(255, Math.max(0, rounded(value))));
  const below = new Float64Array(256);
  for (const bin of bins) below[bin] = (below[bin] ?? 0) + 1;
  for (let bin = 1; bin < 256; bin += 1) below[bin] = (below[bin] ?? 0) + (below[bin - 1] ?? 0);
  const darkest = below[bins.reduce((least, bin) => Math.min(least, bin), 255)] ?? 0;
  const rest = Math.max((below[255] ?? 0) - darkest, 1);
  const table = below.map((count) => Math.min(255, Math.max(0, rounded((255 * (count - darkest)) / rest))));
  return { ...image, data: bins.map((bin) => table[bin] ?? 0) };
}

function standardise(image: Pixels): Pixels {
  const count = image.data.length;
  let sum = 0;
  for (const value of image.data) sum += value;
  const mean = sum / count;
  let squares = 0;
  for (const value of image.data) squares += (value - mean) ** 2;
  const spread = Math.max(Math.sqrt(squares / count), 1);
  return mapped(image, (value) => (value - mean) / spread);
}

function applied(image: Pixels, step: Step): Pixels {
  switch (step.op) {
    case "scaled_decode":
      return image;
    case "greyscale":
      return greyscale(image);
    case "rgb":
      return rgb(image);
    case "centre_crop":
      return centreCrop(image, step.fraction);
    case "resize":
      return resized(image, step.width, step.height, step.filter);
    case "contrast_stretch":
      return contrastStretch(image, step.low, step.high);
    case "equalise":
      return equalise(image);
    case "scale":
      return mapped(image, (value) => value / step.divisor - step.offset);
    case "standardise":
      return standardise(image);
    case "normalise":
      return mapped(
        image,
        (value, channel) =>
          (value - (step.mean[channel % step.mean.length] ?? 0)) /
          (step.std[channel % step.std.length] ?? 1),
      );
    default:
      // A step of a later day: better no answer than another one.
      throw new Error(`unknown step ${(step as { op: string }).op}`);
  }
}

/** The network's input: row by row, channels together. */
export function preprocessed(image: Pixels, preprocessing: Preprocessing): Float32Array {
  return Float32Array.from(preprocessing.steps.reduce(applied, image).data);
}

/** Smallest [width, height] that the service decodes a JPEG at, or null for its full size. */
export function decodeAtLeast(preprocessing: Preprocessing): [number, number] | null {
  const [first] = preprocessing.steps;
  if (first?.op !== "scaled_decode") return null;
  let kept = 1;
  for (const step of preprocessing.steps) {
    if (step.op === "centre_crop") kept *= step.fraction;
    if (step.op === "resize") {
      return [Math.ceil((first.factor * step.width) / kept), Math.ceil((first.factor * step.height) / kept)];
    }
  }
  return null;
}
