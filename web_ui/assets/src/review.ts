// The keys of a reading's page. Each does what a button or a link of the page does, which is looked
// up when it is pressed, because a review brings the form anew.
import { onKey } from "./keys";

/** How long what was done is told for the eye; it stands in the list of reviews as well. */
const TOLD_MS = 8000;

function press(name: string, selector: string): void {
  if (!document.querySelector(selector)) return;
  onKey(name, () => {
    const found = document.querySelector<HTMLElement>(selector);
    if (!found) return false;
    found.click();
    return;
  });
}

/** Opens the correction and leads to the class, which only the clinician can choose. */
function correcting(): void {
  if (!document.querySelector("[data-correct]")) return;
  onKey("review.correct", () => {
    const part = document.querySelector<HTMLDetailsElement>("[data-correct]");
    if (!part) return false;
    part.open = true;
    part.querySelector<HTMLElement>("select")?.focus();
    return;
  });
}

/** Brings the keys of a reading's page to life. */
export function reviewing(): void {
  press("reading.next", "[data-step=next]");
  press("reading.previous", "[data-step=previous]");
  press("review.agree", "[data-review] [value=agree]");
  press("review.disagree", "[data-review] [value=disagree]");
  correcting();
  const said = document.getElementById("reading-said");
  if (!said) return;
  let waiting = 0;
  const fade = (): void => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => said.replaceChildren(), TOLD_MS);
  };
  document.body.addEventListener("htmx:afterSettle", fade);
  if (said.textContent) fade();
}
