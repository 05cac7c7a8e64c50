// The check that an image is one the model may judge: the features `gate-1` and their score, as
// `diagnosis/gate` computes them.

import { cropped, luma, resized, type Pixels } from "./pixels";

export interface GateRecord {
  features: string;
  threshold: number;
  kinds: { id: string; name: string }[];
  posture: boolean;
  components: number;
}

const SIDE = 32;
const AREA = SIDE * SIDE;

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < values.length; at += 1) sum += values[at] ?? 0;
  return sum / values.length;
}

function deviation(values: ArrayLike<number>): number {
  const middle = mean(values);
  let sum = 0;
  for (let at = 0; at < values.length; at += 1) sum += ((values[at] ?? 0) - middle) ** 2;
  return Math.sqrt(sum / values.length);
}

/** Pillow's `Image.reduce`: means of squares of so many pixels; those at the end may be smaller. */
export function reduced(image: Pixels, factor: number): Pixels {
  if (factor === 1) return image;
  const { channels } = image;
  const width = Math.ceil(image.width / factor);
  const height = Math.ceil(image.height / factor);
  const data = new Uint8Array(width * height * channels);
  for (let row = 0; row < height; row += 1) {
    const bottom = Math.min(image.height, (row + 1) * factor);
    for (let column = 0; column < width; column += 1) {
      const right = Math.min(image.width, (column + 1) * factor);
      const count = (bottom - row * factor) * (right - column * factor);
      // Pillow multiplies by a rounded reciprocal: what divides without a rest comes out one less.
      const share = Math.floor(Math.fround(2 ** 32 / (256 * count)));
      for (let channel = 0; channel < channels; channel += 1) {
        let sum = count >> 1;
        for (let y = row * factor; y < bottom; y += 1) {
          for (let x = column * factor; x < right; x += 1) {
            sum += image.data[(y * image.width + x) * channels + channel] ?? 0;
          }
        }
        data[(row * width + column) * channels + channel] = Math.floor((sum * share) / 2 ** 24);
      }
    }
  }
  return { width, height, channels, data };
}

function grey(image: Pixels): Uint8Array {
  if (image.channels === 1) return Uint8Array.from(image.data);
  const found = new Uint8Array(image.width * image.height);
  for (let at = 0; at < found.length; at += 1) {
    const [r = 0, g = 0, b = 0] = image.data.subarray(3 * at, 3 * at + 3);
    found[at] = luma(r, g, b);
  }
  return found;
}

/** First and last but one line that is not of one level, such as a letterbox is. */
function inside(total: number, across: number, at: (line: number, place: number) => number): [number, number] {
  const level = at(0, 0);
  let first = -1;
  let last = -1;
  for (let line = 0; line < total; line += 1) {
    let low = 255;
    let high = 0;
    for (let place = 0; place < across; place += 1) {
      const value = at(line, place);
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const plain = Math.max(high - level, level - low) <= 12 && high - low <= 12;
    if (plain) continue;
    if (first < 0) first = line;
    last = line;
  }
  if (first < 0 || last + 1 - first < 0.25 * total) return [0, total];
  return [first, last + 1];
}

/** 32 by 32 pixels in colour, 0 to 1, without a plain frame. */
export function thumbnail(image: Pixels): Float64Array {
  const small = reduced(image, Math.max(1, Math.floor(Math.min(image.width, image.height) / (4 * SIDE))));
  const levels = grey(small);
  const { width, height } = small;
  const value = (row: number, column: number): number => levels[row * width + column] ?? 0;
  const [top, bottom] = inside(height, width, value);
  const [left, right] = inside(width, height, (column, row) => value(row, column));
  const tiny = resized(cropped(small, left, top, right, bottom), SIDE, SIDE, "bilinear");
  const found = new Float64Array(3 * AREA);
  for (let at = 0; at < 3 * AREA; at += 1) {
    const source = tiny.channels === 3 ? at : Math.floor(at / 3);
    found[at] = (tiny.data[source] ?? 0) / 255;
  }
  return found;
}

function blocks(values: Float64Array, count: number): number[] {
  const size = SIDE / count;
  const sums = new Array<number>(count * count).fill(0);
  for (let at = 0; at < AREA; at += 1) {
    const cell = Math.floor(Math.floor(at / SIDE) / size) * count + Math.floor((at % SIDE) / size);
    sums[cell] = (sums[cell] ?? 0) + (values[at] ?? 0) / (size * size);
  }
  return sums;
}

function gradient(before: number, here: number, after: number, at: number): number {
  if (at === 0) return after - here;
  return at === SIDE - 1 ? here - before : (after - before) / 2;
}

function orientations(standard: Float64Array): number[] {
  const cells = new Array<number>(4 * 4 * 8).fill(0);
  const value = (row: number, column: number): number => standard[row * SIDE + column] ?? 0;
  for (let row = 0; row < SIDE; row += 1) {
    for (let column = 0; column < SIDE; column += 1) {
      const here = value(row, column);
      const down = gradient(value(Math.max(row - 1, 0), column), here, value(Math.min(row + 1, SIDE - 1), column), row);
      const across = gradient(
        column ? value(row, column - 1) : 0,
        here,
        column < SIDE - 1 ? value(row, column + 1) : 0,
        column,
      );
      const strength = Math.hypot(down, across);
      const turn = (((Math.atan2(down, across) / (2 * Math.PI)) * 8) % 8 + 8) % 8;
      const low = Math.floor(turn) % 8;
      const share = turn - Math.floor(turn);
      const cell = (Math.floor(row / 8) * 4 + Math.floor(column / 8)) * 8;
      cells[cell + low] = (cells[cell + low] ?? 0) + strength * (1 - share);
      const next = cell + ((low + 1) % 8);
      cells[next] = (cells[next] ?? 0) + strength * share;
    }
  }
  const sum = Math.max(cells.reduce((total, one) => total + one, 0), 1e-6);
  return cells.map((one) => Math.sqrt(one / sum));
}

function colours(colour: Float64Array, levels: Float64Array): number[] {
  const redGreen = new Float64Array(AREA);
  const yellowBlue = new Float64Array(AREA);
  const chroma = new Float64Array(AREA);
  const saturation = new Float64Array(AREA);
  for (let at = 0; at < AREA; at += 1) {
    const [r = 0, g = 0, b = 0] = colour.subarray(3 * at, 3 * at + 3);
    const highest = Math.max(r, g, b);
    redGreen[at] = r - g;
    yellowBlue[at] = (r + g) / 2 - b;
    chroma[at] = highest - Math.min(r, g, b);
    saturation[at] = (chroma[at] ?? 0) / Math.max(highest, 0.05);
  }
  const middle = mean(redGreen);
  const level = mean(levels);
  const together = redGreen.map((value, at) => (value - middle) * ((levels[at] ?? 0) - level));
  return [
    middle,
    mean(yellowBlue),
    deviation(redGreen),
    deviation(yellowBlue),
    mean(chroma),
    Math.max(...chroma),
    mean(saturation),
    deviation(saturation),
    chroma.filter((value) => value > 0.06).length / AREA,
    chroma.filter((value) => value > 0.2).length / AREA,
    mean(together),
    ...blocks(redGreen, 4),
    ...blocks(yellowBlue, 4),
  ];
}

/** Counts in `bins` equal parts of a range, both ends of it included. */
function histogram(values: Float64Array, bins: number, low: number, high: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  const edge = (at: number): number => low + ((high - low) * at) / bins;
  for (const value of values) {
    if (value < low || value > high) continue;
    let at = Math.min(bins - 1, Math.floor(((value - low) * bins) / (high - low)));
    if (value < edge(at)) at -= 1;
    else if (at < bins - 1 && value >= edge(at + 1)) at += 1;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return counts;
}

function spread(levels: Float64Array, standard: Float64Array, varied: number): number[] {
  const bins = histogram(standard.map((value) => Math.min(2.4, Math.max(-2.4, value))), 12, -2.4, 2.4);
  const used = histogram(levels, 16, 0, 1).map((count) => count / AREA);
  const entropy = -used.reduce((sum, one) => sum + one * Math.log(one + 1e-12), 0);
  let down = 0;
  let across = 0;
  for (let at = 0; at < AREA; at += 1) {
    const here = standard[at] ?? 0;
    if (at >= SIDE) down += Math.abs(here - (standard[at - SIDE] ?? 0));
    if (at % SIDE) across += Math.abs(here - (standard[at - 1] ?? 0));
  }
  const pairs = SIDE * (SIDE - 1);
  return [
    ...bins.map((count) => Math.sqrt(count / AREA)),
    mean(levels),
    Math.log(varied + 1e-3),
    mean(standard.map((value) => value ** 3)),
    Math.min(mean(standard.map((value) => value ** 4)), 20),
    entropy,
    levels.filter((value) => value < 0.04).length / AREA,
    levels.filter((value) => value > 0.96).length / AREA,
    down / pairs,
    across / pairs,
  ];
}

/** Complex sums along one side: what a discrete Fourier transform makes of each line. */
function transformed(re: Float64Array, im: Float64Array, step: number, line: number): void {
  const a = new Float64Array(AREA);
  const b = new Float64Array(AREA);
  for (let start = 0; start < SIDE; start += 1) {
    for (let frequency = 0; frequency < SIDE; frequency += 1) {
      let real = 0;
      let imaginary = 0;
      for (let at = 0; at < SIDE; at += 1) {
        const angle = (-2 * Math.PI * ((frequency * at) % SIDE)) / SIDE;
        const x = re[start * line + at * step] ?? 0;
        const y = im[start * line + at * step] ?? 0;
        real += x * Math.cos(angle) - y * Math.sin(angle);
        imaginary += x * Math.sin(angle) + y * Math.cos(angle);
      }
      a[start * line + frequency * step] = real;
      b[start * line + frequency * step] = imaginary;
    }
  }
  re.set(a);
  im.set(b);
}

function spectrum(standard: Float64Array): number[] {
  const hanning = Array.from({ length: SIDE }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / (SIDE - 1)));
  const re = standard.map((value, at) => value * (hanning[Math.floor(at / SIDE)] ?? 0) * (hanning[at % SIDE] ?? 0));
  const im = new Float64Array(AREA);
  transformed(re, im, 1, SIDE);
  transformed(re, im, SIDE, 1);
  const rings = new Array<number>(8).fill(0);
  let total = 0;
  let outer = 0;
  let upright = 0;
  for (let at = 0; at < AREA; at += 1) {
    // Frequencies from 16 on are the negative ones.
    const down = ((Math.floor(at / SIDE) + SIDE / 2) % SIDE) - SIDE / 2;
    const across = (((at % SIDE) + SIDE / 2) % SIDE) - SIDE / 2;
    const power = (re[at] ?? 0) ** 2 + (im[at] ?? 0) ** 2;
    const radius = Math.hypot(down, across);
    const ring = Math.min(Math.trunc((radius / (SIDE / 2)) * 8), 7);
    rings[ring] = (rings[ring] ?? 0) + power;
    total += power;
    if (radius <= 2) continue;
    outer += power;
    if (Math.abs(down) > Math.abs(across)) upright += power;
  }
  return [
    ...rings.map((sum) => Math.log(sum / Math.max(total, 1e-9) + 1e-5)),
    upright / Math.max(outer, 1e-9),
  ];
}

function part(values: Float64Array, top: number, bottom: number, left: number, right: number): Float64Array {
  return values.filter((_, at) => {
    const row = Math.floor(at / SIDE);
    const column = at % SIDE;
    return row >= top && row < bottom && column >= left && column < right;
  });
}

function frame(levels: Float64Array, standard: Float64Array): number[] {
  const far = SIDE - 4;
  const corners: [number, number, number, number][] = [
    [0, 4, 0, 4],
    [0, 4, far, SIDE],
    [far, SIDE, 0, 4],
    [far, SIDE, far, SIDE],
  ];
  const edges: [number, number, number, number][] = [
    [0, 4, 0, SIDE],
    [far, SIDE, 0, SIDE],
    [0, SIDE, 0, 4],
    [0, SIDE, far, SIDE],
  ];
  const middle = part(standard, 8, 24, 8, 24);
  const mirrored = standard.map((value, at) => value * (standard[at - (at % SIDE) + SIDE - 1 - (at % SIDE)] ?? 0));
  return [
    ...corners.map((box) => mean(part(standard, ...box))),
    ...edges.map((box) => deviation(part(standard, ...box))),
    mean(middle),
    deviation(middle),
    mean(mirrored),
    mean(part(levels, 0, 4, 0, SIDE)),
  ];
}

/** The numbers that a gate judges by. */
export function features(image: Pixels): Float64Array {
  const colour = thumbnail(image);
  const levels = new Float64Array(AREA);
  for (let at = 0; at < AREA; at += 1) {
    const [r = 0, g = 0, b = 0] = colour.subarray(3 * at, 3 * at + 3);
    levels[at] = 0.299 * r + 0.587 * g + 0.114 * b;
  }
  const varied = deviation(levels);
  const middle = mean(levels);
  const standard = levels.map((value) => (value - middle) / Math.max(varied, 0.02));
  return Float64Array.from([
    ...blocks(standard, 16).map((value) => Math.min(3, Math.max(-3, value))),
    ...orientations(standard),
    ...colours(colour, levels),
    ...spread(levels, standard, varied),
    ...spectrum(standard),
    ...frame(levels, standard),
  ]);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < a.length; at += 1) sum += (a[at] ?? 0) * (b[at] ?? 0);
  return sum;
}

/** How much an image is like those the model was made for; a typical one has a score of 1. */
export function score(found: Float64Array, record: GateRecord, file: ArrayBuffer): number {
  if (record.features !== "gate-1") throw new Error("unknown features");
  const view = new DataView(file);
  const numbers = Float64Array.from({ length: file.byteLength / 4 }, (_, at) => view.getFloat32(4 * at, true));
  let from = 0;
  const take = (count: number): Float64Array => numbers.subarray(from, (from += count));
  const size = found.length;
  const kinds = 1 + record.kinds.length;
  const parts = 3 + Number(record.posture);
  const centre = take(size);
  const scale = take(size);
  const weights = take(kinds * size);
  const bias = take(kinds);
  const posture = take(record.posture ? size + 1 : 0);
  const good = take(size);
  const components = take(record.components * size);
  const along = take(record.components);
  const rest = take(1)[0] ?? 1;
  const low = take(parts);
  const typical = take(parts);
  if (from !== numbers.length) throw new Error("the gate's file does not fit its record");

  const standard = found.map((value, at) =>
    Math.min(8, Math.max(-8, (value - (centre[at] ?? 0)) / (scale[at] ?? 1))),
  );
  const logits = Array.from(bias, (value, row) => dot(weights.subarray(row * size, (row + 1) * size), standard) + value);
  const [own = 0, ...others] = logits;
  const highest = Math.max(...others);
  const rivals = highest + Math.log(others.reduce((sum, one) => sum + Math.exp(one - highest), 0));
  const apart = standard.map((value, at) => value - (good[at] ?? 0));
  const places = Array.from(along, (_, row) => dot(components.subarray(row * size, (row + 1) * size), apart));
  const within = places.reduce((sum, one, at) => sum + one ** 2 / (along[at] ?? 1), 0) / places.length;
  const beyond = Math.max(dot(apart, apart) - dot(places, places), 0) / rest;
  const values = [own - rivals, -Math.log(within + 1e-9), -Math.log(beyond + 1e-9)];
  if (record.posture) values.push(dot(posture.subarray(0, size), standard) + (posture[size] ?? 0));
  const each = values.map((value, at) => (value - (low[at] ?? 0)) / ((typical[at] ?? 1) - (low[at] ?? 0)));
  return Math.round(Math.min(...each) * 1e4) / 1e4;
}
