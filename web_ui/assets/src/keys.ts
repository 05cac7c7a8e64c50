// The keys of a page. Their names and words stand in one table, `templates/partials/keys.html`; a
// script binds what a name does here, and the sheet that `?` opens lists what the page has bound.

/** What a key does; `false` says that it was not for this one, and the next in line is asked. */
export type Act = (event: KeyboardEvent) => boolean | void;

interface Row {
  name: string;
  keys: readonly string[];
  words: string;
  group: string;
}

interface Bound {
  row: Row;
  act: Act;
}

const KEPT = "sightline-keys";
const bound: Bound[] = [];
let table: Map<string, Row> | null = null;

function rows(): Map<string, Row> {
  if (table) return table;
  table = new Map();
  const source = document.querySelector<HTMLTemplateElement>("template[data-keys]");
  for (const group of source?.content.querySelectorAll<HTMLElement>("[data-group]") ?? []) {
    for (const entry of group.querySelectorAll<HTMLElement>("[data-name]")) {
      const name = entry.dataset["name"] ?? "";
      table.set(name, {
        name,
        keys: (entry.dataset["key"] ?? "").split(" "),
        words: entry.textContent?.trim() ?? "",
        group: group.dataset["group"] ?? "",
      });
    }
  }
  return table;
}

/** Single letters can be turned off: whoever speaks to the page would press them without wanting. */
export function lettersOn(): boolean {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
}

export function turnLetters(on: boolean): void {
  try {
    localStorage.setItem(KEPT, on ? "on" : "off");
  } catch {
    // The choice then lasts for this page only.
  }
}

/**
 * Bind what a key of the table does on this page.
 *
 * Several may bind one key: the latest is asked first. A key is for nobody here while something is
 * typed, while a dialog is open, or with Ctrl, Alt or Meta. Returns a function that unbinds it.
 */
export function onKey(name: string, act: Act): () => void {
  const row = rows().get(name);
  if (!row) return () => undefined;
  const one = { row, act };
  bound.push(one);
  return () => {
    const at = bound.indexOf(one);
    if (at >= 0) bound.splice(at, 1);
  };
}

/** The key as the table writes it. A letter is found by its place on keyboards of other scripts. */
function written(event: KeyboardEvent): string {
  if (event.key === " ") return "Space";
  const latin = /^Key([A-Z])$/.exec(event.code)?.[1];
  if (latin && event.key.length === 1 && event.key > "~") {
    return event.shiftKey ? latin : latin.toLowerCase();
  }
  return event.key;
}

const TYPING = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, [contenteditable]";
const PRESSED = "a[href], button, summary, select, input[type=checkbox], input[type=radio], [role=button]";
const STEPPED = "select, input[type=radio], input[type=range], [role=slider], [role=tab], [role=menu]";

/** Whether what has the focus takes this key for itself. */
function taken(key: string, at: EventTarget | null): boolean {
  if (!(at instanceof Element)) return false;
  if (at.closest(TYPING)) return true;
  if (key === "Space" || key === "Enter") return at.closest(PRESSED) !== null;
  if (/^(Arrow|Home|End|Page)/.test(key)) return at.closest(STEPPED) !== null;
  return key.length === 1 && at.closest("select") !== null;
}

function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const key = written(event);
  const single = key.length === 1;
  if (single && !lettersOn()) return;
  if (taken(key, event.target)) return;
  if (document.querySelector("dialog[open]:modal")) return;
  for (const one of [...bound].reverse()) {
    if (!one.row.keys.includes(key)) continue;
    if (one.act(event) === false) continue;
    event.preventDefault();
    return;
  }
}

const SHOWN: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
};

function caps(row: Row, sheet: HTMLElement): DocumentFragment {
  const all = document.createDocumentFragment();
  row.keys.forEach((key, place) => {
    if (place > 0) all.append(" ");
    const cap = document.createElement("kbd");
    cap.textContent = SHOWN[key] ?? sheet.dataset[`key${key}`] ?? key;
    all.append(cap);
  });
  return all;
}

/** Lists the keys that this page has bound, by group, each once. */
function fill(sheet: HTMLElement, list: HTMLElement): void {
  list.replaceChildren();
  const names = new Set(bound.map((one) => one.row.name));
  let group = "";
  let into: HTMLElement | null = null;
  for (const row of rows().values()) {
    if (!names.has(row.name)) continue;
    if (row.group !== group || !into) {
      group = row.group;
      const heading = document.createElement("h3");
      heading.textContent = group;
      into = document.createElement("dl");
      list.append(heading, into);
    }
    const line = document.createElement("div");
    const term = document.createElement("dt");
    const words = document.createElement("dd");
    term.append(caps(row, sheet));
    words.textContent = row.words;
    line.append(term, words);
    into.append(line);
  }
}

/** Brings the keys and their sheet to life; once a page. */
export function keyboard(): void {
  document.addEventListener("keydown", pressed);
  const sheet = document.querySelector<HTMLDialogElement>("dialog[data-key-sheet]");
  const list = sheet?.querySelector<HTMLElement>("[data-key-list]");
  const letters = sheet?.querySelector<HTMLInputElement>("[data-key-letters]");
  if (!sheet || !list || !letters) return;
  letters.checked = lettersOn();
  letters.addEventListener("change", () => turnLetters(letters.checked));
  const show = (): void => {
    fill(sheet, list);
    if (!sheet.open) sheet.showModal();
  };
  onKey("sheet", show);
  for (const button of document.querySelectorAll<HTMLElement>("[data-key-button]")) {
    button.addEventListener("click", show);
    button.hidden = false;
  }
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet) sheet.close();
  });
  sheet.addEventListener("keydown", (event) => {
    if (event.key === "?") sheet.close();
  });
}
