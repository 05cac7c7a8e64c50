// One image of the list: its name on this device, its state in words and shape, its way out.

import type { Chosen } from "./files";
import { size } from "./files";
import { sendingKey } from "./sending";

/** `odd`: read, and the image check did not pass. `failed` may go better another time. */
export type State =
  | "waiting"
  | "sending"
  | "again"
  | "proposed"
  | "done"
  | "odd"
  | "refused"
  | "failed";

export interface Proposal {
  disease: string;
  name: string;
}

const THUMB = 96;

const drawn = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    drawn.unobserve(target);
    draws.get(target)?.();
  }
});
const draws = new WeakMap<Element, () => void>();

async function draw(file: File, canvas: HTMLCanvasElement): Promise<void> {
  // DICOM and TIFF stay without; the browser cannot show them.
  const bitmap = await createImageBitmap(file, { resizeWidth: THUMB }).catch(() => null);
  if (!bitmap) return;
  const scale = Math.min(THUMB / bitmap.width, THUMB / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas
    .getContext("2d")
    ?.drawImage(bitmap, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
  bitmap.close();
  canvas.dataset["drawn"] = "";
}

export class Row {
  readonly element: HTMLElement;
  state: State = "waiting";
  proposals: readonly Proposal[] = [];
  private key = "";
  private keyOf = "";
  private offered = false;
  private locked = false;
  private settled: { state: State; said: string } = { state: "waiting", said: "" };

  constructor(
    readonly chosen: Chosen,
    template: HTMLTemplateElement,
    private readonly words: Record<string, string>,
    remove: (row: Row) => void,
    changed: () => void,
  ) {
    const first = template.content.firstElementChild;
    if (!first) throw new Error("the list has no row to copy");
    this.element = document.importNode(first, true) as HTMLElement;
    this.part("name").textContent = chosen.name;
    this.part("size").textContent = size(chosen.file.size);
    const button = this.part("remove");
    button.addEventListener("click", () => remove(this));
    // Forty buttons of one name would be no names.
    for (const name of ["remove", "link"]) this.named(this.part(name));
    for (const name of ["bar", "choice"]) {
      const part = this.part(name);
      part.setAttribute("aria-label", `${part.dataset["label"] ?? ""}: ${chosen.name}`);
    }
    const canvas = this.part<HTMLCanvasElement>("thumb");
    draws.set(canvas, () => void draw(chosen.file, canvas));
    drawn.observe(canvas);
    this.select().addEventListener("change", changed);
    this.wait();
  }

  /** What it is to be read for; empty: left out. */
  get choice(): string {
    return this.select().value;
  }

  /** Where it was proposed, or where the reader is asked for all at once; empty: as proposed. */
  choose(disease: string): void {
    if (this.state !== "proposed") return;
    this.select().value = disease || (this.proposals[0]?.disease ?? "");
  }

  /** The key of a sending: the same as long as the same is sent. */
  keyFor(what: string): string {
    if (this.keyOf !== what) this.key = sendingKey();
    this.keyOf = what;
    return this.key;
  }

  /** To be sent (again): to be looked at first, or read for what was proposed. */
  wait(): void {
    if (this.offered) this.settle("proposed", this.words["fitting"] ?? "");
    else this.settle("waiting", this.words["waiting"] ?? "");
  }

  begin(words: string): void {
    if (this.state === "waiting" || this.state === "proposed") {
      this.settled = { state: this.state, said: this.part("text").textContent ?? "" };
    }
    const bar = this.part<HTMLProgressElement>("bar");
    bar.value = 0;
    bar.hidden = false;
    this.put("sending", this.words["sending"] ?? "");
    this.element.dataset["next"] = words;
  }

  /** How much has gone, 0 to 1. From the end on nobody knows how long it takes. */
  sent(share: number): void {
    const bar = this.part<HTMLProgressElement>("bar");
    if (share < 1) bar.value = share * 100;
    else {
      bar.removeAttribute("value");
      this.part("text").textContent = this.element.dataset["next"] ?? "";
    }
  }

  again(seconds: number): void {
    const sentence = this.words["again"] ?? "";
    this.put("again", sentence.replace("{seconds}", String(Math.ceil(seconds))));
    this.part("bar").hidden = true;
  }

  /** What was cut off is as it was before. */
  rest(): void {
    if (this.state === "sending" || this.state === "again") {
      this.settle(this.settled.state, this.settled.said);
    }
  }

  offer(proposals: readonly Proposal[], all: readonly Proposal[], detail: string): void {
    this.proposals = proposals;
    this.offered = true;
    const select = this.select();
    const named = new Set(proposals.map((one) => one.disease));
    const group = (label: string, items: readonly Proposal[]): void => {
      if (!items.length) return;
      const options = document.createElement("optgroup");
      options.label = label;
      options.append(...items.map(({ name, disease }) => new Option(name, disease)));
      select.append(options);
    };
    select.replaceChildren(new Option(this.words["leaveOut"] ?? "", ""));
    group(this.words["proposed"] ?? "", proposals);
    group(
      this.words["others"] ?? "",
      all.filter((one) => !named.has(one.disease)),
    );
    this.settle("proposed", proposals.length ? (this.words["fitting"] ?? "") : detail);
    this.choose("");
  }

  /**
   * It was read.
   *
   * @param notJudged why the model did not judge it, with what to do; null: it did.
   * @param tone the answer's kind, and `about` its class; both empty where it is kept back.
   */
  done(
    address: string,
    notJudged: { detail: string; remedy: string } | null,
    tone: string,
    about: string,
  ): void {
    const link = this.part<HTMLAnchorElement>("link");
    link.href = address;
    link.hidden = false;
    if (notJudged) {
      const said = `${this.words["notJudged"] ?? ""} ${notJudged.detail}`;
      this.settle("odd", said, notJudged.remedy);
      return;
    }
    if (tone) this.element.dataset["tone"] = tone;
    const answer = tone ? `${this.words[tone] ?? ""}: ${about}` : this.words["done"];
    this.settle("done", answer ?? "");
  }

  refuse(title: string, remedy: string, detail = ""): void {
    const said = detail && detail.replace(/\.$/, "") !== title ? `${title}. ${detail}` : title;
    this.settle("refused", said, remedy);
  }

  fail(title: string, remedy: string): void {
    this.settle("failed", title, remedy);
  }

  /** While images are under way, none is taken off the list or meant for something else. */
  lock(locked: boolean): void {
    this.locked = locked;
    const over = this.state === "done" || this.state === "odd";
    this.part("remove").hidden = locked || over;
    this.select().hidden = !this.offered || over || this.state === "refused";
    this.select().disabled = locked;
  }

  focus(): void {
    this.part("remove").focus();
  }

  private settle(state: State, said: string, remedy = ""): void {
    this.part("bar").hidden = true;
    this.put(state, said);
    const place = this.part("remedy");
    place.textContent = remedy;
    place.hidden = !remedy;
    this.lock(this.locked);
  }

  private put(state: State, said: string): void {
    this.state = state;
    this.element.dataset["state"] = state;
    this.part("text").textContent = said;
  }

  private named(part: HTMLElement): void {
    part.setAttribute("aria-label", `${part.textContent?.trim() ?? ""}: ${this.chosen.name}`);
  }

  private select(): HTMLSelectElement {
    return this.part<HTMLSelectElement>("choice");
  }

  private part<T extends HTMLElement = HTMLElement>(name: string): T {
    const found = this.element.querySelector<T>(`[data-row-${name}]`);
    if (!found) throw new Error(`a row has no ${name}`);
    return found;
  }
}
