// What the parts of the viewer share: the element on the page, its words, and the panes.

import type { Marks } from "./marks";
import type { Stage } from "./stage";

export interface Pane {
  stage: Stage;
  marks: Marks;
  element: HTMLElement;
}

export class Room {
  readonly root: HTMLElement;
  readonly panes: Pane[] = [];
  /** The pane that buttons and keys act on. */
  at = 0;
  private readonly status: HTMLElement;
  private readonly listeners: (() => void)[] = [];

  constructor(root: HTMLElement) {
    this.root = root;
    this.status = this.part("viewer-status");
  }

  part<T extends HTMLElement>(name: string): T {
    const found = this.root.querySelector<T>(`[data-${name}]`);
    if (!found) throw new Error(`the viewer has no ${name}`);
    return found;
  }

  pane(): Pane {
    const pane = this.panes[this.at] ?? this.panes[0];
    if (!pane) throw new Error("no pane");
    return pane;
  }

  /** A sentence of the page, with values in its places. */
  words(name: string, values: Record<string, string | number> = {}): string {
    const text = this.status.dataset[`say${name[0]?.toUpperCase()}${name.slice(1)}`] ?? "";
    return text.replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? ""));
  }

  /** Tells it to who listens. */
  say(name: string, values: Record<string, string | number> = {}): void {
    this.status.textContent = this.words(name, values);
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }

  /** Two panes of one image are looked at together. */
  follow(pane: Pane): void {
    if (this.root.dataset["beside"] !== "heatmap") return;
    const look = pane.stage.look;
    for (const other of this.panes) {
      if (other === pane || other.element.hidden) continue;
      other.stage.change({
        middle: { ...look.middle },
        zoom: look.zoom,
        turn: look.turn,
        window: { ...look.window },
        inverted: look.inverted,
      });
    }
  }
}

/** A number as a person of this page reads it. */
export function figure(value: number): string {
  const places = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  // Nothing less than nothing: -0 is written as 0.
  const rounded = Number(value.toFixed(places)) + 0;
  return rounded.toLocaleString(document.documentElement.lang || "en");
}
