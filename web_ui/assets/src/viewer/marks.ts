// What is drawn over the picture: measured lengths, and the cross that the keys move.

import type { Point, Stage } from "./stage";

const SVG = "http://www.w3.org/2000/svg";

/** What a length is told in, by the name that the page has words for. */
export type Unit = "pixels" | "mm" | "detector";

interface Length {
  from: Point;
  to: Point;
}

function made(name: string, kind: string, attributes: Record<string, number | string>): SVGElement {
  const node = document.createElementNS(SVG, name);
  node.setAttribute("class", kind);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

export class Marks {
  /** Where the keys point to, in pixels of the image; nothing while they point nowhere. */
  cross: Point | null = null;
  private readonly stage: Stage;
  private readonly layer: SVGElement;
  private readonly words: (length: number, unit: Unit) => string;
  private readonly lengths: Length[] = [];
  private open: Length | null = null;

  constructor(stage: Stage, words: (length: number, unit: Unit) => string) {
    this.stage = stage;
    this.words = words;
    this.layer = made("svg", "viewer-marks", { "aria-hidden": "true", focusable: "false" });
    stage.element.append(this.layer);
    stage.onChange(() => this.draw());
  }

  get measuring(): boolean {
    return this.open !== null;
  }

  get count(): number {
    return this.lengths.length;
  }

  begin(at: Point): void {
    this.open = { from: at, to: at };
    this.draw();
  }

  follow(at: Point): void {
    if (this.open) this.open.to = at;
    this.draw();
  }

  /** Ends the length that was begun; what it is in words, or nothing where it has none. */
  end(at: Point): string | null {
    const length = this.open;
    if (!length) return null;
    length.to = at;
    this.open = null;
    const whole = Math.hypot(length.to.x - length.from.x, length.to.y - length.from.y) >= 1;
    if (whole) this.lengths.push(length);
    this.draw();
    return whole ? this.say(length) : null;
  }

  cancel(): void {
    this.open = null;
    this.draw();
  }

  removeLast(): boolean {
    const removed = this.lengths.pop() !== undefined;
    this.draw();
    return removed;
  }

  clear(): void {
    this.lengths.length = 0;
    this.open = null;
    this.cross = null;
    this.draw();
  }

  private say({ from, to }: Length): string {
    const { spacing } = this.stage.picture;
    const [x, y] = [to.x - from.x, to.y - from.y];
    return spacing
      ? this.words(Math.hypot(x * spacing.x, y * spacing.y), spacing.detector ? "detector" : "mm")
      : this.words(Math.hypot(x, y), "pixels");
  }

  draw(): void {
    const drawn: SVGElement[] = [];
    for (const length of this.open ? [...this.lengths, this.open] : this.lengths) {
      const [a, b] = [this.stage.toScreen(length.from), this.stage.toScreen(length.to)];
      const line = { x1: a.x, y1: a.y, x2: b.x, y2: b.y };
      // A dark line under the light one, to be seen on any ground.
      drawn.push(made("line", "viewer-length-under", line), made("line", "viewer-length", line));
      for (const end of [a, b]) {
        drawn.push(made("circle", "viewer-length-end", { cx: end.x, cy: end.y, r: 4 }));
      }
      const text = made("text", "viewer-length-text", this.placed(a, b));
      text.textContent = this.say(length);
      drawn.push(text);
    }
    if (this.cross) {
      const { x, y } = this.stage.toScreen(this.cross);
      const d = `M${x - 12} ${y}h24M${x} ${y - 12}v24`;
      drawn.push(made("path", "viewer-length-under", { d }), made("path", "viewer-length", { d }));
    }
    this.layer.replaceChildren(...drawn);
  }

  /** Beside the lower end, and inside of the stage. */
  private placed(a: Point, b: Point): { x: number; y: number } {
    const low = a.y > b.y ? a : b;
    const { clientWidth, clientHeight } = this.stage.element;
    return {
      x: Math.max(8, Math.min(clientWidth - 110, low.x + 10)),
      y: Math.max(18, Math.min(clientHeight - 8, low.y + 20)),
    };
  }
}
