// The page for work without a network: keep models, read images here, see what waits and send it.
// Its texts stand in the page, in templates and data- attributes, in the reader's language.

import { deliver, type Session } from "./deliver";
import type { Model } from "./judgement";
import { NotReadHere } from "./decode";
import { keep, read, runtime } from "./network";
import {
  drop,
  keptModels,
  known,
  put,
  queue,
  remember,
  removeModel,
  type Known,
  type Waiting,
} from "./store";
import { fill, readingRow } from "./rows";

const ROUND = 20_000;

function element<T extends HTMLElement>(name: string): T {
  const found = document.querySelector<T>(`[data-${name}]`);
  if (!found) throw new Error(`the page has no ${name}`);
  return found;
}

interface State extends Known {
  person: string;
  token: string;
}

let session: Session | null = null;
let live: Known;
let later: number | undefined;

/** Says how things are, once, where a screen reader hears it. */
function tell(name: string): void {
  const place = element("connection");
  const text = place.dataset[name] ?? "";
  if (place.textContent !== text) place.textContent = text;
  place.dataset["state"] = name;
}

function announce(name: string): void {
  const place = element("announce");
  place.textContent = place.dataset[name] ?? "";
}

/** Ask who is signed in and what is live; without a network what was last known holds. */
async function ask(): Promise<void> {
  session = null;
  try {
    const answer = await fetch("/offline/state", { credentials: "same-origin", redirect: "error" });
    if (answer.status === 401 || answer.status === 403) {
      tell("signedOut");
      return;
    }
    if (!answer.ok) throw new Error("no answer");
    const state = (await answer.json()) as State;
    session = { person: state.person, token: state.token };
    live = { person: state.person, readFirst: state.readFirst, diseases: state.diseases };
    await remember(live);
    tell("online");
  } catch {
    tell("offline");
  }
}

async function showModels(): Promise<void> {
  const kept = new Map((await keptModels()).map((model) => [model.disease, model]));
  const names = new Map(live.diseases.filter((one) => one.version).map((one) => [one.id, one.name]));
  for (const model of kept.values()) names.set(model.disease, model.disease_name);
  const rows = [...names].map(([disease, name]) => modelRow(disease, name, kept.get(disease)));
  element("models").replaceChildren(...rows);
  element("no-models").hidden = rows.length > 0;
  const select = element<HTMLSelectElement>("examination");
  const chosen = select.value;
  const options = [...names].map(([disease, name]) => {
    const option = new Option(name, disease);
    if (!kept.has(disease)) option.textContent = `${name} ${select.dataset["unkept"] ?? ""}`;
    return option;
  });
  select.replaceChildren(...options);
  // What was chosen stays so; else a kept model goes first.
  select.value = names.has(chosen) ? chosen : ([...kept.keys()][0] ?? options[0]?.value ?? "");
  element<HTMLButtonElement>("read-button").disabled = options.length === 0;
}

function modelRow(disease: string, name: string, model: Model | undefined): HTMLElement {
  const row = fill("model-row", { name, version: model?.version ?? "" });
  const newer = live.diseases.find((one) => one.id === disease)?.version;
  const keeping = row.querySelector<HTMLButtonElement>("[data-keep]");
  const removing = row.querySelector<HTMLButtonElement>("[data-remove]");
  const note = row.querySelector<HTMLElement>("[data-note]");
  if (!keeping || !removing || !note) return row;
  row.dataset["disease"] = disease;
  row.querySelector<HTMLElement>("[data-kept]")?.toggleAttribute("hidden", !model);
  const old = model !== undefined && newer !== undefined && newer !== null && newer !== model.version;
  keeping.hidden = model !== undefined && !old;
  removing.hidden = model === undefined;
  if (old) note.textContent = note.dataset["newer"] ?? "";
  keeping.addEventListener("click", () => {
    keeping.disabled = true;
    row.setAttribute("aria-busy", "true");
    note.textContent = note.dataset["busy"] ?? "";
    keep(disease).then(
      async ({ difference }) => {
        void navigator.storage?.persist?.();
        await showModels();
        const shown = document.querySelector<HTMLElement>(`[data-disease="${disease}"]`);
        const proved = shown?.querySelector<HTMLElement>("[data-note]");
        if (shown) shown.dataset["difference"] = String(difference);
        if (proved) proved.textContent = proved.dataset["proved"] ?? "";
        shown?.querySelector<HTMLButtonElement>("[data-remove]")?.focus();
      },
      () => {
        keeping.disabled = false;
        row.removeAttribute("aria-busy");
        note.textContent = note.dataset["failed"] ?? "";
      },
    );
  });
  removing.addEventListener("click", async () => {
    await removeModel(disease, runtime);
    await showModels();
    announce("removed");
    element("models").querySelector<HTMLButtonElement>("button:not([hidden])")?.focus();
  });
  return row;
}

async function showQueue(): Promise<void> {
  const items = await queue();
  const rows = items.reverse().map((item) => {
    const foreign = item.person !== null && session !== null && item.person !== session.person;
    return readingRow(item, { foreign, hidden: live.readFirst }, async () => {
      await drop(item.id);
      await showQueue();
      announce("dropped");
      element("queue-heading").focus();
    });
  });
  element("queue").replaceChildren(...rows);
  const waiting = items.filter((item) => item.state === "waiting").length;
  element("nothing").hidden = rows.length > 0;
  element<HTMLButtonElement>("send").hidden = waiting === 0;
  element("queue").dataset["waiting"] = String(waiting);
}

async function take(disease: string, file: File): Promise<void> {
  const model = (await keptModels()).find((one) => one.disease === disease);
  const item: Waiting = {
    id: crypto.randomUUID(),
    disease,
    name: model?.disease_name ?? live.diseases.find((one) => one.id === disease)?.name ?? disease,
    image: await file.arrayBuffer(),
    type: file.type,
    taken: Date.now(),
    person: session?.person ?? live.person,
    version: model?.version ?? null,
    finding: model?.finding ?? null,
    answer: null,
    suitable: null,
    state: "waiting",
    problem: null,
    sent: null,
  };
  if (model) {
    try {
      const found = await read(model, file);
      item.suitable = found.suitable;
      // An image that the model may not judge gets no figures, here as there.
      if (found.suitable !== false) item.answer = found.answer;
    } catch (error) {
      if (!(error instanceof NotReadHere)) console.warn("not read on this device");
    }
  }
  await put(item);
}

/** Send what waits, as long as there is somebody to send it for. */
async function sendAll(): Promise<void> {
  window.clearTimeout(later);
  const waiting = (await queue()).some((item) => item.state === "waiting");
  if (!waiting) return;
  let wait = ROUND;
  if (!session && navigator.onLine) await ask();
  if (session) {
    const outcome = await deliver(session, showQueue);
    if (outcome === "done") announce("sent");
    else if (outcome === "no network") tell("offline");
    else if (outcome === "signed out") {
      session = null;
      tell("signedOut");
    } else wait = outcome.later * 1000;
    if (outcome === "no network") session = null;
  }
  await showQueue();
  later = window.setTimeout(() => void sendAll(), wait);
}

function form(): void {
  const asking = element<HTMLFormElement>("offline-form");
  const input = element<HTMLInputElement>("images");
  asking.addEventListener("submit", async (event) => {
    event.preventDefault();
    const files = [...(input.files ?? [])];
    if (!files.length) {
      announce("none");
      input.focus();
      return;
    }
    const limit = Number(asking.dataset["maxBytes"]);
    const taken = files.filter((file) => file.size <= limit);
    asking.setAttribute("aria-busy", "true");
    announce("reading");
    try {
      for (const file of taken) await take(element<HTMLSelectElement>("examination").value, file);
      input.value = "";
      announce(taken.length < files.length ? "tooLarge" : "read");
    } catch {
      // The disk is full, or this browser keeps nothing: said, and the choice of files is left.
      announce("full");
    } finally {
      asking.removeAttribute("aria-busy");
    }
    await showQueue();
    await sendAll();
  });
}

async function begin(): Promise<void> {
  live = await known();
  await showModels();
  await showQueue();
  await ask();
  await showModels();
  await showQueue();
  form();
  element("offline-form").hidden = false;
  document.body.dataset["ready"] = "true";
  element("send").addEventListener("click", () => void sendAll());
  window.addEventListener("online", () => void ask().then(showModels).then(sendAll));
  window.addEventListener("offline", () => {
    session = null;
    tell("offline");
  });
  await sendAll();
}

if ("serviceWorker" in navigator && window.isSecureContext) {
  navigator.serviceWorker.register("/service-worker.js").catch(() => console.warn("no service worker"));
  begin().catch(() => tell("unable"));
} else {
  tell("unable");
}
