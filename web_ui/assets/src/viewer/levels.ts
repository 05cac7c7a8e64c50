// The grey levels: the choice of windows, the sliders, and the line that tells where they stand.

import { presets, type Window } from "./picture";
import { figure, type Room } from "./room";

/** The windows that a key chooses, by the key's place: 1 is the first of the page's choice. */
export const PRESETS_BY_KEY = 5;

export class Levels {
  private readonly room: Room;
  private readonly choice: HTMLSelectElement;
  private readonly brightness: HTMLInputElement;
  private readonly contrast: HTMLInputElement;
  private offered = new Map<string, Window>();

  constructor(room: Room) {
    this.room = room;
    this.choice = room.part("presets");
    this.brightness = room.part("brightness");
    this.contrast = room.part("contrast");
    this.choice.addEventListener("change", () => this.choose(this.choice.value));
    for (const slider of [this.brightness, this.contrast]) {
      slider.addEventListener("input", () => this.slide());
    }
    room.onChange(() => this.tell());
  }

  /** Offers the windows that mean something for the picture that is shown. */
  offer(): void {
    this.offered = presets(this.room.pane().stage.picture);
    for (const option of this.choice.options) {
      // The empty one stands for a window of one's own: it is shown and cannot be picked.
      option.hidden = !this.offered.has(option.value);
      option.disabled = option.hidden && option.value !== "";
    }
    this.tell();
  }

  /** The window at this place of the choice, from 0. False where there is none. */
  chooseAt(place: number): boolean {
    const option = [...this.choice.options].filter((one) => !one.hidden)[place];
    if (!option) return false;
    this.choose(option.value);
    this.room.say("preset", { value: option.text });
    return true;
  }

  private choose(name: string): void {
    const pane = this.room.pane();
    const window = this.offered.get(name);
    if (window) pane.stage.change({ window: { ...window } });
    this.room.follow(pane);
  }

  private slide(): void {
    const pane = this.room.pane();
    const { lower, upper } = pane.stage.picture.range;
    const all = upper - lower + 1;
    const half = (all * 2 ** (2 - Number(this.contrast.value) / 25)) / 4;
    const centre = lower + all * (1 - Number(this.brightness.value) / 100);
    pane.stage.change({ window: { lower: centre - half, upper: centre + half } });
    this.room.follow(pane);
  }

  private tell(): void {
    const { stage } = this.room.pane();
    const { look, picture } = stage;
    const unit = (value: number): string => figure(value * picture.slope + picture.intercept);
    this.room.part("viewer-readout").textContent = this.room.words("readout", {
      lower: unit(look.window.lower),
      upper: unit(look.window.upper),
      zoom: Math.round(stage.scale() * 100),
    });
    const chosen = [...this.offered].find(
      ([, one]) => one.lower === look.window.lower && one.upper === look.window.upper,
    );
    this.choice.value = chosen?.[0] ?? "";
    const { lower, upper } = picture.range;
    const all = upper - lower + 1;
    const centre = (look.window.lower + look.window.upper) / 2;
    const half = (look.window.upper - look.window.lower) / 2;
    this.brightness.value = String(100 * (1 - (centre - lower) / all));
    this.contrast.value = String(25 * (2 - Math.log2((half * 4) / all)));
  }
}
