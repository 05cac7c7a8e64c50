// The page of a batch follows what becomes of it. Without this script it is looked at again by hand.

import htmx from "htmx.org";

const EVERY_MS = 2000;
const SAID_EVERY_MS = 10_000;

let begun = false;

function region(): HTMLElement | null {
  return document.querySelector<HTMLElement>("[data-live]");
}

/** Follow the batch that the page shows, until it is over. Once a page. */
export function live(): void {
  if (begun || !region()) return;
  begun = true;
  let source: EventSource | null = null;
  let timer = 0;
  let looked = 0;
  let saidAt = 0;

  const refresh = (): void => {
    timer = 0;
    looked = Date.now();
    const address = region()?.dataset["live"];
    if (!address) return;
    void htmx.ajax("get", address, {
      target: "#batch-live",
      select: "#batch-live",
      swap: "outerHTML",
    });
  };
  const told = (event: MessageEvent<string>): void => {
    // As it is shown already.
    const known = region()?.dataset["told"];
    if (!known || same(known, event.data) || timer) return;
    timer = window.setTimeout(refresh, Math.max(0, looked + EVERY_MS - Date.now()));
  };
  const over = (): boolean => region()?.dataset["over"] === "yes";
  // A page that nobody looks at holds no connection.
  const follow = (): void => {
    if (document.hidden || over()) {
      source?.close();
      source = null;
    } else if (!source) {
      source = new EventSource(`${region()?.dataset["live"] ?? ""}/events`);
      source.addEventListener("batch", told);
    }
  };
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", () => source?.close());
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if ((event.target as Element | null)?.id !== "batch-live") return;
    follow();
    if (!over() && Date.now() - saidAt < SAID_EVERY_MS) return;
    saidAt = Date.now();
    const status = document.querySelector("[data-live-status]");
    if (status) status.textContent = region()?.dataset["says"] ?? "";
  });
  document.body.addEventListener("sightline:batch", refresh);
  follow();
}

/** Whether two sayings are of the same figures, however they are written. */
function same(one: string, other: string): boolean {
  const flat = (said: string): string => {
    const { state, counts } = JSON.parse(said) as {
      state: string;
      counts: Record<string, number>;
    };
    return [state, ...Object.entries(counts).sort().flat()].join(" ");
  };
  return flat(one) === flat(other);
}
