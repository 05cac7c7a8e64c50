// Runs a kept model: ONNX Runtime in this page, in one thread, from files that are kept here.

import * as ort from "onnxruntime-web/wasm";
import runtime from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { decoded } from "./decode";
import { features, score } from "./gate";
import { judged, probabilities, type Judgement, type Model } from "./judgement";
import { decodeAtLeast, preprocessed } from "./preprocess";
import { fetched, file, filesOf, keepFiles, keepModel } from "./store";

/** Largest difference of a probability from the service's on the golden images. */
const TOLERANCE = 1e-3;

export { runtime };

export interface Read {
  answer: Judgement;
  /** Whether the image is one the model may judge; null where the model takes any. */
  suitable: boolean | null;
}

let started: Promise<void> | undefined;
const sessions = new Map<string, Promise<ort.InferenceSession>>();

function start(binary: () => Promise<ArrayBuffer>): Promise<void> {
  started ??= binary().then((content) => {
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.proxy = false;
    ort.env.wasm.wasmBinary = content;
  });
  return started;
}

async function run(session: ort.InferenceSession, model: Model, image: Blob): Promise<Read & { outputs: number[] }> {
  const pixels = await decoded(image, decodeAtLeast(model.preprocessing));
  const input = new ort.Tensor("float32", preprocessed(pixels, model.preprocessing), [
    1,
    model.height,
    model.width,
    model.channels,
  ]);
  const found = await session.run({ [model.input_name]: input });
  const outputs = Array.from(found[model.output_name]?.data as Float32Array);
  let suitable: boolean | null = null;
  if (model.gate) {
    const gate = await file(filesOf(model)[1] ?? "");
    suitable = score(features(pixels), model.gate, gate) >= model.gate.threshold;
  }
  return { answer: judged(outputs, model), suitable, outputs };
}

/** Read an image with a kept model. */
export async function read(model: Model, image: Blob): Promise<Read> {
  await start(() => file(runtime));
  let session = sessions.get(model.onnx.digest);
  if (!session) {
    session = file(filesOf(model)[0] ?? "").then((content) => ort.InferenceSession.create(new Uint8Array(content)));
    sessions.set(model.onnx.digest, session);
  }
  const { answer, suitable } = await run(await session, model, image);
  return { answer, suitable };
}

/**
 * Keep a disease's live model, after it answered here as it does in the service.
 *
 * Returns the largest difference of a probability on the golden images; rejects, and keeps
 * nothing, where that is too large.
 */
export async function keep(disease: string): Promise<{ model: Model; difference: number }> {
  const model = JSON.parse(new TextDecoder().decode(await fetched(`/offline/models/${disease}`))) as Model;
  const [graph = "", gate] = filesOf(model);
  const files = new Map<string, ArrayBuffer>([[graph, await fetched(graph, model.onnx.digest)]]);
  if (gate) files.set(gate, await fetched(gate, model.gate_file?.digest));
  const binary = await fetched(runtime);
  files.set(runtime, binary);
  await keepFiles(files);
  await start(async () => binary);
  const session = await ort.InferenceSession.create(new Uint8Array(files.get(graph) ?? new ArrayBuffer(0)));
  let difference = model.golden.length ? 0 : 1;
  for (const golden of model.golden) {
    const image = new Blob([await fetched(`/demo/${disease}/${golden.file}`)]);
    const { outputs } = await run(session, model, image);
    const expected = probabilities(golden.logits, model);
    probabilities(outputs, model).forEach((value, at) => {
      difference = Math.max(difference, Math.abs(value - (expected[at] ?? 0)));
    });
  }
  if (!(difference <= TOLERANCE)) throw new Error("another answer than the service's");
  sessions.set(model.onnx.digest, Promise.resolve(session));
  await keepModel(model, runtime);
  return { model, difference };
}
