// The short tour of the start page: offered once on a browser, never in the way, and on its way
// beside what it speaks of. Without this script there is none, and the about page tells the same.

const KEPT = "sightline-tour";

function had(): boolean {
  try {
    return localStorage.getItem(KEPT) !== null;
  } catch {
    // Where nothing can be remembered it would be offered for ever.
    return true;
  }
}

function remember(): void {
  try {
    localStorage.setItem(KEPT, "had");
  } catch {
    // It is then offered again.
  }
}

/** The element that a step speaks of, if this reader's page has it. */
function target(step: HTMLElement): HTMLElement | null {
  return document.querySelector<HTMLElement>(step.dataset["step"] ?? "");
}

/** Offers the tour to who never had it; the address `#tour` starts it for anybody. */
export function tour(): void {
  const panel = document.querySelector<HTMLElement>("[data-tour]");
  const offer = panel?.querySelector<HTMLElement>("[data-tour-offer]");
  const way = panel?.querySelector<HTMLElement>("[data-tour-way]");
  const count = panel?.querySelector<HTMLElement>("[data-tour-count]");
  const back = panel?.querySelector<HTMLButtonElement>("[data-tour-back]");
  const next = panel?.querySelector<HTMLButtonElement>("[data-tour-next]");
  if (!panel || !offer || !way || !count || !back || !next) return;
  const steps = [...way.querySelectorAll<HTMLElement>("[data-step]")].filter(target);
  let at = 0;

  const unmark = (): void => {
    for (const one of document.querySelectorAll(".tour-target")) one.classList.remove("tour-target");
  };

  const close = (): void => {
    remember();
    unmark();
    const held = panel.contains(document.activeElement);
    panel.hidden = true;
    if (held) document.getElementById("main")?.focus({ preventScroll: true });
  };

  const show = (): void => {
    const step = steps[at];
    if (!step) return;
    for (const one of way.querySelectorAll<HTMLElement>("[data-step]")) one.hidden = one !== step;
    count.textContent = (count.dataset["words"] ?? "")
      .replace("{step}", String(at + 1))
      .replace("{all}", String(steps.length));
    back.hidden = at === 0;
    next.textContent = (at + 1 < steps.length ? next.dataset["next"] : next.dataset["done"]) ?? "";
    unmark();
    const of = target(step);
    of?.classList.add("tour-target");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    of?.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
    step.querySelector<HTMLElement>(".tour-head")?.focus({ preventScroll: true });
  };

  const start = (): void => {
    remember();
    panel.hidden = false;
    offer.hidden = true;
    way.hidden = false;
    panel.classList.add("tour-going");
    at = 0;
    show();
  };

  panel.querySelector("[data-tour-start]")?.addEventListener("click", start);
  for (const button of panel.querySelectorAll("[data-tour-close]")) button.addEventListener("click", close);
  back.addEventListener("click", () => {
    at = Math.max(0, at - 1);
    show();
  });
  next.addEventListener("click", () => {
    if (at + 1 >= steps.length) return close();
    at += 1;
    show();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  if (location.hash === "#tour") start();
  else panel.hidden = had();
}
