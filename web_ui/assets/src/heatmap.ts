// Lays the heatmap of a class over the image. Without this script each heatmap is a plain link.

function part<T extends Element>(of: ParentNode, name: string): T | null {
  return of.querySelector<T>(`[data-${name}]`);
}

/** Brings the heatmaps of a reading's page to life. */
export function heatmaps(): void {
  const film = document.querySelector<HTMLElement>("[data-heatmaps]");
  const controls = document.querySelector<HTMLElement>("[data-heatmap-controls]");
  if (!film || !controls) return;
  const layer = part<SVGSVGElement>(film, "layer");
  const picture = part<SVGImageElement>(film, "picture");
  const frame = part<HTMLElement>(film, "film");
  const turn = part<HTMLButtonElement>(controls, "switch");
  const opacity = part<HTMLInputElement>(controls, "opacity");
  const status = part<HTMLElement>(controls, "heatmap-status");
  const classes = [...controls.querySelectorAll<HTMLInputElement>("[data-class]")];
  if (!layer || !picture || !frame || !turn || !opacity || !status) return;

  let on = false;
  const chosen = (): HTMLInputElement | undefined => classes.find((one) => one.checked);
  const say = (words: string): void => {
    status.textContent = words;
  };
  const sayShown = (): void => {
    say(`${status.dataset["on"] ?? ""}${chosen()?.labels?.[0]?.textContent?.trim() ?? ""}.`);
  };

  const show = (): void => {
    turn.setAttribute("aria-pressed", String(on));
    layer.toggleAttribute("hidden", !on);
    const address = chosen()?.value;
    if (!on || !address) {
      say(status.dataset["off"] ?? "");
    } else if (picture.getAttribute("href") === address) {
      sayShown();
    } else {
      // Made when it is first asked for: most readings are looked at without one.
      say(status.dataset["wait"] ?? "");
      picture.setAttribute("href", address);
    }
  };

  picture.addEventListener("load", () => {
    if (on) sayShown();
  });
  picture.addEventListener("error", () => {
    say(status.dataset["failed"] ?? "");
    // So that pressing again asks again.
    picture.removeAttribute("href");
  });

  const toggle = (): void => {
    on = !on;
    show();
  };
  turn.addEventListener("click", toggle);
  for (const one of classes) {
    one.addEventListener("change", () => {
      on = true;
      show();
    });
  }
  const thicken = (): void => layer.setAttribute("opacity", String(Number(opacity.value) / 100));
  opacity.addEventListener("input", thicken);
  thicken();

  // Space turns it on and off wherever nothing else takes it: buttons and choices keep theirs.
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (!(at instanceof Element)) return;
    const own = at.closest("button, input, select, textarea, summary, [contenteditable]");
    if (own && own !== opacity) return;
    if (!frame.contains(at) && !controls.contains(at) && at !== document.body) return;
    event.preventDefault();
    toggle();
  });
}
