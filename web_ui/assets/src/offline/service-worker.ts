// Keeps the page for work without a network, and what it is made of. It keeps nothing else: no
// other page, no reading, no answer of the service. What it keeps is listed by the service, in
// `sightlineShell` before this script; another list is another worker, with another cache.

interface Shell {
  version: string;
  page: string;
  files: string[];
}

// Of the types of workers, those that are used; the library's would clash with the pages'.
interface Extendable extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface Fetching extends Extendable {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Worker {
  addEventListener(name: "install" | "activate", act: (event: Extendable) => void): void;
  addEventListener(name: "fetch", act: (event: Fetching) => void): void;
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly location: Location;
}
declare const sightlineShell: Shell;

const worker = self as unknown as Worker;
const PREFIX = "sightline-shell-";
const NAME = PREFIX + sightlineShell.version;

async function install(): Promise<void> {
  const cache = await caches.open(NAME);
  await cache.addAll(sightlineShell.files);
  await cache.add(new Request(sightlineShell.page, { cache: "reload" }));
  await worker.skipWaiting();
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
  }
  await worker.clients.claim();
}

/** A page: from the network; without one, the page that needs none. */
async function page(request: Request): Promise<Response> {
  const cache = await caches.open(NAME);
  try {
    const answer = await fetch(request);
    const kept = new URL(request.url).pathname === sightlineShell.page;
    // Fetched anew for the language that was chosen since.
    if (kept && answer.ok && !answer.redirected) await cache.put(sightlineShell.page, answer.clone());
    return answer;
  } catch (error) {
    const found = await cache.match(sightlineShell.page);
    if (!found) throw error;
    return found;
  }
}

async function asset(request: Request): Promise<Response> {
  return (await (await caches.open(NAME)).match(request)) ?? fetch(request);
}

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== worker.location.origin) return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (sightlineShell.files.includes(address.pathname)) event.respondWith(asset(request));
});
