// The magnifier: a second, small stage of the same picture that follows the pointer.

import type { RenderingEngine } from "@cornerstonejs/core";
import { Stage, type Point } from "./stage";

const TIMES = 2.5;

export class Lens {
  private readonly engine: RenderingEngine;
  private readonly element: HTMLDivElement;
  private stage: Stage | null = null;
  private over: Stage | null = null;
  private opening: Promise<void> | null = null;
  private at: Point = { x: 0, y: 0 };

  constructor(engine: RenderingEngine) {
    this.engine = engine;
    this.element = document.createElement("div");
    this.element.className = "viewer-lens";
    this.element.setAttribute("aria-hidden", "true");
  }

  /** Shows what lies under a point of the stage, larger. */
  show(over: Stage, at: Point): void {
    this.at = at;
    if (this.over !== over) {
      this.hide();
      this.over = over;
      over.element.append(this.element);
      this.opening = Stage.open(this.engine, this.element, "lens", over.picture).then((stage) => {
        // It may have been hidden while it was opened.
        if (this.over === over) this.stage = stage;
        else stage.close();
        this.follow();
      });
    }
    this.follow();
  }

  hide(): void {
    if (!this.over) return;
    const opened = this.stage;
    this.over = null;
    this.stage = null;
    this.element.remove();
    opened?.close();
  }

  /** Resolves when what was asked for is shown. */
  async ready(): Promise<void> {
    await this.opening;
  }

  private follow(): void {
    const { over, stage, at } = this;
    if (!over) return;
    const half = this.element.offsetWidth / 2;
    this.element.style.transform = `translate(${at.x - half}px, ${at.y - half}px)`;
    if (!stage) return;
    const wanted = over.scale() * TIMES;
    stage.look.zoom = 1;
    stage.look.turn = over.look.turn;
    stage.change({
      middle: over.toImage(at),
      zoom: wanted / stage.scale(),
      window: { ...over.look.window },
      inverted: over.look.inverted,
    });
  }
}
