// Many images at once: a list that says of each how far it is and what became of it.

import type { Chosen } from "./files";
import { nameless, size } from "./files";
import { hold, letGo } from "./leaving";
import type { Try } from "./line";
import { inLine } from "./line";
import { Row } from "./row";
import type { Answer } from "./sending";
import { send } from "./sending";

const HOLD = "batch";
const SAID_EVERY_MS = 5000;

function text(body: Record<string, unknown>, name: string): string {
  const value = body[name];
  return typeof value === "string" ? value : "";
}

/** A sentence of the page with its figures put in. */
function filled(sentence: string, figures: Record<string, number | string>): string {
  return sentence.replace(/\{(\w+)\}/g, (_, name: string) => String(figures[name] ?? ""));
}

/** The list of one form. It takes images, proposes what they are where the form does, reads them. */
export class Batch {
  private readonly rows: Row[] = [];
  private readonly known = new Set<string>();
  private readonly words: Record<string, string>;
  private readonly proposing: boolean;
  private stop = new AbortController();
  private running = false;
  private saidAt = 0;

  constructor(
    private readonly form: HTMLFormElement,
    private readonly panel: HTMLElement,
    private readonly opened: (open: boolean) => void,
  ) {
    this.words = JSON.parse(panel.dataset["words"] ?? "{}") as Record<string, string>;
    this.proposing = "proposing" in form.dataset;
    this.on("start", () => void this.start());
    this.on("stop", () => this.stop.abort());
    this.on("retry", () => void this.retry());
    this.on("clear", () => this.clear());
    this.button("problems").addEventListener("click", () => this.onlyProblems());
    this.everyone().addEventListener("change", () => this.chooseForAll());
  }

  get open(): boolean {
    return this.rows.length > 0;
  }

  get most(): number {
    return Number(this.panel.dataset["most"]);
  }

  /** Put images on the list; those that are on it already are not taken twice. */
  add(chosen: readonly Chosen[]): void {
    if (this.running) {
      this.note(this.words["later"] ?? "");
      this.say(this.words["later"] ?? "");
      return;
    }
    const limit = Number(this.form.dataset["maxBytes"]);
    const list = this.part<HTMLElement>("list");
    const template = this.part<HTMLTemplateElement>("row");
    let over = false;
    for (const one of chosen) {
      const known = `${one.name}|${one.file.size}|${one.file.lastModified}`;
      if (this.known.has(known)) continue;
      if (this.rows.length >= this.most) {
        over = true;
        break;
      }
      this.known.add(known);
      const row = new Row(
        one,
        template,
        this.words,
        (gone) => this.remove(gone, known),
        () => this.show(),
      );
      this.rows.push(row);
      list.append(row.element);
      if (one.file.size > limit) {
        row.refuse(this.words["tooLarge"] ?? "", this.words["tooLargeRemedy"] ?? "");
      }
    }
    this.part("over").hidden = !over;
    this.show();
    this.say(this.counts());
    this.opened(this.open);
    // Below the fold it would look as if nothing had happened.
    const heading = this.part("heading");
    if (heading.getBoundingClientRect().bottom > innerHeight * 0.7) heading.scrollIntoView();
  }

  private async start(): Promise<void> {
    const unknown = this.proposing ? this.rows.filter((row) => row.state === "waiting") : [];
    if (unknown.length) {
      await this.run(unknown, (row) => this.propose(row));
      this.offerAll();
    } else {
      await this.run(this.toRead(), (row) => this.read(row));
    }
  }

  private async retry(): Promise<void> {
    for (const row of this.rows) if (row.state === "failed") row.wait();
    await this.start();
  }

  private toRead(): Row[] {
    const state = this.proposing ? "proposed" : "waiting";
    return this.rows.filter((row) => row.state === state && (!this.proposing || row.choice));
  }

  private async run(rows: Row[], work: (row: Row) => Promise<Try>): Promise<void> {
    if (!rows.length || this.running) return;
    this.lock(true);
    this.stop = new AbortController();
    hold(HOLD);
    this.part("all").hidden = true;
    this.note("");
    this.show();
    const finished = await inLine(
      rows,
      async (row) => {
        const outcome = await work(row);
        this.show();
        this.say(this.counts(), false);
        return outcome;
      },
      {
        waiting: (row, seconds) => {
          row.again(seconds);
          this.say(filled(this.words["busy"] ?? "", { seconds: Math.ceil(seconds) }));
        },
        givenUp: (row) => row.fail(this.words["lost"] ?? "", this.words["lostRemedy"] ?? ""),
      },
      this.stop.signal,
    );
    // What was under way when it was stopped is to be sent again, under the key it had.
    for (const row of rows) row.rest();
    this.lock(false);
    letGo(HOLD);
    this.show();
    const left = this.rows.some((row) => row.state === "waiting");
    if (!finished && left && !this.note()) this.note(this.words["paused"] ?? "");
    this.say(`${this.counts()} ${this.note()}`);
    // The button that stopped it is gone; whoever is elsewhere on the page stays there.
    const { activeElement } = document;
    if (activeElement === document.body || this.panel.contains(activeElement)) {
      this.part("heading").focus({ preventScroll: true });
    }
  }

  private lock(running: boolean): void {
    this.running = running;
    for (const row of this.rows) row.lock(running);
  }

  private fields(row: Row): FormData {
    const fields = new FormData();
    for (const input of this.form.querySelectorAll<HTMLInputElement>("input[type=hidden]")) {
      fields.append(input.name, input.value);
    }
    const reference = this.reference();
    if (reference) fields.append("patient_reference", reference);
    fields.append("image", nameless(row.chosen.file));
    return fields;
  }

  private reference(): string {
    return this.form.querySelector<HTMLInputElement>("[data-patient]")?.value.trim() ?? "";
  }

  private async propose(row: Row): Promise<Try> {
    row.begin(this.words["looking"] ?? "");
    const answer = await send(
      "/examinations",
      this.fields(row),
      null,
      (share) => row.sent(share),
      this.stop.signal,
    );
    if (answer.status !== 200) return this.refused(row, answer);
    const items = answer.body["items"];
    row.offer(
      Array.isArray(items) ? (items as { disease: string; name: string }[]) : [],
      JSON.parse(this.panel.dataset["diseases"] ?? "[]") as { disease: string; name: string }[],
      text(answer.body, "detail"),
    );
    return "finished";
  }

  private async read(row: Row): Promise<Try> {
    row.begin(this.words["reading"] ?? "");
    const address = this.proposing ? `/diseases/${row.choice}/readings` : this.form.action;
    const key = row.keyFor(`${address} ${this.reference()}`);
    const answer = await send(
      address,
      this.fields(row),
      key,
      (share) => row.sent(share),
      this.stop.signal,
    );
    if (answer.status !== 201) return this.refused(row, answer);
    const judged = text(answer.body, "outcome") !== "not_judged";
    row.done(
      text(answer.body, "address"),
      judged
        ? null
        : { detail: text(answer.body, "detail"), remedy: text(answer.body, "remedy") },
      text(answer.body, "tone"),
      text(answer.body, "class"),
    );
    return "finished";
  }

  private refused(row: Row, answer: Answer): Try {
    const { status, body } = answer;
    if (this.stop.signal.aborted) return "finished";
    if (status === 401 || status === 403) {
      // It would be the same for every image.
      const said = status === 403 && `${text(body, "title")}. ${text(body, "remedy")}`;
      this.note(said || (this.words["signedOut"] ?? ""));
      this.stop.abort();
      return "finished";
    }
    // 409 with a time: the same image is being read at this moment, from a try that was cut off.
    const later = status === 0 || status === 429 || status >= 502;
    if (later || (status === 409 && answer.after !== null)) {
      return { again: true, after: answer.after };
    }
    if (status === 413) {
      row.refuse(this.words["tooLarge"] ?? "", this.words["tooLargeRemedy"] ?? "");
    } else if (status >= 400 && status < 500 && text(body, "title")) {
      row.refuse(text(body, "title"), text(body, "remedy"), text(body, "detail"));
    } else {
      row.fail(text(body, "title") || (this.words["lost"] ?? ""), text(body, "remedy"));
    }
    return "finished";
  }

  private remove(row: Row, known: string): void {
    const place = this.rows.indexOf(row);
    if (place < 0 || this.running) return;
    this.rows.splice(place, 1);
    this.known.delete(known);
    row.element.remove();
    this.say(this.counts());
    this.show();
    if (this.open) (this.rows[place] ?? this.rows[place - 1])?.focus();
    else this.opened(false);
  }

  private clear(): void {
    if (this.running) return;
    for (const row of this.rows.splice(0)) row.element.remove();
    this.known.clear();
    this.part("all").hidden = true;
    this.part("over").hidden = true;
    this.note("");
    this.show();
    this.say(this.words["cleared"] ?? "");
    this.opened(false);
  }

  private onlyProblems(): void {
    const button = this.button("problems");
    const only = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(only));
    this.part("list").classList.toggle("batch-only-problems", only);
  }

  // ---- one examination for the whole folder ---------------------------------------------

  private everyone(): HTMLSelectElement {
    return this.part<HTMLSelectElement>("everyone");
  }

  private offerAll(): void {
    const proposed = this.rows.filter((row) => row.state === "proposed");
    const select = this.everyone();
    const fits = new Map<string, { name: string; count: number }>();
    for (const row of proposed) {
      for (const { disease, name } of row.proposals) {
        const found = fits.get(disease) ?? { name, count: 0 };
        found.count += 1;
        fits.set(disease, found);
      }
    }
    const options = [...fits].sort((one, other) => other[1].count - one[1].count);
    select.replaceChildren(new Option(this.words["asProposed"] ?? "", ""));
    for (const [disease, { name, count }] of options) {
      const figures = { name, count, all: proposed.length };
      select.add(new Option(filled(this.words["fits"] ?? "", figures), disease));
    }
    this.part("all").hidden = proposed.length < 2 || options.length === 0;
  }

  private chooseForAll(): void {
    const disease = this.everyone().value;
    for (const row of this.rows) row.choose(disease);
    this.show();
  }

  // ---- what the panel says --------------------------------------------------------------

  private count(...states: string[]): number {
    return this.rows.filter((row) => states.includes(row.state)).length;
  }

  private counts(): string {
    const figures = {
      all: this.rows.length,
      done: this.count("done", "odd"),
      problems: this.count("refused", "failed"),
      waiting: this.count("waiting", "again", "sending", "proposed"),
    };
    const begun = figures.done + figures.problems > 0;
    return filled(this.words[begun ? "counts" : "chosen"] ?? "", figures);
  }

  private note(said?: string): string {
    const place = this.part("note");
    if (said !== undefined) {
      place.textContent = said;
      place.hidden = !said;
    }
    return place.textContent ?? "";
  }

  /** For those who hear the page: not each of forty images, and always the last word. */
  private say(words: string, always = true): void {
    if (!always && Date.now() - this.saidAt < SAID_EVERY_MS) return;
    this.saidAt = Date.now();
    this.part("status").textContent = words;
  }

  private show(): void {
    const { running } = this;
    const waiting = this.count("waiting");
    const read = this.count("done", "odd");
    const problems = this.count("refused", "failed");
    const finished = read + problems;
    const bytes = this.rows.reduce((sum, row) => sum + row.chosen.file.size, 0);
    this.panel.hidden = !this.open;
    this.panel.toggleAttribute("aria-busy", running);
    this.part("counts").textContent = `${this.counts()} · ${size(bytes)}`;
    const bar = this.part<HTMLProgressElement>("bar");
    bar.hidden = !running && finished === 0;
    bar.max = Math.max(this.rows.length, 1);
    bar.value = finished + (this.proposing && waiting ? this.count("proposed") : 0);
    const start = this.button("start");
    const looks = this.proposing && waiting > 0;
    start.textContent = this.words[looks ? "propose" : read ? "goOn" : "start"] ?? "";
    start.hidden = running || (looks ? false : this.toRead().length === 0);
    this.button("stop").hidden = !running;
    this.button("retry").hidden = running || this.count("failed") === 0;
    this.button("clear").hidden = running;
    this.button("problems").hidden = running || problems === 0;
    this.part("worklist").hidden = running || read === 0;
  }

  private on(name: string, act: () => void): void {
    this.button(name).addEventListener("click", act);
  }

  private button(name: string): HTMLButtonElement {
    return this.part<HTMLButtonElement>(name);
  }

  private part<T extends HTMLElement = HTMLElement>(name: string): T {
    const found = this.panel.querySelector<T>(`[data-batch-${name}]`);
    if (!found) throw new Error(`the list has no ${name}`);
    return found;
  }
}
