// The reading form: choose, drop, paste or photograph an image, see it, send it, watch it go.
// Many images become a list of their own. Without this script the same form posts by itself.

import { Batch } from "./ways-in/batch";
import type { Camera } from "./ways-in/camera";
import type { Chosen } from "./ways-in/files";
import { fromDrop, fromList, nameless, size } from "./ways-in/files";
import { hold, letGo } from "./ways-in/leaving";
import { KEY_HEADER, sendingKey } from "./ways-in/sending";

const HOLD = "form";

function part<T extends Element>(of: ParentNode, name: string): T {
  const found = of.querySelector<T>(`[data-${name}]`);
  if (!found) throw new Error(`the form has no ${name}`);
  return found;
}

function showProblem(template: string): void {
  const problem = document.getElementById("problem");
  const source = document.querySelector<HTMLTemplateElement>(`template[data-${template}]`);
  if (problem && source) problem.replaceChildren(source.content.cloneNode(true));
}

function clearProblem(): void {
  document.getElementById("problem")?.replaceChildren();
}

/** The camera: in a dialog of our own where the browser can, else the device's own way to it. */
function withCamera(
  form: HTMLFormElement,
  field: HTMLInputElement,
  note: HTMLElement,
  take: (chosen: readonly Chosen[]) => boolean,
): void {
  const dialog = document.querySelector<HTMLDialogElement>("[data-camera-dialog]");
  const button = part<HTMLButtonElement>(form, "camera-open");
  const label = part<HTMLElement>(form, "camera-label");
  if (!dialog) return;
  const words = JSON.parse(dialog.dataset["words"] ?? "{}") as Record<string, string>;
  // Missing where the page came over plain HTTP through a network.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  part<HTMLElement>(form, "camera-insecure").hidden = isSecureContext;
  const look = async (): Promise<void> => {
    const all = (await devices?.enumerateDevices()) ?? [];
    const any = all.some((one) => one.kind === "videoinput");
    button.hidden = !any;
    label.hidden = any;
  };
  devices?.addEventListener("devicechange", () => void look());
  void look();
  const taken = (photo: File): void => {
    const time = new Date().toLocaleTimeString(document.documentElement.lang);
    take([{ file: photo, name: `${words["photo"] ?? ""} ${time}` }]);
    // The button that opened the dialog may be gone; what comes next is to send the photo.
    if (!button.checkVisibility()) form.querySelector<HTMLElement>("[type=submit]")?.focus();
  };
  let opened: Promise<Camera> | undefined;
  button.addEventListener("click", () => {
    opened ??= import("./ways-in/camera").then(
      (module) => new module.Camera(dialog, taken, () => field.click()),
    );
    opened.then(
      (camera) => camera.open(),
      () => {
        // Without a network the dialog's script may not have come.
        opened = undefined;
        field.click();
      },
    );
  });
  field.addEventListener("change", () => {
    const photo = field.files?.[0];
    if (!photo || !take([{ file: photo, name: photo.name }])) return;
    void import("./ways-in/camera")
      .then((module) => module.flawsOf(photo))
      .then((found) => {
        note.textContent = found.map((flaw) => words[flaw] ?? "").join(" ");
        note.hidden = found.length === 0;
      });
  });
}

/** Chooses the images of one form: previews the one, lists the many. */
function chooser(form: HTMLFormElement): void {
  const zone = part<HTMLElement>(form, "dropzone");
  const ask = part<HTMLElement>(form, "ask");
  const preview = part<HTMLElement>(form, "preview");
  const picture = part<HTMLImageElement>(form, "preview-image");
  const blank = part<HTMLElement>(form, "preview-blank");
  const text = part<HTMLElement>(form, "preview-text");
  const announce = part<HTMLElement>(form, "announce");
  const remove = part<HTMLButtonElement>(form, "remove");
  const note = part<HTMLElement>(form, "photo-note");
  const one = part<HTMLElement>(form, "for-one");
  const input = form.querySelector<HTMLInputElement>("#image");
  const folder = part<HTMLInputElement>(form, "folder");
  const camera = form.querySelector<HTMLInputElement>("#camera");
  const panel = document.querySelector<HTMLElement>("[data-batch]");
  if (!input || !camera || !panel) return;
  const limit = Number(form.dataset["maxBytes"]);

  const batch = new Batch(form, panel, (open) => {
    zone.classList.toggle("dropzone-more", open);
    one.hidden = open;
  });

  const release = (): void => {
    if (picture.src) URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
  };

  const clear = (): void => {
    release();
    for (const field of [input, folder, camera]) field.value = "";
    preview.hidden = true;
    note.hidden = true;
    ask.hidden = false;
    delete form.dataset["key"];
    form.dispatchEvent(new Event("sightline:image"));
  };

  const take = (file: File): void => {
    clear();
    if (file.size > limit) {
      showProblem("too-large");
      return;
    }
    // The file's own name may be a patient's; it goes no further than this line.
    const chosen = new DataTransfer();
    chosen.items.add(nameless(file));
    input.files = chosen.files;
    form.dataset["key"] = sendingKey();
    picture.hidden = true;
    blank.hidden = true;
    picture.onload = () => {
      picture.hidden = false;
    };
    picture.onerror = () => {
      blank.hidden = false;
    };
    picture.src = URL.createObjectURL(file);
    text.textContent = `${text.dataset["chosen"] ?? ""} ${size(file.size)}`;
    announce.textContent = text.textContent;
    preview.hidden = false;
    ask.hidden = true;
  };

  const takeAll = (chosen: readonly Chosen[]): boolean => {
    const first = chosen[0];
    if (!first || form.ariaBusy === "true") return false;
    clearProblem();
    if (chosen.length === 1 && !batch.open) {
      take(first.file);
    } else {
      clear();
      batch.add(chosen);
    }
    return true;
  };

  // Without scripts a form sends one image; with them, as many as there are.
  input.multiple = true;
  for (const field of [input, folder]) {
    field.addEventListener("change", () => takeAll(fromList(field.files)));
  }
  withCamera(form, camera, note, takeAll);
  part<HTMLElement>(form, "folder-ask").hidden = !("webkitdirectory" in folder);
  remove.addEventListener("click", () => {
    clear();
    announce.textContent = announce.dataset["removed"] ?? "";
    input.focus();
  });
  // Of another patient it is another reading.
  form.querySelector("[data-patient]")?.addEventListener("change", () => {
    if (form.dataset["key"]) form.dataset["key"] = sendingKey();
  });
  // With the list open, the button that sends one image must not be reached by Enter either.
  form.addEventListener(
    "submit",
    (event) => {
      if (!batch.open) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    { capture: true },
  );

  // A drop beside the zone must not make the browser leave the page for the file.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("dropzone-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) zone.classList.remove("dropzone-over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("dropzone-over");
    void fromDrop(event.dataTransfer, batch.most).then(takeAll);
  });
  document.addEventListener("paste", (event) => {
    if (takeAll(fromList(event.clipboardData?.files))) event.preventDefault();
  });
  // A browser may bring chosen files back when the reader returns to the page.
  takeAll(fromList(input.files));
}

interface Configured {
  elt: Element;
  headers: Record<string, string>;
}

interface Transfer {
  loaded: number;
  total: number;
  lengthComputable: boolean;
}

/** Shows how far the image has gone, and then that it is being read. */
function progress(form: HTMLFormElement): void {
  const panel = part<HTMLElement>(form, "progress");
  const bar = part<HTMLProgressElement>(form, "progress-bar");
  const status = part<HTMLElement>(form, "status");
  const words = (name: string): string => status.dataset[name] ?? "";

  const busy = (text: string): void => {
    if (status.textContent !== text) status.textContent = text;
  };

  form.addEventListener("htmx:beforeRequest", () => {
    clearProblem();
    form.setAttribute("aria-busy", "true");
    bar.value = 0;
    panel.hidden = false;
    busy(words("sending"));
  });
  form.addEventListener("htmx:xhr:progress", (event) => {
    const { loaded, total, lengthComputable } = (event as CustomEvent<Transfer>).detail;
    if (!lengthComputable || bar.value >= 100) return;
    bar.value = (loaded / total) * 100;
    if (loaded < total) return;
    // From here on nobody knows how long it takes: the bar moves without a value.
    bar.removeAttribute("value");
    busy(words("reading"));
  });
  form.addEventListener("htmx:afterRequest", (event) => {
    const answer = (event as CustomEvent<{ xhr: XMLHttpRequest }>).detail.xhr;
    // On success the browser is on its way to the reading; the form stays busy until then.
    if (answer.getResponseHeader("HX-Redirect")) return;
    form.removeAttribute("aria-busy");
    panel.hidden = true;
    busy("");
  });
}

/** What is sent by htmx has a key, too, and is asked about by whoever leaves. */
function underWay(): void {
  document.body.addEventListener("htmx:configRequest", (event) => {
    const { elt, headers } = (event as CustomEvent<Configured>).detail;
    const key = elt instanceof HTMLElement ? elt.dataset["key"] : undefined;
    if (key) headers[KEY_HEADER] = key;
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const { elt } = (event as CustomEvent<Configured>).detail;
    if (elt.getAttribute("hx-encoding") === "multipart/form-data") hold(HOLD);
  });
  // Before htmx acts on an answer, which may be to lead to the reading.
  for (const name of ["htmx:beforeOnLoad", "htmx:afterRequest"]) {
    document.body.addEventListener(name, () => letGo(HOLD));
  }
}

/** Says the answer where it was waited for; the page of the reading is on its way by then. */
function sayAtOnce(): void {
  const status = document.querySelector<HTMLElement>("[data-status]");
  const list = document.querySelector<HTMLElement>("[data-batch]");
  if (!status || !list) return;
  const words = JSON.parse(list.dataset["words"] ?? "{}") as Record<string, string>;
  document.body.addEventListener("htmx:beforeOnLoad", (event) => {
    const answer = (event as CustomEvent<{ xhr: XMLHttpRequest }>).detail.xhr;
    // A session that has ended leads elsewhere, too, with a sentence in place of an answer.
    const json = answer.getResponseHeader("Content-Type")?.startsWith("application/json");
    if (!json || !answer.getResponseHeader("HX-Redirect")) return;
    const made = JSON.parse(answer.responseText) as Record<string, string | undefined>;
    const { outcome, tone } = made;
    if (outcome === "not_judged") status.textContent = words["notJudged"] ?? "";
    else if (tone) status.textContent = `${words[tone] ?? ""}: ${made["class"] ?? ""}`;
  });
}

/** Brings the forms of a disease's page to life. */
export function readingForms(): void {
  underWay();
  sayAtOnce();
  for (const form of document.querySelectorAll<HTMLFormElement>("[data-reading-form]")) {
    chooser(form);
    progress(form);
  }
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.body.addEventListener(name, () => showProblem("offline"));
  }
  document.body.addEventListener("htmx:afterSwap", (event) => {
    const problem = document.getElementById("problem");
    if (event.target === problem) problem?.scrollIntoView({ block: "nearest" });
  });
}

/** Gives a chosen image to the proposal that is picked, so that it need not be chosen again. */
export function handOver(): void {
  const fill = (): void => {
    const chosen = document.querySelector<HTMLInputElement>("[data-proposing] #image")?.files;
    if (!chosen?.length) return;
    for (const form of document.querySelectorAll<HTMLFormElement>("[data-hand-over]")) {
      const input = form.querySelector<HTMLInputElement>("[type=file]");
      if (input) input.files = chosen;
      const patient = form.querySelector<HTMLInputElement>("[name=patient_reference]");
      if (patient) patient.value = reference?.value ?? "";
      form.dataset["key"] = sendingKey();
      form.hidden = false;
    }
  };
  const reference = document.querySelector<HTMLInputElement>("[data-proposing] [data-patient]");
  const asking = document.querySelector<HTMLFormElement>("[data-proposing]");
  const proposals = document.getElementById("proposals");
  if (!asking || !proposals) return;
  proposals.addEventListener("htmx:beforeRequest", clearProblem);
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.target === proposals) fill();
  });
  reference?.addEventListener("change", fill);
  // What was proposed is of the image that was sent; another image makes it void.
  asking.addEventListener("sightline:image", () => proposals.replaceChildren());
}
