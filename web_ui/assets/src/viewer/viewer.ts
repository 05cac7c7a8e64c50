// The viewer of a reading: one or two stages, the tools, and the buttons and keys that use them.

import type { RenderingEngine } from "@cornerstonejs/core";
import { readDicom } from "./dicom";
import { gestures } from "./gestures";
import { ACTION_KEYS, PRESET_KEYS, TOOL_KEYS, ours } from "./keys";
import { Lens } from "./lens";
import { Marks } from "./marks";
import { presets, readImage, type Picture } from "./picture";
import { start } from "./rendering";
import { Stage, type Point } from "./stage";

type Tool = "window" | "move" | "zoom" | "magnify" | "length";

/** By how much one press of a key or a button changes. */
const STEP = { window: 0.02, move: 32, zoom: 1.25, cross: 8, fine: 1 };

interface Pane {
  stage: Stage;
  marks: Marks;
  room: HTMLElement;
}

export async function open(root: HTMLElement, image: HTMLImageElement): Promise<void> {
  const viewer = new Viewer(root);
  await viewer.open(readImage(image));
}

class Viewer {
  private readonly root: HTMLElement;
  private readonly engine: RenderingEngine = start();
  private readonly lens = new Lens(this.engine);
  private readonly status: HTMLElement;
  private readonly readout: HTMLElement;
  private readonly panes: Pane[] = [];
  private at = 0;
  private tool: Tool = matchMedia("(pointer: coarse)").matches ? "move" : "window";
  /** What a drag does while it lasts: the tool, or what its button stands for. */
  private dragging: Tool | null = null;

  constructor(root: HTMLElement) {
    this.root = root;
    this.status = this.part("viewer-status");
    this.readout = this.part("viewer-readout");
  }

  async open(picture: Picture): Promise<void> {
    await this.add(this.part("pane"), picture);
    this.root.dataset["viewer"] = "live";
    // The plain image keeps the place; who moves by keys or listens meets the viewer instead.
    this.part("film").inert = true;
    this.layHeatmap(0);
    this.buttons();
    this.offerPresets();
    this.choose(this.tool);
    this.gatherEarlier();
    document.addEventListener("keydown", (event) => this.key(event));
    this.pane().stage.resized();
    await this.deepen();
  }

  private part<T extends HTMLElement>(name: string): T {
    const found = this.root.querySelector<T>(`[data-${name}]`);
    if (!found) throw new Error(`the viewer has no ${name}`);
    return found;
  }

  private words(name: string, values: Record<string, string | number> = {}): string {
    const text = this.status.dataset[`say${name[0]?.toUpperCase()}${name.slice(1)}`] ?? "";
    return text.replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? ""));
  }

  private say(name: string, values: Record<string, string | number> = {}): void {
    this.status.textContent = this.words(name, values);
  }

  private pane(): Pane {
    const pane = this.panes[this.at] ?? this.panes[0];
    if (!pane) throw new Error("no pane");
    return pane;
  }

  private async add(room: HTMLElement, picture: Picture): Promise<Pane> {
    const element = room.querySelector<HTMLDivElement>("[data-stage]");
    if (!element) throw new Error("a pane has no stage");
    element.hidden = false;
    const place = this.panes.length;
    const stage = await Stage.open(this.engine, element, `pane-${place}`, picture);
    const marks = new Marks(stage, (length, unit) =>
      this.words(unit === "mm" ? "mm" : "pixels", { value: figure(length) }),
    );
    const pane = { stage, marks, room };
    this.panes.push(pane);
    stage.onChange(() => this.tell());
    element.addEventListener("focus", () => {
      this.at = place;
      this.tell();
    });
    this.listen(pane);
    new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientHeight > 0) stage.resized();
    }).observe(element);
    return pane;
  }

  /** Where the file that came is kept in its full depth, shows that instead. */
  private async deepen(): Promise<void> {
    const address = this.root.dataset["dicom"];
    if (!address) return;
    try {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const picture = await readDicom(await answer.arrayBuffer());
      const { stage, marks } = this.panes[0] ?? this.pane();
      const same =
        picture.width === stage.picture.width && picture.height === stage.picture.height;
      if (!same) throw new Error("another picture");
      await stage.show(picture, true);
      marks.draw();
      this.offerPresets();
      this.root.dataset["depth"] = String(picture.levels);
      this.say("deep", { value: picture.levels.toLocaleString(document.documentElement.lang) });
    } catch {
      this.say("shallow");
    }
  }

  // ---- What is under the hand ------------------------------------------------------------------

  private listen(pane: Pane): void {
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
        this.follow(pane);
      },
      wheel: (at, by) => {
        stage.zoom(by, at);
        this.follow(pane);
      },
      twice: () => {
        if (this.tool !== "length") this.act("reset");
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
    this.follow(pane);
  }

  private pressedOnce = false;

  private lift(pane: Pane, at: Point, moved: boolean): void {
    const { stage, marks } = pane;
    const dragging = this.dragging;
    this.dragging = null;
    if (dragging === "length") {
      // Pressed in place begins a length, and pressed again ends it: nothing needs dragging.
      if (!moved && !this.pressedOnce) {
        this.pressedOnce = true;
        this.say("begun");
        return;
      }
      this.pressedOnce = false;
      this.ended(marks.end(stage.toImage(at)));
    }
    if (moved) return;
    if (dragging === "move") stage.change({ middle: stage.toImage(at) });
    if (dragging === "zoom") stage.zoom(STEP.zoom, at);
    this.follow(pane);
  }

  private ended(length: string | null): void {
    if (length) this.say("length", { value: length });
  }

  /** Two panes of one image are looked at together. */
  private follow(pane: Pane): void {
    if (this.root.dataset["beside"] !== "heatmap") return;
    const look = pane.stage.look;
    for (const other of this.panes) {
      if (other === pane || other.room.hidden) continue;
      other.stage.change({
        middle: { ...look.middle },
        zoom: look.zoom,
        turn: look.turn,
        window: { ...look.window },
        inverted: look.inverted,
      });
    }
  }

  // ---- Buttons and keys ------------------------------------------------------------------------

  private buttons(): void {
    for (const button of this.root.querySelectorAll<HTMLButtonElement>("[data-tool]")) {
      button.addEventListener("click", () => this.choose(button.dataset["tool"] as Tool));
    }
    for (const button of this.root.querySelectorAll<HTMLButtonElement>("[data-act]")) {
      button.addEventListener("click", () => this.act(button.dataset["act"] ?? ""));
    }
    const choice = this.part<HTMLSelectElement>("presets");
    choice.addEventListener("change", () => this.preset(choice.value));
    const beside = this.part<HTMLSelectElement>("beside");
    beside.addEventListener("change", () => void this.beside(beside.value));
    for (const name of ["brightness", "contrast"]) {
      this.part<HTMLInputElement>(name).addEventListener("input", () => this.slide());
    }
  }

  private choose(tool: Tool): void {
    this.tool = tool;
    this.root.dataset["tool"] = tool;
    this.lens.hide();
    this.pressedOnce = false;
    for (const { marks } of this.panes) {
      marks.cancel();
      marks.cross = null;
      marks.draw();
    }
    for (const button of this.root.querySelectorAll<HTMLButtonElement>("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset["tool"] === tool));
    }
  }

  private act(name: string): void {
    const pane = this.pane();
    const { stage, marks } = pane;
    if (name === "in") stage.zoom(STEP.zoom);
    if (name === "out") stage.zoom(1 / STEP.zoom);
    if (name === "turn" || name === "turn-back") {
      stage.turn(name === "turn" ? 90 : -90);
      this.say("turned", { value: stage.look.turn });
    }
    if (name === "invert") {
      stage.change({ inverted: !stage.look.inverted });
      this.say(stage.look.inverted === stage.picture.inverted ? "upright" : "inverted");
    }
    if (name === "reset") {
      stage.reset();
      marks.clear();
      this.lens.hide();
      this.say("reset");
    }
    if (name === "beside") {
      const choice = this.part<HTMLSelectElement>("beside");
      choice.selectedIndex = (choice.selectedIndex + 1) % choice.options.length;
      void this.beside(choice.value);
    }
    this.follow(pane);
  }

  private key(event: KeyboardEvent): void {
    if (!ours(event)) return;
    const tool = TOOL_KEYS.find(({ key }) => key === event.key);
    const action = ACTION_KEYS.find(({ key }) => key === event.key);
    if (tool) {
      this.choose(tool.does as Tool);
      this.pane().stage.element.focus({ preventScroll: true });
      this.say("tool", { value: this.name(tool.does) });
    } else if (action) {
      this.act(action.does);
    } else if ((PRESET_KEYS as readonly string[]).includes(event.key)) {
      const choice = this.part<HTMLSelectElement>("presets");
      const option = [...choice.options].filter((one) => !one.hidden)[Number(event.key) - 1];
      if (!option) return;
      this.preset(option.value);
      this.say("preset", { value: option.text });
    } else if (event.target === this.pane().stage.element) {
      if (!this.stageKey(event)) return;
    } else {
      return;
    }
    event.preventDefault();
  }

  private name(tool: string): string {
    const button = this.root.querySelector<HTMLElement>(`[data-tool="${tool}"]`);
    return button?.textContent?.trim() ?? "";
  }

  /** Keys that mean the stage itself: the arrows do what dragging does. */
  private stageKey(event: KeyboardEvent): boolean {
    const pane = this.pane();
    const { stage, marks } = pane;
    const arrows: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const arrow = arrows[event.key];
    if (arrow) {
      const [x, y] = arrow;
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
      this.follow(pane);
      return true;
    }
    if (event.key === "Enter" && this.tool === "length") {
      marks.cross ??= stage.toImage(stage.centre());
      if (marks.measuring) this.ended(marks.end(marks.cross));
      else {
        marks.begin(marks.cross);
        this.say("begun");
      }
      return true;
    }
    if (event.key === "Delete" || event.key === "Backspace") {
      if (marks.removeLast()) this.say("removed");
      return true;
    }
    if (event.key === "Escape" && (marks.measuring || marks.cross)) {
      marks.cancel();
      marks.cross = null;
      marks.draw();
      this.lens.hide();
      this.pressedOnce = false;
      return true;
    }
    return false;
  }

  // ---- The window --------------------------------------------------------------------------------

  private offerPresets(): void {
    const offered = presets(this.pane().stage.picture);
    for (const option of this.part<HTMLSelectElement>("presets").options) {
      // The empty one stands for a window of one's own: it is shown and cannot be picked.
      option.hidden = !offered.has(option.value);
      option.disabled = option.hidden && option.value !== "";
    }
    this.tell();
  }

  private preset(name: string): void {
    const { stage } = this.pane();
    const window = presets(stage.picture).get(name);
    if (window) stage.change({ window: { ...window } });
    this.part<HTMLSelectElement>("presets").value = name;
    this.follow(this.pane());
  }

  /** Brightness and contrast as sliders, for who does not drag on the image. */
  private slide(): void {
    const { stage } = this.pane();
    const { lower, upper } = stage.picture.range;
    const all = upper - lower + 1;
    const bright = Number(this.part<HTMLInputElement>("brightness").value) / 100;
    const contrast = Number(this.part<HTMLInputElement>("contrast").value) / 100;
    const half = (all * 2 ** (2 - 4 * contrast)) / 4;
    const centre = lower + all * (1 - bright);
    stage.change({ window: { lower: centre - half, upper: centre + half } });
    this.follow(this.pane());
  }

  private tell(): void {
    const pane = this.panes[this.at];
    if (!pane) return;
    const { look, picture } = pane.stage;
    const unit = (value: number): string => figure(value * picture.slope + picture.intercept);
    this.readout.textContent = this.words("readout", {
      lower: unit(look.window.lower),
      upper: unit(look.window.upper),
      zoom: Math.round(pane.stage.scale() * 100),
    });
    // At the size at which all is seen a finger scrolls the page, not the image.
    for (const { stage } of this.panes) {
      stage.element.classList.toggle("viewer-whole", stage.look.zoom <= 1 && this.tool === "move");
    }
    this.heatmapFollows();
    const chosen = [...presets(picture)].find(
      ([, one]) => one.lower === look.window.lower && one.upper === look.window.upper,
    );
    this.part<HTMLSelectElement>("presets").value = chosen?.[0] ?? "";
    const { lower, upper } = picture.range;
    const all = upper - lower + 1;
    const centre = (look.window.lower + look.window.upper) / 2;
    const half = (look.window.upper - look.window.lower) / 2;
    this.part<HTMLInputElement>("brightness").value = String(100 * (1 - (centre - lower) / all));
    this.part<HTMLInputElement>("contrast").value = String(25 * (2 - Math.log2((half * 4) / all)));
  }

  // ---- The heatmap, and what stands beside -----------------------------------------------------

  /** Lays the heatmap's layer, which `heatmap.ts` turns on and off, over a pane. */
  private layHeatmap(place: number): void {
    const layer = this.root.querySelector<SVGSVGElement>("[data-layer]");
    const stage = this.panes[place]?.stage;
    if (!layer || !stage) return;
    layer.removeAttribute("viewBox");
    stage.element.append(layer);
    this.heatmapFollows();
  }

  private heatmapFollows(): void {
    const picture = this.root.querySelector<SVGImageElement>("[data-picture]");
    const stage = this.panes.find((pane) => pane.stage.element.contains(picture))?.stage;
    if (picture && stage) picture.setAttribute("transform", stage.transform());
  }

  /** Earlier images of the same patient, which the page lists elsewhere, can be put beside. */
  private gatherEarlier(): void {
    const choice = this.part<HTMLSelectElement>("beside");
    for (const link of document.querySelectorAll<HTMLElement>("[data-earlier-image]")) {
      const option = document.createElement("option");
      option.value = link.dataset["earlierImage"] ?? "";
      option.text = link.dataset["earlierWords"] ?? link.textContent?.trim() ?? "";
      choice.append(option);
    }
    const alone = choice.options.length < 2;
    const label = choice.closest<HTMLElement>("[data-beside-label]");
    if (label) label.hidden = alone;
    const button = this.root.querySelector<HTMLButtonElement>("[data-act=beside]");
    if (button) button.hidden = alone;
  }

  private async beside(what: string): Promise<void> {
    const room = this.part("pane-beside");
    this.root.dataset["beside"] = what === "" ? "" : what === "heatmap" ? "heatmap" : "earlier";
    room.hidden = what === "";
    const one = this.panes[0];
    if (!one) return;
    if (what === "") {
      this.at = 0;
      this.layHeatmap(0);
      this.say("alone");
      return;
    }
    try {
      const picture = what === "heatmap" ? one.stage.picture : await fetched(what);
      const two = this.panes[1] ?? (await this.add(room, picture));
      if (two.stage.picture !== picture) await two.stage.show(picture);
      two.stage.resized();
      this.layHeatmap(what === "heatmap" ? 1 : 0);
      if (what === "heatmap") {
        this.follow(one);
        this.turnHeatmapOn();
      }
      this.say("beside", { value: this.part<HTMLSelectElement>("beside").selectedOptions[0]?.text ?? "" });
    } catch {
      room.hidden = true;
      this.root.dataset["beside"] = "";
      this.part<HTMLSelectElement>("beside").value = "";
      this.say("gone");
    }
  }

  private turnHeatmapOn(): void {
    const turn = document.querySelector<HTMLButtonElement>("[data-switch]");
    if (turn?.getAttribute("aria-pressed") === "false") turn.click();
  }
}

async function fetched(address: string): Promise<Picture> {
  const image = new Image();
  image.src = address;
  await image.decode();
  return readImage(image);
}

function figure(value: number): string {
  const places = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString(document.documentElement.lang || "en", { maximumFractionDigits: places });
}
