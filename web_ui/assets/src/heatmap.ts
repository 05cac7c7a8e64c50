// Lays the heatmap of a class over the image. Without this script each heatmap is a plain link.

import { onKey } from "./keys";

function part<T extends Element>(of: ParentNode, name: string): T | null {
  return of.querySelector<T>(`[data-${name}]`);
}

interface Made {
  url: string;
  empty: boolean;
}

/** The picture of a heatmap, and whether anything is on it: in some images nothing speaks for it. */
async function ask(address: string): Promise<Made> {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const maximum = answer.headers.get("sightline-heatmap-maximum");
  return {
    url: URL.createObjectURL(await answer.blob()),
    empty: maximum !== null && Number(maximum) === 0,
  };
}

/** Brings the heatmaps of a reading's page to life. */
export function heatmaps(): void {
  const film = document.querySelector<HTMLElement>("[data-heatmaps]");
  const controls = document.querySelector<HTMLElement>("[data-heatmap-controls]");
  if (!film || !controls) return;
  const layer = part<SVGSVGElement>(film, "layer");
  const picture = part<SVGImageElement>(film, "picture");
  const turn = part<HTMLButtonElement>(controls, "switch");
  const opacity = part<HTMLInputElement>(controls, "opacity");
  const status = part<HTMLElement>(controls, "heatmap-status");
  const classes = [...controls.querySelectorAll<HTMLInputElement>("[data-class]")];
  if (!layer || !picture || !turn || !opacity || !status) return;

  let on = false;
  const chosen = (): HTMLInputElement | undefined => classes.find((one) => one.checked);
  const say = (words: string): void => {
    status.textContent = words;
  };
  const name = (): string => chosen()?.labels?.[0]?.textContent?.trim() ?? "";
  const made = new Map<string, Made>();

  const show = async (): Promise<void> => {
    turn.setAttribute("aria-pressed", String(on));
    layer.toggleAttribute("hidden", !on);
    const address = chosen()?.value;
    if (!on || !address) {
      say(status.dataset["off"] ?? "");
      return;
    }
    let found = made.get(address);
    if (!found) {
      // Made when it is first asked for: most readings are looked at without one.
      picture.removeAttribute("href");
      say(status.dataset["wait"] ?? "");
      try {
        found = await ask(address);
        made.set(address, found);
      } catch {
        // Nothing is kept of a failure, so that pressing again asks again.
        if (on && chosen()?.value === address) say(status.dataset["failed"] ?? "");
        return;
      }
      // Another class was chosen meanwhile, or the heatmap turned off.
      if (!on || chosen()?.value !== address) return;
    }
    picture.setAttribute("href", found.url);
    say((status.dataset[found.empty ? "nothing" : "on"] ?? "").replace("{value}", name()));
  };

  const toggle = (): void => {
    on = !on;
    void show();
  };
  turn.addEventListener("click", toggle);
  for (const one of classes) {
    one.addEventListener("change", () => {
      on = true;
      void show();
    });
  }
  const thicken = (): void => layer.setAttribute("opacity", String(Number(opacity.value) / 100));
  opacity.addEventListener("input", thicken);
  thicken();

  // Space turns it on and off wherever nothing else takes it: buttons and choices keep theirs.
  onKey("heatmap", (event) => {
    const at = event.target;
    if (event.repeat || !(at instanceof Element)) return false;
    const other = at.closest("input") !== null && at !== opacity;
    if (other || (!film.contains(at) && !controls.contains(at) && at !== document.body)) return false;
    toggle();
    return true;
  });
}
