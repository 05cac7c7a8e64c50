// Sends the files of a batch one by one, says how far it is, and closes the batch at the end.

import type { Chosen } from "../ways-in/files";
import { nameless } from "../ways-in/files";
import { hold, letGo } from "../ways-in/leaving";
import type { Try } from "../ways-in/line";
import { inLine } from "../ways-in/line";
import type { Answer } from "../ways-in/sending";
import { post } from "../ways-in/sending";
import { filled } from "./chooser";
import type { Arrived } from "./plan";
import { plan } from "./plan";

const HOLD = "batch";
const AT_ONCE = 4;
const SAID_EVERY_MS = 5000;

/** One body on its way. */
interface Sending {
  name: string;
  size: number;
  address: () => string;
  body: () => XMLHttpRequestBodyInit;
  kind: string | null;
  number: number;
  sent: number;
  state: "waiting" | "sent" | "failed";
  /** Failed, and it would again. */
  forGood: boolean;
  row: HTMLElement | null;
}

function text(body: Record<string, unknown>, name: string): string {
  const value = body[name];
  return typeof value === "string" ? value : "";
}

/** A ZIP is opened by the service where it comes alone; among others it is a file like any. */
function isArchive(chosen: readonly Chosen[]): boolean {
  return chosen.length === 1 && /\.zip$/i.test(chosen[0]?.name ?? "");
}

export class HandOver {
  private all: Sending[] = [];
  private there = 0;
  private next = 0;
  private stop = new AbortController();
  private saidAt = 0;
  private over = false;
  private readonly address: string;
  private readonly token: string;

  constructor(
    private readonly section: HTMLElement,
    private readonly words: Record<string, string>,
    private readonly limit: number,
    private readonly closed: () => void,
  ) {
    this.address = section.dataset["sending"] ?? "";
    this.token = section.dataset["token"] ?? "";
    this.part("stop").addEventListener("click", () => this.stop.abort());
    this.part("go").addEventListener("click", () => void this.send());
    this.part("retry").addEventListener("click", () => {
      for (const one of this.all) if (this.worthAnotherTry(one)) this.wait(one);
      void this.send();
    });
  }

  /** Send what of these has not arrived yet. */
  async begin(chosen: readonly Chosen[]): Promise<void> {
    this.part("ask").hidden = true;
    this.part("panel").hidden = false;
    this.part("heading").focus();
    hold(HOLD);
    this.say(this.words["looking"] ?? "");
    this.part("counts").textContent = this.words["looking"] ?? "";
    const arrived = await this.arrived();
    if (!arrived) {
      letGo(HOLD);
      this.part("ask").hidden = false;
      this.note(`${this.words["failed"] ?? ""} ${this.words["failedRemedy"] ?? ""}`);
      return;
    }
    if (isArchive(chosen) && chosen[0]) {
      // The service takes no file of it twice.
      this.all = [this.archive(chosen[0])];
    } else {
      const { missing, there, next } = await plan(chosen, arrived);
      this.there = there;
      this.next = next;
      this.all = missing.map(({ chosen: one, number }) => this.single(one, number));
    }
    await this.send();
  }

  private async arrived(): Promise<Arrived[] | null> {
    try {
      const answer = await fetch(`${this.address}/files`, { headers: { "hx-request": "true" } });
      if (!answer.ok) return null;
      return ((await answer.json()) as { files: Arrived[] }).files;
    } catch {
      return null;
    }
  }

  private archive({ file, name }: Chosen): Sending {
    return {
      ...this.fresh(name, file),
      address: () => `${this.address}/archive`,
      body: () => file,
      kind: "application/zip",
    };
  }

  private single({ file, name }: Chosen, number: number): Sending {
    const one: Sending = {
      ...this.fresh(name, file),
      number,
      address: () => `${this.address}/files/${one.number}`,
      body: () => {
        const form = new FormData();
        form.append("name", name);
        form.append("file", nameless(file));
        return form;
      },
    };
    if (file.size > this.limit) {
      this.refuse(one, this.words["tooLarge"] ?? "", this.words["tooLargeRemedy"] ?? "");
    }
    return one;
  }

  private fresh(name: string, file: File): Sending {
    return {
      name,
      size: file.size,
      address: () => "",
      body: () => file,
      kind: null,
      number: 0,
      sent: 0,
      state: "waiting",
      forGood: false,
      row: null,
    };
  }

  private async send(): Promise<void> {
    const waiting = this.all.filter((one) => one.state === "waiting");
    this.stop = new AbortController();
    hold(HOLD);
    this.note("");
    this.show(true);
    const finished = await inLine(
      waiting,
      (one) => this.attempt(one),
      {
        waiting: (_, seconds) => {
          const said = filled(this.words["busy"], { seconds: Math.ceil(seconds) });
          this.note(said);
          this.say(said);
        },
        givenUp: (one) =>
          this.refuse(one, this.words["lost"] ?? "", this.words["lostRemedy"] ?? "", false),
      },
      this.stop.signal,
      AT_ONCE,
    );
    letGo(HOLD);
    const left = this.all.filter((one) => one.state !== "sent");
    // What would be refused again does not keep the batch open; why stands here as long as the page.
    if (finished && left.every((one) => one.forGood) && (await this.close())) {
      this.section.hidden = left.length === 0;
      if (left.length === 0) return;
    }
    if (!finished && !this.said()) this.note(this.words["paused"] ?? "");
    if (finished && left.length) {
      const figures = { left: left.length, all: this.there + this.all.length };
      this.note(filled(this.words["someLeft"], figures));
    }
    this.show(false);
    this.say(`${this.counts()} ${this.said()}`);
    const { activeElement } = document;
    if (activeElement === document.body || this.section.contains(activeElement)) {
      this.part("heading").focus({ preventScroll: true });
    }
  }

  private async close(): Promise<boolean> {
    const form = this.part("close");
    const fields = new URLSearchParams();
    for (const input of form.querySelectorAll<HTMLInputElement>("input[type=hidden]")) {
      fields.append(input.name, input.value);
    }
    const answer = await post(
      `${this.address}/close`,
      fields,
      {},
      () => undefined,
      new AbortController().signal,
    );
    if (answer.status !== 200) {
      this.note(`${this.words["finished"] ?? ""} ${this.words["failedRemedy"] ?? ""}`);
      return false;
    }
    this.over = true;
    this.say(this.words["finished"] ?? "");
    this.closed();
    return true;
  }

  private async attempt(one: Sending): Promise<Try> {
    const answer = await post(
      one.address(),
      one.body(),
      { "X-CSRF-Token": this.token, ...(one.kind ? { "Content-Type": one.kind } : {}) },
      (share) => {
        one.sent = share * one.size;
        this.show(true);
      },
      this.stop.signal,
      one.kind ? 0 : undefined,
    );
    return this.answered(one, answer);
  }

  private taken(one: Sending): Try {
    one.state = "sent";
    one.sent = one.size;
    if (this.said()) this.note("");
    this.show(true);
    this.say(this.counts(), false);
    return "finished";
  }

  private answered(one: Sending, answer: Answer): Try {
    const { status, body } = answer;
    if (status >= 200 && status < 300) return this.taken(one);
    if (this.stop.signal.aborted) return "finished";
    const code = text(body, "code");
    if (status === 401 || status === 403 || code === "batch-closed" || code === "unknown-batch") {
      // It would be the same for every file.
      const said = `${text(body, "title")}. ${text(body, "remedy")}`;
      this.note(status === 401 ? (this.words["signedOut"] ?? "") : said);
      this.stop.abort();
      return "finished";
    }
    if (code === "item-taken") {
      one.number = this.next;
      this.next += 1;
      return { again: true, after: 0 };
    }
    if (status === 0 || status === 429 || status >= 502) return { again: true, after: answer.after };
    const title = text(body, "title") || (this.words["lost"] ?? "");
    const again = status >= 500;
    this.refuse(one, title, text(body, "remedy") || (this.words["lostRemedy"] ?? ""), !again);
    return "finished";
  }

  // ---- what the panel says --------------------------------------------------------------

  private wait(one: Sending): void {
    one.state = "waiting";
    one.row?.remove();
    one.row = null;
  }

  private worthAnotherTry(one: Sending): boolean {
    return one.state === "failed" && !one.forGood;
  }

  /** It was not sent, and why. `forGood`: it would be the same another time. */
  private refuse(one: Sending, why: string, remedy: string, forGood = true): void {
    one.state = "failed";
    one.forGood = forGood;
    const template = this.part<HTMLTemplateElement>("row");
    const first = template.content.firstElementChild;
    if (!first) return;
    const row = document.importNode(first, true) as HTMLElement;
    const put = (name: string, said: string): void => {
      const place = row.querySelector(`[data-${name}]`);
      if (place) place.textContent = said;
    };
    put("name", one.name);
    put("why", why);
    put("remedy", remedy);
    one.row = row;
    this.part("failed").append(row);
  }

  private counts(): string {
    const sent = this.there + this.all.filter((one) => one.state === "sent").length;
    return filled(this.words["sent"], { sent, all: this.there + this.all.length });
  }

  private said(): string {
    return this.part("note").textContent ?? "";
  }

  private note(said: string): void {
    const place = this.part("note");
    place.textContent = said;
    place.hidden = !said;
  }

  /** For those who hear the page: not each of many files, and always the last word. */
  private say(words: string, always = true): void {
    if (!always && Date.now() - this.saidAt < SAID_EVERY_MS) return;
    this.saidAt = Date.now();
    const place = document.querySelector("[data-sending-status]");
    if (place) place.textContent = words;
  }

  private show(running: boolean): void {
    const bar = this.part<HTMLProgressElement>("bar");
    const going = this.all.filter((one) => one.state !== "failed");
    bar.max = Math.max(going.reduce((sum, one) => sum + one.size, 0), 1);
    bar.value = going.reduce((sum, one) => sum + one.sent, 0);
    this.part("counts").textContent = this.counts();
    this.part("stop").hidden = !running;
    this.part("go").hidden = running || !this.all.some((one) => one.state === "waiting");
    this.part("retry").hidden = running || !this.all.some((one) => this.worthAnotherTry(one));
    this.part("close").hidden = running || this.over;
  }

  private part<T extends HTMLElement = HTMLElement>(name: string): T {
    const found = this.section.querySelector<T>(`[data-sending-${name}]`);
    if (!found) throw new Error(`the section has no ${name}`);
    return found;
  }
}
