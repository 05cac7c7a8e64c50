// The viewer of a reading: puts its parts together, and binds the buttons and keys that use them.

import type { RenderingEngine } from "@cornerstonejs/core";
import { onKey, type Act } from "../keys";
import { Beside } from "./beside";
import { readDicom } from "./dicom";
import { Hand, STEP, TOOLS } from "./hand";
import { Lens } from "./lens";
import { Levels, PRESETS_BY_KEY } from "./levels";
import { Marks } from "./marks";
import { readImage, type Picture } from "./picture";
import { start } from "./rendering";
import { Room, figure, type Pane } from "./room";
import { Stage } from "./stage";

const ACTS = ["in", "out", "turn", "turn-back", "invert", "beside", "reset"] as const;

/** Opens the viewer over an image that the browser has decoded. Throws where it cannot. */
export async function open(root: HTMLElement, image: HTMLImageElement): Promise<void> {
  const viewer = new Viewer(root);
  await viewer.open(readImage(image));
}

class Viewer {
  private readonly room: Room;
  private readonly engine: RenderingEngine = start();
  private readonly lens = new Lens(this.engine);
  private readonly hand: Hand;
  private readonly levels: Levels;
  private beside: Beside | null = null;

  constructor(root: HTMLElement) {
    this.room = new Room(root);
    this.hand = new Hand(this.room, this.lens);
    this.levels = new Levels(this.room);
  }

  async open(picture: Picture): Promise<void> {
    const { room } = this;
    const deep = this.fetchDicom();
    await this.add(room.part("pane"), picture);
    room.root.dataset["viewer"] = "live";
    // The plain image keeps the place; who moves by keys or listens meets the viewer instead.
    room.part("film").inert = true;
    this.beside = new Beside(room, (element, beside) => this.add(element, beside));
    for (const button of room.root.querySelectorAll<HTMLButtonElement>("[data-act]")) {
      button.addEventListener("click", () => this.act(button.dataset["act"] ?? ""));
    }
    this.bind();
    room.pane().stage.resized();
    this.levels.offer();
    await this.deepen(deep);
  }

  private async add(element: HTMLElement, picture: Picture): Promise<Pane> {
    const { room } = this;
    const place = element.querySelector<HTMLDivElement>("[data-stage]");
    if (!place) throw new Error("a pane has no stage");
    place.hidden = false;
    const at = room.panes.length;
    const stage = await Stage.open(this.engine, place, `pane-${at}`, picture);
    const marks = new Marks(stage, (length, unit) =>
      room.words(unit, { value: figure(length) }),
    );
    const pane = { stage, marks, element };
    room.panes.push(pane);
    stage.onChange(() => room.changed());
    place.addEventListener("focus", () => {
      room.at = at;
      this.levels.offer();
    });
    this.hand.listen(pane);
    new ResizeObserver(() => {
      if (place.clientWidth > 0 && place.clientHeight > 0) stage.resized();
    }).observe(place);
    return pane;
  }

  /** The picture in its full depth, where the file that came is kept; nothing where none is. */
  private async fetchDicom(): Promise<Picture | Error | null> {
    const address = this.room.root.dataset["dicom"];
    if (!address) return null;
    try {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return await readDicom(await answer.arrayBuffer());
    } catch (error) {
      return error instanceof Error ? error : new Error();
    }
  }

  private async deepen(coming: Promise<Picture | Error | null>): Promise<void> {
    const { room } = this;
    const picture = await coming;
    const first = room.panes[0];
    if (!picture || !first) return;
    const { width, height } = first.stage.picture;
    if (picture instanceof Error || picture.width !== width || picture.height !== height) {
      room.say("shallow");
      return;
    }
    await first.stage.show(picture, true);
    this.levels.offer();
    room.say("deep", { value: figure(picture.levels) });
  }

  private act(name: string): void {
    const pane = this.room.pane();
    const { stage, marks } = pane;
    if (name === "in") stage.zoom(STEP.zoom);
    if (name === "out") stage.zoom(1 / STEP.zoom);
    if (name === "turn" || name === "turn-back") {
      stage.turn(name === "turn" ? 90 : -90);
      this.room.say("turned", { value: stage.look.turn });
    }
    if (name === "invert") {
      stage.change({ inverted: !stage.look.inverted });
      this.room.say(stage.look.inverted === stage.picture.inverted ? "upright" : "inverted");
    }
    if (name === "reset") {
      stage.reset();
      marks.clear();
      this.lens.hide();
      this.room.say("reset");
    }
    if (name === "beside") this.beside?.next();
    this.room.follow(pane);
  }

  /** The keys stand in the page's table; these are what they do here. */
  private bind(): void {
    for (const tool of TOOLS) onKey(`viewer.${tool}`, () => this.hand.chooseByKey(tool));
    for (const act of ACTS) onKey(`viewer.${act}`, () => this.act(act));
    onKey("viewer.levels", (event) => {
      const place = Number(event.key) - 1;
      return place < PRESETS_BY_KEY && this.levels.chooseAt(place);
    });
    // These mean the image only while it has the focus.
    const here = (act: Act): Act => {
      return (event) => event.target === this.room.pane().stage.element && act(event);
    };
    onKey("viewer.arrows", here((event) => this.hand.arrow(event)));
    onKey("viewer.end", here(() => this.hand.setEnd()));
    onKey("viewer.remove", here(() => this.hand.removeLast()));
    onKey("viewer.stop", here(() => this.hand.stop()));
  }
}
