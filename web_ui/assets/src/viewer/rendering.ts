// Our pictures in the hands of cornerstone3D: where it asks for an image, it gets one of these.

import {
  Enums,
  RenderingEngine,
  imageLoader,
  init,
  metaData,
  setUseCPURendering,
  type Types,
} from "@cornerstonejs/core";
import type { Picture } from "./picture";

const SCHEME = "sightline";
const pictures = new Map<string, Picture>();
let counted = 0;

/** A name under which a picture can be shown. */
export function named(picture: Picture): string {
  counted += 1;
  const name = `${SCHEME}:${counted}`;
  pictures.set(name, picture);
  return name;
}

export function forget(name: string): void {
  pictures.delete(name);
}

function load(name: string): { promise: Promise<Types.IImage> } {
  const picture = pictures.get(name);
  if (!picture) return { promise: Promise.reject(new Error("no such picture")) };
  const { width, height, values, components, range, window } = picture;
  const image = {
    imageId: name,
    minPixelValue: range.lower,
    maxPixelValue: range.upper,
    slope: 1,
    intercept: 0,
    windowCenter: (window.lower + window.upper + 1) / 2,
    windowWidth: window.upper - window.lower + 1,
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => values,
    rows: height,
    columns: width,
    height,
    width,
    color: components === 3,
    rgba: false,
    numberOfComponents: components,
    columnPixelSpacing: 1,
    rowPixelSpacing: 1,
    invert: picture.inverted,
    photometricInterpretation: components === 3 ? "RGB" : "MONOCHROME2",
    sizeInBytes: values.byteLength,
    dataType: values.constructor.name,
    imageFrame: {},
  };
  // What the type names beyond these is filled in by the library or has no use here.
  return { promise: Promise.resolve(image as unknown as Types.IImage) };
}

function tell(kind: string, name: string): unknown {
  const picture = pictures.get(name);
  if (!picture) return undefined;
  const bits = picture.values.BYTES_PER_ELEMENT * 8;
  if (kind === "imagePixelModule") {
    return {
      bitsAllocated: bits,
      bitsStored: bits,
      highBit: bits - 1,
      samplesPerPixel: picture.components,
      photometricInterpretation: picture.components === 3 ? "RGB" : "MONOCHROME2",
      pixelRepresentation: picture.values instanceof Int16Array ? 1 : 0,
    };
  }
  if (kind === "generalSeriesModule") return { modality: "OT" };
  if (kind === "imagePlaneModule") {
    return {
      frameOfReferenceUID: name,
      rows: picture.height,
      columns: picture.width,
      imageOrientationPatient: [1, 0, 0, 0, 1, 0],
      rowCosines: [1, 0, 0],
      columnCosines: [0, 1, 0],
      imagePositionPatient: [0, 0, 0],
      rowPixelSpacing: 1,
      columnPixelSpacing: 1,
      pixelSpacing: [1, 1],
    };
  }
  return undefined;
}

/** Whether there is a GPU; where a browser only pretends to one, the canvas is faster. */
function accelerated(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) return false;
  const told = context.getExtension("WEBGL_debug_renderer_info");
  const renderer = told ? String(context.getParameter(told.UNMASKED_RENDERER_WEBGL)) : "";
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(renderer);
}

/** The engine that all stages of the page share; on the GPU where there is one. */
export function start(): RenderingEngine {
  if (accelerated()) init({ rendering: { webGlContextCount: 1 } } as Parameters<typeof init>[0]);
  // This counts as the start as well, so that nothing is tried on a GPU that is not there.
  else setUseCPURendering(true, false);
  imageLoader.registerImageLoader(SCHEME, load);
  metaData.addProvider(tell);
  return new RenderingEngine("viewer");
}
