// Rows of samples, as the service's image reader hands them on.

export interface Pixels {
  width: number;
  height: number;
  channels: 1 | 3;
  /** 8-bit samples, or floats once a step made some; row by row, channels together. */
  data: Uint8Array | Float32Array;
}

type Filter = "bilinear" | "bicubic" | "box";

const PRECISION = 22;

const FILTERS: Record<Filter, { support: number; weight: (x: number) => number }> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x) => {
      const a = -0.5;
      const d = Math.abs(x);
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
      return 0;
    },
  },
};

interface Taps {
  first: Int32Array;
  count: Int32Array;
  weights: Float64Array;
  most: number;
}

/** The weights of each output sample along one side; of 8-bit samples in whole 2^-22ths. */
function taps(from: number, to: number, filter: Filter, whole: boolean): Taps {
  const { support, weight } = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const most = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const weights = new Float64Array(to * most);
  for (let at = 0; at < to; at += 1) {
    const centre = (at + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(from, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let x = 0; x < high - low; x += 1) {
      const value = weight((x + low - centre + 0.5) * (1 / stretch));
      weights[at * most + x] = value;
      sum += value;
    }
    for (let x = 0; x < high - low; x += 1) {
      let value = (weights[at * most + x] ?? 0) / (sum || 1);
      if (whole) value = Math.trunc(value * 2 ** PRECISION + (value < 0 ? -0.5 : 0.5));
      weights[at * most + x] = value;
    }
    first[at] = low;
    count[at] = high - low;
  }
  return { first, count, weights, most };
}

function clipped(sum: number): number {
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** PRECISION)));
}

/** One pass over columns or rows: `lines` lines of `from` samples, `step` apart, become `to`. */
function pass(
  source: Uint8Array | Float32Array,
  target: Uint8Array | Float32Array,
  to: number,
  found: Taps,
  lines: (line: number) => [source: number, target: number] | null,
  step: number,
): void {
  const whole = source instanceof Uint8Array;
  const half = whole ? 2 ** (PRECISION - 1) : 0;
  for (let line = 0; ; line += 1) {
    const start = lines(line);
    if (!start) return;
    for (let at = 0; at < to; at += 1) {
      let sum = half;
      const low = found.first[at] ?? 0;
      for (let x = 0; x < (found.count[at] ?? 0); x += 1) {
        sum += (source[start[0] + (low + x) * step] ?? 0) * (found.weights[at * found.most + x] ?? 0);
      }
      target[start[1] + at * step] = whole ? clipped(sum) : sum;
    }
  }
}

/** As many columns as wanted. */
function across(image: Pixels, width: number, filter: Filter): Pixels {
  if (width === image.width) return image;
  const { channels, height } = image;
  const data = emptied(image, width * height * channels);
  pass(
    image.data,
    data,
    width,
    taps(image.width, width, filter, image.data instanceof Uint8Array),
    (line) => {
      const row = Math.floor(line / channels);
      if (row >= height) return null;
      const channel = line % channels;
      return [row * image.width * channels + channel, row * width * channels + channel];
    },
    channels,
  );
  return { ...image, width, data };
}

/** As many rows as wanted. */
function down(image: Pixels, height: number, filter: Filter): Pixels {
  if (height === image.height) return image;
  const row = image.width * image.channels;
  const data = emptied(image, height * row);
  pass(
    image.data,
    data,
    height,
    taps(image.height, height, filter, image.data instanceof Uint8Array),
    (line) => (line < row ? [line, line] : null),
    row,
  );
  return { ...image, height, data };
}

function emptied(image: Pixels, size: number): Uint8Array | Float32Array {
  return image.data instanceof Uint8Array ? new Uint8Array(size) : new Float32Array(size);
}

/**
 * Pillow's `Image.resize`: one side, then the other; 8-bit samples are rounded after each.
 *
 * Pillow begins with the columns, but with the rows where those lose more than twice as much; the
 * roundings in between tell the two apart.
 */
export function resized(image: Pixels, width: number, height: number, filter: Filter): Pixels {
  const fewer = image.height - height;
  if (fewer > 0 && fewer > 2 * Math.max(0, image.width - width)) {
    return across(down(image, height, filter), width, filter);
  }
  return down(across(image, width, filter), height, filter);
}

/** The part of an image from (left, top) to before (right, bottom). */
export function cropped(
  image: Pixels,
  left: number,
  top: number,
  right: number,
  bottom: number,
): Pixels {
  const width = right - left;
  const height = bottom - top;
  const { channels } = image;
  const Kind = image.data instanceof Uint8Array ? Uint8Array : Float32Array;
  const data = new Kind(width * height * channels);
  for (let row = 0; row < height; row += 1) {
    const start = ((row + top) * image.width + left) * channels;
    data.set(image.data.subarray(start, start + width * channels), row * width * channels);
  }
  return { width, height, channels, data };
}

/** ITU-R 601-2 luma of one colour of 8 bits, in whole numbers as Pillow's `convert("L")`. */
export function luma(red: number, green: number, blue: number): number {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}
