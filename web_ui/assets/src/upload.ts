// The reading form: choose, drop, paste or photograph an image, see it, send it, watch it go.
// Without this script the same form posts by itself.

function part<T extends Element>(of: ParentNode, name: string): T {
  const found = of.querySelector<T>(`[data-${name}]`);
  if (!found) throw new Error(`the form has no ${name}`);
  return found;
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function showProblem(template: string): void {
  const problem = document.getElementById("problem");
  const source = document.querySelector<HTMLTemplateElement>(`template[data-${template}]`);
  if (problem && source) problem.replaceChildren(source.content.cloneNode(true));
}

function clearProblem(): void {
  document.getElementById("problem")?.replaceChildren();
}

/** Chooses and previews the image of one form. */
function chooser(form: HTMLFormElement): void {
  const zone = part<HTMLElement>(form, "dropzone");
  const ask = part<HTMLElement>(form, "ask");
  const preview = part<HTMLElement>(form, "preview");
  const picture = part<HTMLImageElement>(form, "preview-image");
  const blank = part<HTMLElement>(form, "preview-blank");
  const text = part<HTMLElement>(form, "preview-text");
  const announce = part<HTMLElement>(form, "announce");
  const remove = part<HTMLButtonElement>(form, "remove");
  const input = form.querySelector<HTMLInputElement>("#image");
  const camera = form.querySelector<HTMLInputElement>("#camera");
  if (!input || !camera) return;
  const limit = Number(form.dataset["maxBytes"]);

  const release = (): void => {
    if (picture.src) URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
  };

  const clear = (): void => {
    release();
    input.value = "";
    camera.value = "";
    preview.hidden = true;
    ask.hidden = false;
    form.dispatchEvent(new Event("sightline:image"));
  };

  const take = (file: File): void => {
    clearProblem();
    clear();
    if (file.size > limit) {
      showProblem("too-large");
      return;
    }
    // The file's own name may be a patient's; it goes no further than this line.
    const chosen = new DataTransfer();
    chosen.items.add(new File([file], "image", { type: file.type }));
    input.files = chosen.files;
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

  const takeFirst = (files: FileList | null | undefined): boolean => {
    const file = files?.[0];
    if (file) take(file);
    return file !== undefined;
  };

  input.addEventListener("change", () => takeFirst(input.files));
  camera.addEventListener("change", () => takeFirst(camera.files));
  remove.addEventListener("click", () => {
    clear();
    announce.textContent = announce.dataset["removed"] ?? "";
    input.focus();
  });

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
    takeFirst(event.dataTransfer?.files);
  });
  document.addEventListener("paste", (event) => {
    if (takeFirst(event.clipboardData?.files)) event.preventDefault();
  });
  // A browser may bring a chosen file back when the reader returns to the page.
  takeFirst(input.files);
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

/** Brings the forms of a disease's page to life. */
export function readingForms(): void {
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
      form.hidden = false;
    }
  };
  const asking = document.querySelector<HTMLFormElement>("[data-proposing]");
  const proposals = document.getElementById("proposals");
  if (!asking || !proposals) return;
  proposals.addEventListener("htmx:beforeRequest", clearProblem);
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.target === proposals) fill();
  });
  // What was proposed is of the image that was sent; another image makes it void.
  asking.addEventListener("sightline:image", () => proposals.replaceChildren());
}
