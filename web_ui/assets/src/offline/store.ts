// What stays in this browser: the models that were kept, and the images that wait to be sent.
// The files of models lie in a cache of their own; all else in a database.

import type { Judgement, Model } from "./judgement";

/** What the service said of an image that was sent. */
export interface Sent {
  address: string;
  version: string;
  outcome: "judged" | "not_judged";
  band: string | null;
  probabilities: { id: string; name: string; probability: number }[];
  reason: string | null;
}

/** An image that was read, or will be, and what became of it. */
export interface Waiting {
  /** Also the key by which the service knows a repetition. */
  id: string;
  disease: string;
  name: string;
  /** Until the service has it. */
  image: ArrayBuffer | null;
  type: string;
  taken: number;
  /** Whose it is; null where nobody has signed in on this browser yet. */
  person: string | null;
  version: string | null;
  finding: string | null;
  answer: Judgement | null;
  /** Null where there is no gate. */
  suitable: boolean | null;
  state: "waiting" | "sent" | "refused";
  problem: string | null;
  sent: Sent | null;
}

/** What is remembered of the last time the service answered. */
export interface Known {
  person: string | null;
  readFirst: boolean;
  diseases: { id: string; name: string; version: string | null }[];
}

const NOTHING: Known = { person: null, readFirst: false, diseases: [] };
const FILES = "sightline-models";

let opened: Promise<IDBDatabase> | undefined;

function database(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const asking = indexedDB.open("sightline-offline", 1);
    asking.onupgradeneeded = () => {
      asking.result.createObjectStore("models", { keyPath: "disease" });
      asking.result.createObjectStore("queue", { keyPath: "id" });
      asking.result.createObjectStore("known");
    };
    asking.onsuccess = () => resolve(asking.result);
    asking.onerror = () => reject(asking.error ?? new Error("no database"));
  });
  return opened;
}

async function on<T>(
  store: "models" | "queue" | "known",
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const transaction = (await database()).transaction(store, mode, { durability: "strict" });
  const request = act(transaction.objectStore(store));
  return new Promise((resolve, reject) => {
    // Written means written: what is resolved here survives a crash of the browser.
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error ?? new Error("not written"));
  });
}

export async function keptModels(): Promise<Model[]> {
  return on("models", "readonly", (store) => store.getAll() as IDBRequest<Model[]>);
}

export async function known(): Promise<Known> {
  const found = await on("known", "readonly", (store) => store.get("state") as IDBRequest<Known | undefined>);
  return found ?? NOTHING;
}

export async function remember(state: Known): Promise<void> {
  await on("known", "readwrite", (store) => store.put(state, "state"));
}

/** The queue, oldest first. */
export async function queue(): Promise<Waiting[]> {
  const found = await on("queue", "readonly", (store) => store.getAll() as IDBRequest<Waiting[]>);
  return found.sort((a, b) => a.taken - b.taken);
}

export async function put(item: Waiting): Promise<void> {
  await on("queue", "readwrite", (store) => store.put(item));
}

export async function drop(id: string): Promise<void> {
  await on("queue", "readwrite", (store) => store.delete(id));
}

/** Addresses of a model's files. */
export function filesOf(model: Pick<Model, "disease" | "version" | "gate_file">): string[] {
  const folder = `/offline/models/${model.disease}/${model.version}`;
  return [`${folder}/model.onnx`, ...(model.gate_file ? [`${folder}/gate.bin`] : [])];
}

/** A kept file's bytes. */
export async function file(address: string): Promise<ArrayBuffer> {
  const found = await (await caches.open(FILES)).match(address);
  if (!found) throw new Error("a file of the model is not kept");
  return found.arrayBuffer();
}

async function digest(content: ArrayBuffer): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return `sha256:${Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Fetch a file whole and hold it to its digest, where one is known. */
export async function fetched(address: string, expected?: string): Promise<ArrayBuffer> {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const content = await answer.arrayBuffer();
  if (expected && (await digest(content)) !== expected) throw new Error("other bytes than expected");
  return content;
}

/** Keep files under their addresses. */
export async function keepFiles(files: Map<string, ArrayBuffer>): Promise<void> {
  const cache = await caches.open(FILES);
  for (const [address, content] of files) await cache.put(address, new Response(content));
}

/** Keep a model, whose files are kept already, and let go of those that no model needs. */
export async function keepModel(model: Model, runtime: string): Promise<void> {
  await on("models", "readwrite", (store) => store.put(model));
  await letGo(runtime);
}

export async function removeModel(disease: string, runtime: string): Promise<void> {
  await on("models", "readwrite", (store) => store.delete(disease));
  await letGo(runtime);
}

async function letGo(runtime: string): Promise<void> {
  const models = await keptModels();
  const needed = new Set(models.flatMap(filesOf));
  if (models.length) needed.add(runtime);
  const cache = await caches.open(FILES);
  for (const request of await cache.keys()) {
    if (!needed.has(new URL(request.url).pathname)) await cache.delete(request);
  }
}
