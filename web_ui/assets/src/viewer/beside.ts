// Two panes: the same image with its heatmap, or another image of the patient, beside this one.

import { readImage, type Picture } from "./picture";
import type { Pane, Room } from "./room";

export class Beside {
  private readonly room: Room;
  private readonly add: (element: HTMLElement, picture: Picture) => Promise<Pane>;
  private readonly choice: HTMLSelectElement;

  constructor(room: Room, add: (element: HTMLElement, picture: Picture) => Promise<Pane>) {
    this.room = room;
    this.add = add;
    this.choice = room.part("beside");
    this.choice.addEventListener("change", () => void this.show(this.choice.value));
    this.layHeatmap(0);
    room.onChange(() => this.heatmapFollows());
  }

  /** The next of what can stand beside; after the last, nothing. */
  next(): void {
    const { choice } = this;
    choice.selectedIndex = (choice.selectedIndex + 1) % choice.options.length;
    void this.show(choice.value);
  }

  private async show(what: string): Promise<void> {
    const { room } = this;
    const element = room.part("pane-beside");
    const one = room.panes[0];
    if (!one) return;
    room.root.dataset["beside"] = what === "" ? "" : what === "heatmap" ? "heatmap" : "other";
    element.hidden = what === "";
    if (what === "") {
      room.at = 0;
      this.layHeatmap(0);
      room.say("alone");
      return;
    }
    try {
      const picture = what === "heatmap" ? one.stage.picture : await fetched(what);
      const two = room.panes[1] ?? (await this.add(element, picture));
      // Something else may have been chosen meanwhile.
      if (this.choice.value !== what) return;
      if (two.stage.picture !== picture) {
        two.marks.clear();
        await two.stage.show(picture);
      }
      two.stage.resized();
      this.layHeatmap(what === "heatmap" ? 1 : 0);
      if (what === "heatmap") {
        room.follow(one);
        this.turnHeatmapOn();
      }
      room.say("beside", { value: this.choice.selectedOptions[0]?.text ?? "" });
    } catch {
      element.hidden = true;
      room.root.dataset["beside"] = "";
      this.choice.value = "";
      room.say("gone");
    }
  }

  /** Lays the heatmap's layer, which `heatmap.ts` turns on and off, over a pane. */
  private layHeatmap(place: number): void {
    const layer = this.room.root.querySelector<SVGSVGElement>("[data-layer]");
    const stage = this.room.panes[place]?.stage;
    if (!layer || !stage) return;
    layer.removeAttribute("viewBox");
    stage.element.append(layer);
    this.heatmapFollows();
  }

  private heatmapFollows(): void {
    const picture = this.room.root.querySelector<SVGImageElement>("[data-picture]");
    const stage = this.room.panes.find((pane) => pane.stage.element.contains(picture))?.stage;
    if (picture && stage) picture.setAttribute("transform", stage.transform());
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
