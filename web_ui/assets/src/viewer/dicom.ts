// Reads the DICOM file that the service keeps: a Secondary Capture of one frame that it wrote
// itself, as (deflated) explicit little endian, with its pixels uncompressed. Nothing else is read.

import type { Picture, Window } from "./picture";

const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const DEFLATED = "1.2.840.10008.1.2.1.99";
const PLAIN = "1.2.840.10008.1.2.1";
const UNDEFINED_LENGTH = 0xffffffff;

class NotReadable extends Error {}

/** The elements of a data set by their tag in hexadecimal, each as the bytes of its value. */
type Elements = Map<string, Uint8Array>;

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(group: number, element: number): string {
  return group.toString(16).padStart(4, "0") + element.toString(16).padStart(4, "0");
}

/** Reads elements from `at` on for as long as `wanted` says, and tells where it stopped. */
function elements(bytes: Uint8Array, at: number, wanted: (group: number) => boolean): [Elements, number] {
  const found: Elements = new Map();
  const data = view(bytes);
  while (at + 8 <= bytes.length) {
    const group = data.getUint16(at, true);
    if (!wanted(group)) break;
    const tag = hex(group, data.getUint16(at + 2, true));
    const kind = String.fromCharCode(bytes[at + 4] ?? 0, bytes[at + 5] ?? 0);
    const long = LONG.has(kind);
    const length = long ? data.getUint32(at + 8, true) : data.getUint16(at + 6, true);
    const start = at + (long ? 12 : 8);
    if (length === UNDEFINED_LENGTH || start + length > bytes.length) throw new NotReadable(tag);
    found.set(tag, bytes.subarray(start, start + length));
    at = start + length;
  }
  return [found, at];
}

function text(found: Elements, tag: string): string {
  const value = found.get(tag);
  return value ? new TextDecoder("latin1").decode(value).replace(/[\0 ]+$/, "").trim() : "";
}

function numbers(found: Elements, tag: string): number[] {
  return text(found, tag)
    .split("\\")
    .filter((part) => part.trim() !== "")
    .map(Number)
    .filter(Number.isFinite);
}

function short(found: Elements, tag: string): number | undefined {
  const value = found.get(tag);
  return value && value.length >= 2 ? view(value).getUint16(0, true) : undefined;
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const inflate = async (part: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> => {
    const stream = new Blob([part]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Response(stream).arrayBuffer();
  };
  // A byte may follow the stream, to make its length even; a browser then gives nothing at all.
  const whole = await inflate(bytes).catch(() => inflate(bytes.slice(0, -1)));
  return new Uint8Array(whole);
}

interface Table {
  first: number;
  entries: Uint16Array;
}

/** The one item of a sequence that holds a look-up table. */
function table(found: Elements, tag: string, signed: boolean): Table | null {
  const sequence = found.get(tag);
  if (!sequence || sequence.length < 8) return null;
  const [item] = elements(sequence.subarray(8), 0, () => true);
  const descriptor = item.get("00283002");
  const data = item.get("00283006");
  if (!descriptor || !data) return null;
  const told = view(descriptor);
  const first = signed ? told.getInt16(2, true) : told.getUint16(2, true);
  return { first, entries: new Uint16Array(data.slice().buffer) };
}

function looked(values: Picture["values"], { first, entries }: Table): Uint16Array {
  const last = entries.length - 1;
  return Uint16Array.from(values, (value) => entries[Math.max(0, Math.min(last, value - first))] ?? 0);
}

function stored(pixels: Uint8Array, count: number, bits: number, signed: boolean): Picture["values"] {
  if (bits === 8) return pixels.slice(0, count);
  const raw = pixels.slice(0, count * 2).buffer;
  return signed ? new Int16Array(raw) : new Uint16Array(raw);
}

/** The least and the greatest value; those that stand for no measurement left aside. */
export function extent(values: Picture["values"], empty: readonly number[] = []): Window {
  let lower = Infinity;
  let upper = -Infinity;
  let next = 0;
  values.forEach((value, place) => {
    if (place === empty[next]) {
      next += 1;
      return;
    }
    if (value < lower) lower = value;
    if (value > upper) upper = value;
  });
  if (lower > upper) [lower, upper] = [0, 0];
  return { lower, upper: Math.max(upper, lower + 1) };
}

/** The places, in their order, whose values stand for no measurement at all. */
function padding(found: Elements, values: Picture["values"], signed: boolean): number[] {
  const edges = ["00280120", "00280121"].flatMap((tag) => {
    const value = short(found, tag);
    return value === undefined ? [] : [signed ? (value << 16) >> 16 : value];
  });
  const places: number[] = [];
  if (!found.has("00280120")) return places;
  const [least, most] = [Math.min(...edges), Math.max(...edges)];
  values.forEach((value, place) => {
    if (value >= least && value <= most) places.push(place);
  });
  return places;
}

/** The picture of a kept DICOM file, in its full depth. Throws where it is not such a file. */
export async function readDicom(file: ArrayBuffer): Promise<Picture> {
  const bytes = new Uint8Array(file);
  if (new TextDecoder("latin1").decode(bytes.subarray(128, 132)) !== "DICM") throw new NotReadable();
  const [meta, rest] = elements(bytes, 132, (group) => group === 2);
  const syntax = text(meta, "00020010");
  if (syntax !== DEFLATED && syntax !== PLAIN) throw new NotReadable(syntax);
  const body = bytes.slice(rest);
  const [found] = elements(syntax === DEFLATED ? await inflated(body) : body, 0, () => true);

  const height = short(found, "00280010");
  const width = short(found, "00280011");
  const pixels = found.get("7fe00010");
  if (!height || !width || !pixels) throw new NotReadable();
  const components = short(found, "00280002") === 3 ? 3 : 1;
  const allocated = short(found, "00280100") ?? 8;
  let signed = short(found, "00280103") === 1;
  let values = stored(pixels, width * height * components, allocated, signed);

  const empty = components === 1 ? padding(found, values, signed) : [];
  let slope = numbers(found, "00281053")[0] ?? 1;
  let intercept = numbers(found, "00281052")[0] ?? 0;
  const modality = table(found, "00283000", signed);
  const voi = table(found, "00283010", false);
  for (const one of [modality, voi]) {
    if (!one) continue;
    values = looked(values, one);
    [slope, intercept, signed] = [1, 0, false];
  }
  const range = extent(values, empty);
  const inverted = text(found, "00280004") === "MONOCHROME1";
  // Shown black, as the service shows it, and outside of no range.
  for (const place of empty) values[place] = inverted ? range.upper : range.lower;
  const centre = numbers(found, "00281050")[0];
  const size = numbers(found, "00281051")[0];
  const told =
    voi === null && centre !== undefined && size !== undefined && size >= 1
      ? {
          lower: (centre - size / 2 - intercept) / slope,
          upper: (centre + size / 2 - intercept) / slope,
        }
      : range;
  const inPatient = numbers(found, "00280030");
  const [rows, columns] = inPatient.length === 2 ? inPatient : numbers(found, "00181164");
  return {
    width,
    height,
    components,
    values,
    range,
    window: components === 3 ? { lower: 0, upper: 255 } : told,
    inverted,
    slope,
    intercept,
    spacing: rows && columns ? { x: columns, y: rows, detector: inPatient.length !== 2 } : null,
    modality: text(found, "00080060"),
    levels: 2 ** (short(found, "00280101") ?? 8),
  };
}
