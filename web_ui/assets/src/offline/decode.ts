// A file's bytes to pixels, as the service's reader makes them; what a browser cannot decode the
// same way is left to the service.

import type { Pixels } from "./pixels";

type Kind = "png" | "jpeg" | "other";

export class NotReadHere extends Error {}

function kindOf(bytes: Uint8Array): Kind {
  if (bytes[0] === 0x89 && bytes[1] === 0x50 && bytes[2] === 0x4e && bytes[3] === 0x47) return "png";
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? "jpeg" : "other";
}

/** Whether a PNG is grey. Those of 16 bits a sample come out of a browser as 8: not read here. */
function greyPng(bytes: Uint8Array): boolean {
  if (bytes[24] === 16) throw new NotReadHere("16 bits");
  return bytes[25] === 0 || bytes[25] === 4;
}

/** Whether a JPEG has one component. */
function greyJpeg(bytes: Uint8Array): boolean {
  let at = 2;
  while (at + 9 < bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1] ?? 0;
    if (marker >= 0xc0 && marker <= 0xc2) {
      const components = bytes[at + 9];
      if (components === 4) throw new NotReadHere("four components");
      return components === 1;
    }
    at += 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
  }
  throw new NotReadHere("no frame");
}

/** How many times smaller the service decodes a JPEG: 1, 2, 4 or 8. */
function shrink(width: number, height: number, least: [number, number] | null): number {
  if (!least) return 1;
  const most = Math.min(Math.floor(width / least[0]), Math.floor(height / least[1]));
  return [8, 4, 2].find((factor) => most >= factor) ?? 1;
}

/**
 * An image's pixels, upright, without a colour profile.
 *
 * A large JPEG is made smaller by means of squares where the service's decoder leaves out high
 * frequencies: nearly the same, and the service reads the image itself once it is sent.
 */
export async function decoded(file: Blob, least: [number, number] | null): Promise<Pixels> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const kind = kindOf(bytes);
  if (kind === "other") throw new NotReadHere("format");
  const channels = (kind === "png" ? greyPng(bytes) : greyJpeg(bytes)) ? 1 : 3;
  const bitmap = await createImageBitmap(new Blob([bytes], { type: `image/${kind}` }), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new NotReadHere("damaged");
  });
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  // Without an alpha channel what is see-through lies on black, as the service has it.
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new NotReadHere("no canvas");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  return gathered(rgba, width, height, channels, kind === "jpeg" ? shrink(width, height, least) : 1);
}

function gathered(
  rgba: Uint8ClampedArray,
  width: number,
  height: number,
  channels: 1 | 3,
  factor: number,
): Pixels {
  const across = Math.ceil(width / factor);
  const down = Math.ceil(height / factor);
  const data = new Uint8Array(across * down * channels);
  for (let row = 0; row < down; row += 1) {
    const bottom = Math.min(height, (row + 1) * factor);
    for (let column = 0; column < across; column += 1) {
      const right = Math.min(width, (column + 1) * factor);
      const count = (bottom - row * factor) * (right - column * factor);
      for (let channel = 0; channel < channels; channel += 1) {
        let sum = 0;
        for (let y = row * factor; y < bottom; y += 1) {
          for (let x = column * factor; x < right; x += 1) sum += rgba[4 * (y * width + x) + channel] ?? 0;
        }
        data[(row * across + column) * channels + channel] = Math.round(sum / count);
      }
    }
  }
  return { width: across, height: down, channels, data };
}
