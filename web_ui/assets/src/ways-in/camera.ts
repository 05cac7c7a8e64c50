// A photo from the device's camera: seen before it is taken, looked at for sharpness and light,
// and taken again as often as somebody likes. Nothing of it is kept but the photo that is used.

import type { Flaw } from "./photo-quality";
import { flaws, levelsOf, measure } from "./photo-quality";

type Problem = "denied" | "none" | "busy";

const JPEG_QUALITY = 0.95;
// Enough for any model and for a person who looks closely at a film on a viewing box.
const WIDTH = 2560;
const HEIGHT = 1920;

function reason(error: unknown): Problem {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  return name === "NotFoundError" || name === "OverconstrainedError" ? "none" : "busy";
}

/** What is amiss with a photo that came as a file. */
export async function flawsOf(file: File): Promise<Flaw[]> {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return [];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { levels, width } = levelsOf(canvas);
  return flaws(measure(levels, width));
}

/** The dialog with the camera's picture. */
export class Camera {
  private readonly words: Record<string, string>;
  private readonly video: HTMLVideoElement;
  private readonly photo: HTMLCanvasElement;
  private readonly which: HTMLSelectElement;
  private stream: MediaStream | null = null;
  /** Told apart from what began before the dialog was closed or the camera changed. */
  private turn = 0;

  /**
   * @param dialog the dialog of the page.
   * @param use takes the photo.
   * @param instead opens the device's own way to take or choose a photo.
   */
  constructor(
    private readonly dialog: HTMLDialogElement,
    private readonly use: (photo: File) => void,
    instead: () => void,
  ) {
    this.words = JSON.parse(dialog.dataset["words"] ?? "{}") as Record<string, string>;
    this.video = this.part("video");
    this.photo = this.part("photo");
    this.which = this.part("which");
    this.part("close").addEventListener("click", () => dialog.close());
    this.part("shutter").addEventListener("click", () => this.take());
    this.part("retake").addEventListener("click", () => this.retake());
    this.part("use").addEventListener("click", () => this.hand());
    this.part("instead").addEventListener("click", () => {
      dialog.close();
      instead();
    });
    this.which.addEventListener("change", () => void this.begin(this.which.value));
    this.video.addEventListener("loadeddata", () => this.ready(true));
    dialog.addEventListener("close", () => this.end());
  }

  open(): void {
    this.show("live");
    this.dialog.showModal();
    void this.begin("");
  }

  private async begin(device: string): Promise<void> {
    this.release();
    this.turn += 1;
    const { turn } = this;
    this.show("live");
    this.ready(false);
    this.say(this.words["starting"] ?? "");
    const wish: MediaTrackConstraints = { width: { ideal: WIDTH }, height: { ideal: HEIGHT } };
    if (device) wish.deviceId = { exact: device };
    // The camera that looks away from the person.
    else wish.facingMode = { ideal: "environment" };
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
    } catch (error) {
      if (turn === this.turn) this.fail(reason(error));
      return;
    }
    if (turn !== this.turn || !this.dialog.open) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.stream = stream;
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => turn === this.turn && this.fail("busy"));
    }
    // Never mirrored: left and right of a film have a meaning.
    this.video.srcObject = stream;
    await this.video.play().catch(() => undefined);
    await this.offer();
  }

  /** The cameras have names only after one of them was allowed. */
  private async offer(): Promise<void> {
    const all = await navigator.mediaDevices.enumerateDevices();
    const cameras = all.filter((one) => one.kind === "videoinput");
    const used = this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
    this.which.replaceChildren(
      ...cameras.map(
        (one, at) =>
          new Option(
            one.label || `${this.words["camera"] ?? ""} ${at + 1}`,
            one.deviceId,
            false,
            one.deviceId === used,
          ),
      ),
    );
    this.part("choice").hidden = cameras.length < 2;
  }

  private take(): void {
    if (!this.video.videoWidth) return;
    [this.photo.width, this.photo.height] = [this.video.videoWidth, this.video.videoHeight];
    this.photo.getContext("2d")?.drawImage(this.video, 0, 0);
    this.video.pause();
    const { levels, width } = levelsOf(this.photo);
    const found = flaws(measure(levels, width));
    this.show("taken");
    this.say(found.map((flaw) => this.words[flaw] ?? "").join(" ") || (this.words["fine"] ?? ""));
    this.dialog.dataset["verdict"] = found.length ? "doubtful" : "fine";
    // Whoever is advised to take it again need not look for the button.
    this.part(found.length ? "retake" : "use").focus();
  }

  private retake(): void {
    this.show("live");
    this.say(this.words["hint"] ?? "");
    void this.video.play().catch(() => undefined);
    this.part("shutter").focus();
  }

  private hand(): void {
    this.photo.toBlob(
      (blob) => {
        this.dialog.close();
        if (blob) this.use(new File([blob], "photo.jpg", { type: blob.type }));
      },
      "image/jpeg",
      JPEG_QUALITY,
    );
  }

  private fail(problem: Problem): void {
    this.release();
    this.show("failed");
    this.say(this.words[problem] ?? "");
    this.part("instead").focus();
  }

  private ready(ready: boolean): void {
    const shutter = this.part<HTMLButtonElement>("shutter");
    shutter.disabled = !ready;
    if (!ready) return;
    this.say(this.words["hint"] ?? "");
    // A dialog opens with its first button focused, which is the one that closes it.
    const { activeElement } = document;
    const untouched = activeElement === this.dialog || activeElement === this.part("close");
    if (untouched || !this.dialog.contains(activeElement)) shutter.focus();
  }

  private show(state: "live" | "taken" | "failed"): void {
    this.dialog.dataset["state"] = state;
    delete this.dialog.dataset["verdict"];
    this.video.hidden = state !== "live";
    this.photo.hidden = state !== "taken";
    this.part("frame").hidden = state === "failed";
    this.part("shutter").hidden = state !== "live";
    this.part("retake").hidden = state !== "taken";
    this.part("use").hidden = state !== "taken";
    this.part("instead").hidden = state !== "failed";
    if (state !== "live") this.part("choice").hidden = true;
    else this.part("choice").hidden = this.which.options.length < 2;
  }

  private say(words: string): void {
    this.part("said").textContent = words;
  }

  private release(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  private end(): void {
    this.turn += 1;
    this.release();
    // No photo stays behind for the next person at this screen.
    [this.photo.width, this.photo.height] = [0, 0];
    this.say("");
  }

  private part<T extends HTMLElement = HTMLElement>(name: string): T {
    const found = this.dialog.querySelector<T>(`[data-camera-${name}]`);
    if (!found) throw new Error(`the camera's dialog has no ${name}`);
    return found;
  }
}
