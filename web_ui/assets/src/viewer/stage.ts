// One picture on one element: which part of it, how large, how turned, in which window.
//
// The state is kept here in pixels of the image and handed to the renderer whole, so that it is the
// same on the GPU and without one.

import { Enums, getShouldUseCPURendering, type RenderingEngine, type Types } from "@cornerstonejs/core";
import type { Picture, Window } from "./picture";
import { forget, named } from "./rendering";

export interface Point {
  x: number;
  y: number;
}

/** Times the size at which the whole image fits. */
const SMALLEST = 0.5;
const LARGEST = 40;

export interface Look {
  /** The place of the image, in its pixels, that is in the middle of the stage. */
  middle: Point;
  /** 1 is the whole image. */
  zoom: number;
  /** Degrees clockwise: 0, 90, 180 or 270. */
  turn: number;
  window: Window;
  inverted: boolean;
}

export class Stage {
  readonly element: HTMLDivElement;
  picture: Picture;
  look: Look;
  private readonly engine: RenderingEngine;
  private readonly id: string;
  private readonly viewport: Types.IStackViewport;
  private readonly listeners: (() => void)[] = [];
  private name: string;

  private constructor(engine: RenderingEngine, element: HTMLDivElement, id: string, picture: Picture) {
    this.engine = engine;
    this.element = element;
    this.id = id;
    this.picture = picture;
    this.name = named(picture);
    this.look = first(picture);
    const order = element.tabIndex;
    engine.enableElement({ viewportId: id, type: Enums.ViewportType.STACK, element });
    // It was taken out of the keyboard's order meanwhile.
    element.tabIndex = order;
    this.viewport = engine.getViewport(id) as Types.IStackViewport;
  }

  static async open(
    engine: RenderingEngine,
    element: HTMLDivElement,
    id: string,
    picture: Picture,
  ): Promise<Stage> {
    const stage = new Stage(engine, element, id, picture);
    await stage.viewport.setStack([stage.name]);
    stage.draw();
    return stage;
  }

  /** Shows another picture; `kept` keeps the part that is looked at, for one of the same size. */
  async show(picture: Picture, kept = false): Promise<void> {
    forget(this.name);
    this.picture = picture;
    this.name = named(picture);
    const { middle, zoom, turn } = this.look;
    this.look = kept ? { ...first(picture), middle, zoom, turn } : first(picture);
    await this.viewport.setStack([this.name]);
    this.draw();
  }

  close(): void {
    this.engine.disableElement(this.id);
    forget(this.name);
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  change(part: Partial<Look>): void {
    Object.assign(this.look, part);
    const { width, height } = this.picture;
    this.look.zoom = Math.max(SMALLEST, Math.min(LARGEST, this.look.zoom));
    this.look.middle = {
      x: Math.max(0, Math.min(width, this.look.middle.x)),
      y: Math.max(0, Math.min(height, this.look.middle.y)),
    };
    this.draw();
  }

  reset(): void {
    this.look = first(this.picture);
    this.draw();
  }

  /** After the element has changed its size. */
  resized(): void {
    this.engine.resize(true, true);
    this.draw();
  }

  /** Moves the image by pixels of the screen. */
  pan(dx: number, dy: number): void {
    const from = this.toImage({ x: 0, y: 0 });
    const to = this.toImage({ x: dx, y: dy });
    const { middle } = this.look;
    this.change({ middle: { x: middle.x - (to.x - from.x), y: middle.y - (to.y - from.y) } });
  }

  /** Zooms by a factor about a point of the stage, which stays where it is. */
  zoom(by: number, about?: Point): void {
    const at = about ?? this.centre();
    const before = this.toImage(at);
    this.change({ zoom: this.look.zoom * by });
    const after = this.toImage(at);
    const { middle } = this.look;
    if (about) {
      this.change({ middle: { x: middle.x + before.x - after.x, y: middle.y + before.y - after.y } });
    }
  }

  turn(by: number): void {
    this.change({ turn: (this.look.turn + by + 360) % 360 });
  }

  /** Shifts and widens the window by shares of all values. */
  rewindow(shift: number, widen: number): void {
    const { lower, upper } = this.look.window;
    const all = Math.min(this.picture.levels, this.picture.range.upper - this.picture.range.lower + 1);
    const centre = (lower + upper) / 2 + shift * all;
    const half = Math.max(1, upper - lower + widen * all) / 2;
    this.change({ window: { lower: centre - half, upper: centre + half } });
  }

  centre(): Point {
    return { x: this.element.clientWidth / 2, y: this.element.clientHeight / 2 };
  }

  /** Pixels of the screen for a pixel of the image. */
  scale(): number {
    const { width, height } = this.picture;
    const [across, down] = this.look.turn % 180 === 0 ? [width, height] : [height, width];
    const { clientWidth, clientHeight } = this.element;
    return Math.min(clientWidth / across, clientHeight / down) * this.look.zoom;
  }

  toScreen(at: Point): Point {
    const { middle } = this.look;
    const [x, y] = rotated((at.x - middle.x) * this.scale(), (at.y - middle.y) * this.scale(), this.look.turn);
    const centre = this.centre();
    return { x: centre.x + x, y: centre.y + y };
  }

  toImage(at: Point): Point {
    const centre = this.centre();
    const [x, y] = rotated(at.x - centre.x, at.y - centre.y, -this.look.turn);
    const { middle } = this.look;
    return { x: middle.x + x / this.scale(), y: middle.y + y / this.scale() };
  }

  /** What takes a point of the image to the stage, as SVG writes it. */
  transform(): string {
    const origin = this.toScreen({ x: 0, y: 0 });
    return `translate(${origin.x} ${origin.y}) rotate(${this.look.turn}) scale(${this.scale()})`;
  }

  private draw(): void {
    const { middle, turn, window, inverted } = this.look;
    // On the GPU a pixel's place is its middle, without one it is its corner.
    const shift = getShouldUseCPURendering() ? 0 : 0.5;
    const focalPoint: Types.Point3 = [middle.x - shift, middle.y - shift, 0];
    const parallelScale = this.element.clientHeight / 2 / this.scale();
    if (getShouldUseCPURendering()) {
      (this.viewport as unknown as { setRotation(degrees: number): void }).setRotation(turn);
      // The shift of the focal point is taken at the scale and rotation that are set by then.
      this.viewport.setCamera({ parallelScale });
      this.viewport.setCamera({ focalPoint });
    } else {
      const radians = (turn * Math.PI) / 180;
      this.viewport.setCamera({
        parallelScale,
        focalPoint,
        position: [focalPoint[0], focalPoint[1], -100],
        viewUp: [-Math.sin(radians), -Math.cos(radians), 0],
      });
    }
    this.viewport.setProperties({ voiRange: { ...window }, invert: inverted });
    this.viewport.render();
    for (const listener of this.listeners) listener();
  }
}

function first(picture: Picture): Look {
  return {
    middle: { x: picture.width / 2, y: picture.height / 2 },
    zoom: 1,
    turn: 0,
    window: { ...picture.window },
    inverted: picture.inverted,
  };
}

function rotated(x: number, y: number, degrees: number): [number, number] {
  const radians = (degrees * Math.PI) / 180;
  const [sin, cos] = [Math.round(Math.sin(radians)), Math.round(Math.cos(radians))];
  return [x * cos - y * sin, x * sin + y * cos];
}
