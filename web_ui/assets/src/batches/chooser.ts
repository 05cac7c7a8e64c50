// The files of a batch, chosen, dropped, or as a folder; nothing of them leaves before it is asked.

import type { Chosen } from "../ways-in/files";
import { fromDrop, fromList, size } from "../ways-in/files";

/** A sentence of the page with its figures put in. */
export function filled(
  sentence: string | undefined,
  figures: Readonly<Record<string, number | string>>,
): string {
  return (sentence ?? "").replace(/\{(\w+)\}/g, (_, name: string) => String(figures[name] ?? ""));
}

/** The sentences that stand in the page for its script. */
export function wordsOf(form: HTMLElement): Record<string, string> {
  return JSON.parse(form.dataset["words"] ?? "{}") as Record<string, string>;
}

export class Chooser {
  chosen: Chosen[] = [];
  private readonly words: Record<string, string>;
  private readonly most: number;
  private readonly mostBytes: number;

  constructor(private readonly form: HTMLFormElement) {
    this.words = wordsOf(form);
    this.most = Number(form.dataset["most"]);
    this.mostBytes = Number(form.dataset["mostBytes"]);
    const files = this.part<HTMLInputElement>("files");
    const folder = this.part<HTMLInputElement>("folder");
    const zone = this.part("dropzone");
    // Said by the page itself, in the reader's words, whichever way the files come.
    files.required = false;
    this.part("folder-ask").hidden = !("webkitdirectory" in folder);
    for (const field of [files, folder]) {
      field.addEventListener("change", () => this.take(fromList(field.files)));
    }
    this.part("clear").addEventListener("click", () => {
      this.take([]);
      files.focus();
    });
    // A drop beside the zone must not make the browser leave the page for the file.
    const here = (): boolean => form.isConnected;
    document.addEventListener("dragover", (event) => {
      if (!here()) return;
      event.preventDefault();
      zone.classList.add("dropzone-over");
    });
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) zone.classList.remove("dropzone-over");
    });
    document.addEventListener("drop", (event) => {
      if (!here()) return;
      event.preventDefault();
      zone.classList.remove("dropzone-over");
      void fromDrop(event.dataTransfer, this.most).then((found) => this.take(found));
    });
    // A browser may bring chosen files back when the reader returns to the page.
    this.take(fromList(files.files?.length ? files.files : folder.files));
  }

  /** Why these files cannot be handed over; empty where they can. */
  problem(): string {
    const bytes = this.bytes();
    const figures = { files: this.chosen.length.toLocaleString(language()), size: size(bytes) };
    if (!this.chosen.length) return this.words["none"] ?? "";
    if (this.chosen.length > this.most || bytes > this.mostBytes) {
      return filled(this.words["tooMany"], figures);
    }
    return "";
  }

  private bytes(): number {
    return this.chosen.reduce((sum, one) => sum + one.file.size, 0);
  }

  private take(chosen: readonly Chosen[]): void {
    this.chosen = [...chosen];
    const any = chosen.length > 0;
    if (!any) for (const name of ["files", "folder"]) this.part<HTMLInputElement>(name).value = "";
    const figures = { files: chosen.length.toLocaleString(language()), size: size(this.bytes()) };
    const said = any ? filled(this.words[chosen.length > 1 ? "chosen" : "one"], figures) : "";
    this.part("chosen").hidden = !any;
    this.part("dropzone").hidden = any;
    this.part("chosen-text").textContent = said;
    this.part("chosen-status").textContent = said;
    this.form.dispatchEvent(new Event("sightline:chosen"));
  }

  private part<T extends HTMLElement = HTMLElement>(name: string): T {
    const found = this.form.querySelector<T>(`[data-${name}]`);
    if (!found) throw new Error(`the form has no ${name}`);
    return found;
  }
}

function language(): string {
  return document.documentElement.lang || "en";
}
