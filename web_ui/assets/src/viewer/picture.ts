// A picture as the viewer holds it: its values, and what a display needs to show them.

import { extent } from "./dicom";

/** What becomes black and what becomes white, in stored values. */
export interface Window {
  lower: number;
  upper: number;
}

export interface Picture {
  width: number;
  height: number;
  /** 1 of a grey picture, 3 of one in colour (red, green, blue by turns). */
  components: 1 | 3;
  values: Uint8Array | Uint16Array | Int16Array;
  range: Window;
  /** The window that it came with. */
  window: Window;
  /** Whether the least value is shown white. */
  inverted: boolean;
  /** What a stored value is in the unit of the modality: value * slope + intercept. */
  slope: number;
  intercept: number;
  /** Millimetres from pixel to pixel where the file tells: in the patient, or at the detector. */
  spacing: { x: number; y: number; detector: boolean } | null;
  /** The DICOM code, or nothing. */
  modality: string;
  /** Grey levels that a pixel can have. */
  levels: number;
}

/** The picture of an image that the browser has decoded. Throws where it cannot be looked into. */
export function readImage(image: HTMLImageElement): Picture {
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context || width === 0) throw new Error("no picture");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const count = width * height;
  let grey = true;
  for (let at = 0; grey && at < data.length; at += 4) {
    grey = data[at] === data[at + 1] && data[at] === data[at + 2];
  }
  const values = new Uint8Array(grey ? count : count * 3);
  if (grey) for (let at = 0; at < count; at += 1) values[at] = data[at * 4] ?? 0;
  else {
    for (let at = 0, to = 0; at < data.length; at += 4) {
      values[to++] = data[at] ?? 0;
      values[to++] = data[at + 1] ?? 0;
      values[to++] = data[at + 2] ?? 0;
    }
  }
  return {
    width,
    height,
    components: grey ? 1 : 3,
    values,
    range: extent(values),
    window: { lower: 0, upper: 255 },
    inverted: false,
    slope: 1,
    intercept: 0,
    spacing: null,
    modality: "",
    levels: 256,
  };
}

/** Windows in Hounsfield units; they mean something on computed tomography alone. */
const TOMOGRAPHY: Record<string, Window> = {
  lung: { lower: -1350, upper: 150 },
  soft: { lower: -160, upper: 240 },
  bone: { lower: -500, upper: 1300 },
  brain: { lower: 0, upper: 80 },
};

const known = new WeakMap<Picture, Map<string, Window>>();

/** The windows that can be chosen of a picture, by the names that the page has words for. */
export function presets(picture: Picture): Map<string, Window> {
  // Counting all pixels takes its time: once a picture.
  const found = known.get(picture) ?? counted(picture);
  known.set(picture, found);
  return found;
}

function counted(picture: Picture): Map<string, Window> {
  const found = new Map<string, Window>([["stored", picture.window]]);
  if (picture.components === 3) {
    found.set("auto", { lower: percentile(picture, 0.01), upper: percentile(picture, 0.99) });
    return found;
  }
  const middle = percentile(picture, 0.5);
  found.set("full", picture.range);
  found.set("auto", { lower: percentile(picture, 0.01), upper: percentile(picture, 0.99) });
  found.set("dark", { lower: picture.range.lower, upper: middle });
  found.set("bright", { lower: middle, upper: picture.range.upper });
  if (picture.modality === "CT") {
    const stored = (value: number): number => (value - picture.intercept) / picture.slope;
    for (const [name, { lower, upper }] of Object.entries(TOMOGRAPHY)) {
      found.set(name, { lower: stored(lower), upper: stored(upper) });
    }
  }
  return found;
}

/** The value below which this share of the pixels lies; those of the empty ground do not count. */
function percentile(picture: Picture, share: number): number {
  const { lower, upper } = picture.range;
  const counts = new Uint32Array(upper - lower + 1);
  for (const value of picture.values) {
    const place = value - lower;
    counts[place] = (counts[place] ?? 0) + 1;
  }
  counts[0] = 0;
  const all = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (let place = 0; place < counts.length; place += 1) {
    seen += counts[place] ?? 0;
    if (seen > all * share) return lower + place;
  }
  return upper;
}
