// What a mouse, a pen or fingers do on a stage, told apart into few moves.

import type { Point } from "./stage";

export interface Moves {
  /** One pointer goes down, moves and goes up; `button` is 0, 1 (middle) or 2 (right). */
  down(at: Point, button: number): void;
  drag(at: Point, dx: number, dy: number): void;
  /** `moved` tells a drag from a press in place. */
  up(at: Point, moved: boolean): void;
  /** The pointer moves without being pressed. */
  hover(at: Point): void;
  leave(): void;
  /** Two fingers: by how much they spread about their middle, and how far that went. */
  pinch(about: Point, by: number, dx: number, dy: number): void;
  wheel(at: Point, by: number): void;
  twice(): void;
}

/** How far a hand trembles, in pixels of the screen. */
const STILL = 4;

export function gestures(element: HTMLElement, moves: Moves): void {
  const held = new Map<number, Point>();
  let start: Point | null = null;
  let moved = false;
  let several = false;

  const place = (event: MouseEvent): Point => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    const at = place(event);
    held.set(event.pointerId, at);
    if (held.size === 1) {
      start = at;
      moved = false;
      several = false;
      moves.down(at, event.button);
    } else {
      several = true;
    }
  });

  element.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = held.get(event.pointerId);
    if (!before) {
      moves.hover(at);
      return;
    }
    if (held.size === 2) {
      const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const spread = (one: Point): number => Math.hypot(one.x - other.x, one.y - other.y);
        const about = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
        const by = spread(at) / Math.max(1, spread(before));
        moves.pinch(about, by, (at.x - before.x) / 2, (at.y - before.y) / 2);
      }
    } else if (held.size === 1 && !several) {
      moved ||= start !== null && Math.hypot(at.x - start.x, at.y - start.y) > STILL;
      if (moved) moves.drag(at, at.x - before.x, at.y - before.y);
      else return;
    }
    held.set(event.pointerId, at);
  });

  const release = (event: PointerEvent): void => {
    if (!held.delete(event.pointerId)) return;
    // After two fingers the one that stays does nothing until it is lifted as well.
    if (held.size === 0 && !several) moves.up(place(event), moved || event.type === "pointercancel");
  };
  element.addEventListener("pointerup", release);
  element.addEventListener("pointercancel", release);
  element.addEventListener("pointerleave", () => moves.leave());
  element.addEventListener("dblclick", () => moves.twice());
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      // The wheel scrolls the page until the image has been chosen, as a pinch on a touchpad not.
      if (!event.ctrlKey && !element.contains(document.activeElement)) return;
      event.preventDefault();
      moves.wheel(place(event), Math.exp(-event.deltaY / 400));
    },
    { passive: false },
  );
}
