// The tools: what pointers do on a stage, and what the arrow keys do instead of them.

import { gestures } from "./gestures";
import type { Lens } from "./lens";
import type { Pane, Room } from "./room";
import type { Point } from "./stage";

export const TOOLS = ["window", "move", "zoom", "magnify", "length"] as const;
export type Tool = (typeof TOOLS)[number];

/** By how much one press of a key or a button changes: shares, pixels of the screen, a factor. */
export const STEP = { window: 0.02, move: 32, zoom: 1.25, cross: 8, fine: 1 };

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class Hand {
  private readonly room: Room;
  private readonly lens: Lens;
  private tool: Tool = matchMedia("(pointer: coarse)").matches ? "move" : "window";
  /** What a drag does while it lasts: the tool, or what its button stands for. */
  private dragging: Tool | null = null;
  /** One end of a length was set by a press in place. */
  private pressedOnce = false;

  constructor(room: Room, lens: Lens) {
    this.room = room;
    this.lens = lens;
    this.choose(this.tool);
    for (const button of this.buttons()) {
      button.addEventListener("click", () => this.choose(button.dataset["tool"] as Tool));
    }
    room.onChange(() => this.letThePageScroll());
  }

  choose(tool: Tool): void {
    this.tool = tool;
    this.room.root.dataset["tool"] = tool;
    this.stop();
    for (const button of this.buttons()) {
      button.setAttribute("aria-pressed", String(button.dataset["tool"] === tool));
    }
    this.letThePageScroll();
  }

  /** By a key: the image has the next keys. */
  chooseByKey(tool: Tool): void {
    this.choose(tool);
    this.room.pane().stage.element.focus({ preventScroll: true });
    const name = this.buttons().find((button) => button.dataset["tool"] === tool)?.textContent;
    this.room.say("tool", { value: name?.trim() ?? "" });
  }

  private buttons(): HTMLButtonElement[] {
    return [...this.room.root.querySelectorAll<HTMLButtonElement>("[data-tool]")];
  }

  /** Gives up what was begun. False where nothing was. */
  stop(): boolean {
    let stopped = false;
    for (const { marks } of this.room.panes) {
      stopped ||= marks.measuring || marks.cross !== null;
      marks.cancel();
      marks.cross = null;
      marks.draw();
    }
    this.lens.hide();
    this.pressedOnce = false;
    return stopped;
  }

  /** At the size at which all is seen a finger scrolls the page, not the image. */
  private letThePageScroll(): void {
    for (const { stage } of this.room.panes) {
      const whole = stage.look.zoom <= 1 && this.tool === "move";
      stage.element.classList.toggle("viewer-whole", whole);
    }
  }

  // ---- Pointers ----------------------------------------------------------------------------------

  listen(pane: Pane): void {
    const { stage, marks } = pane;
    gestures(stage.element, {
      down: (at, button) => {
        stage.element.focus({ preventScroll: true });
        this.dragging = button === 2 ? "zoom" : button === 1 ? "move" : this.tool;
        if (this.dragging === "magnify") this.lens.show(stage, at);
        if (this.dragging === "length" && !marks.measuring) {
          marks.cross = null;
          marks.begin(stage.toImage(at));
        }
      },
      drag: (at, dx, dy) => this.drag(pane, at, dx, dy),
      up: (at, moved) => this.lift(pane, at, moved),
      hover: (at) => {
        if (this.tool === "magnify") this.lens.show(stage, at);
        if (marks.measuring) marks.follow(stage.toImage(at));
      },
      leave: () => {
        if (!marks.cross) this.lens.hide();
      },
      pinch: (about, by, dx, dy) => {
        marks.cancel();
        stage.zoom(by, about);
        stage.pan(dx, dy);
        this.room.follow(pane);
      },
      wheel: (at, by) => {
        stage.zoom(by, at);
        this.room.follow(pane);
      },
      twice: () => {
        if (this.tool === "length") return;
        stage.reset();
        this.room.follow(pane);
      },
    });
  }

  private drag(pane: Pane, at: Point, dx: number, dy: number): void {
    const { stage, marks } = pane;
    const width = stage.element.clientWidth;
    if (this.dragging === "window") stage.rewindow(dy / width, dx / width);
    if (this.dragging === "move") stage.pan(dx, dy);
    if (this.dragging === "zoom") stage.zoom(Math.exp(-dy / 200));
    if (this.dragging === "magnify") this.lens.show(stage, at);
    if (this.dragging === "length") marks.follow(stage.toImage(at));
    this.room.follow(pane);
  }

  private lift(pane: Pane, at: Point, moved: boolean): void {
    const { stage, marks } = pane;
    const dragging = this.dragging;
    this.dragging = null;
    if (dragging === "length") {
      // Pressed in place begins a length, and pressed again ends it: nothing needs dragging.
      if (!moved && !this.pressedOnce) {
        this.pressedOnce = true;
        this.room.say("begun");
        return;
      }
      this.pressedOnce = false;
      this.ended(marks.end(stage.toImage(at)));
    }
    if (moved) return;
    // Where all is seen, a press in place is a finger that rested, and moves nothing.
    if (dragging === "move" && stage.look.zoom > 1) stage.change({ middle: stage.toImage(at) });
    if (dragging === "zoom") stage.zoom(STEP.zoom, at);
    this.room.follow(pane);
  }

  private ended(length: string | null): void {
    if (length) this.room.say("length", { value: length });
  }

  // ---- Keys, on the stage that has the focus -----------------------------------------------------

  /** The arrows do what dragging does. */
  arrow(event: KeyboardEvent): boolean {
    const arrow = ARROWS[event.key];
    if (!arrow) return false;
    const [x, y] = arrow;
    const pane = this.room.pane();
    const { stage, marks } = pane;
    if (this.tool === "window") stage.rewindow(y * STEP.window, x * STEP.window);
    if (this.tool === "move") stage.pan(-x * STEP.move, -y * STEP.move);
    if (this.tool === "zoom") stage.zoom(STEP.zoom ** (x - y));
    if (this.tool === "magnify" || this.tool === "length") {
      const step = event.shiftKey ? STEP.fine : STEP.cross;
      const from = marks.cross ? stage.toScreen(marks.cross) : stage.centre();
      marks.cross = stage.toImage({ x: from.x + x * step, y: from.y + y * step });
      marks.follow(marks.cross);
      if (this.tool === "magnify") this.lens.show(stage, stage.toScreen(marks.cross));
    }
    this.room.follow(pane);
    return true;
  }

  /** Sets an end of a length where the cross is. */
  setEnd(): boolean {
    if (this.tool !== "length") return false;
    const { stage, marks } = this.room.pane();
    marks.cross ??= stage.toImage(stage.centre());
    if (marks.measuring) {
      this.ended(marks.end(marks.cross));
    } else {
      marks.begin(marks.cross);
      this.room.say("begun");
    }
    return true;
  }

  removeLast(): boolean {
    if (!this.room.pane().marks.removeLast()) return false;
    this.room.say("removed");
    return true;
  }
}
