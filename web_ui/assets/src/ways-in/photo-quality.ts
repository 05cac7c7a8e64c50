// Is a photo sharp and well exposed? Advice beside the photo, never a bar to using it.

export type Flaw = "blurred" | "dark" | "bright" | "flat";

/** What is measured of a photo; levels run from 0 to 255. */
export interface Measures {
  /** Variance of the Laplacian over the variance of the levels: 0 for a smooth picture. */
  sharpness: number;
  /** Levels that 5, 50 and 95 of a hundred pixels do not exceed. */
  low: number;
  middle: number;
  high: number;
  /** Share of pixels at the upper end, where nothing can be told apart any more. */
  burnt: number;
}

// Measured at one size, because a large photo shrunk is sharper than it was.
const LONGEST = 512;
// Sharp photos and drawn demo images have 0.006 to 0.12, and at most 0.003 behind a blur of 1 % of
// their width. Noise counts as detail, so darkness is looked at first.
const SHARP = 0.003;

/** Brightness of a picture, row by row, at the size that is measured. */
export function levelsOf(picture: HTMLCanvasElement): { levels: Uint8Array; width: number } {
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const width = Math.max(3, Math.round(picture.width * scale));
  const height = Math.max(3, Math.round(picture.height * scale));
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const context = small.getContext("2d", { willReadFrequently: true });
  if (!context) return { levels: new Uint8Array(), width };
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const levels = new Uint8Array(width * height);
  for (let at = 0; at < levels.length; at += 1) {
    const [red = 0, green = 0, blue = 0] = data.subarray(at * 4, at * 4 + 3);
    levels[at] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  }
  return { levels, width };
}

function variance(sum: number, squares: number, count: number): number {
  return squares / count - (sum / count) ** 2;
}

export function measure(levels: Uint8Array, width: number): Measures {
  const height = Math.floor(levels.length / width);
  const histogram = new Array<number>(256).fill(0);
  let [sum, squares, edges, edgeSquares, count] = [0, 0, 0, 0, 0];
  const level = (at: number): number => levels[at] ?? 0;
  for (let at = 0; at < levels.length; at += 1) {
    histogram[level(at)] = (histogram[level(at)] ?? 0) + 1;
    sum += level(at);
    squares += level(at) ** 2;
  }
  for (let y = 1; y < height - 1; y += 1) {
    for (let x = 1; x < width - 1; x += 1) {
      const at = y * width + x;
      const edge =
        level(at - 1) + level(at + 1) + level(at - width) + level(at + width) - 4 * level(at);
      edges += edge;
      edgeSquares += edge ** 2;
      count += 1;
    }
  }
  const below = (share: number): number => {
    let seen = 0;
    return Math.max(
      0,
      histogram.findIndex((pixels) => (seen += pixels) >= share * levels.length),
    );
  };
  const contrast = variance(sum, squares, levels.length);
  return {
    // A picture of one level has no contrast to compare with.
    sharpness: variance(edges, edgeSquares, Math.max(count, 1)) / Math.max(contrast, 25),
    low: below(0.05),
    middle: below(0.5),
    high: below(0.95),
    burnt: histogram.slice(251).reduce((all, pixels) => all + pixels, 0) / levels.length,
  };
}

/** What is amiss, the worst first; nothing: the photo looks fine. */
export function flaws({ sharpness, low, middle, high, burnt }: Measures): Flaw[] {
  const found: Flaw[] = [];
  if (high < 70) found.push("dark");
  if (burnt > 0.3 || (low > 150 && middle > 215)) found.push("bright");
  if (high - low < 40) found.push("flat");
  // Where there is nothing to see, sharpness says nothing.
  if (!found.length && sharpness < SHARP) found.push("blurred");
  return found;
}
