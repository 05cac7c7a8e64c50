// The worklist: searched as one types, walked through with the arrow keys, and told of new readings
// without moving under the reader's eyes. Without this script the form posts and the links lead on.
import htmx from "htmx.org";
import { localTimes } from "./controls";
import { onKey } from "./keys";

const OPENED = "sightline-worklist-row";

function links(): HTMLAnchorElement[] {
  return [...document.querySelectorAll<HTMLAnchorElement>("[data-rows] [data-row-link]")];
}

function idOf(link: Element | null): string {
  return link?.closest<HTMLElement>("[data-reading]")?.dataset["reading"] ?? "";
}

/** Which row was opened last, so that coming back begins there. */
function opened(): string {
  try {
    return sessionStorage.getItem(OPENED) ?? "";
  } catch {
    return "";
  }
}

function remember(id: string): void {
  try {
    sessionStorage.setItem(OPENED, id);
  } catch {
    // Coming back then begins at the top.
  }
}

function rowKeys(search: HTMLInputElement): void {
  const here = (): number => {
    const row = document.activeElement?.closest("[data-reading]");
    return row ? links().findIndex((link) => row.contains(link)) : -1;
  };
  const go = (to: number): boolean => {
    const all = links();
    const link = all[Math.max(0, Math.min(all.length - 1, to))];
    link?.focus();
    link?.closest("[data-reading]")?.scrollIntoView({ block: "nearest" });
    return link !== undefined;
  };
  /** Where to begin when no row has the focus: at the one that was opened last. */
  const begin = (): number => Math.max(0, links().findIndex((link) => idOf(link) === opened()));
  const inList = (): boolean => here() >= 0;

  onKey("list.down", () => go(inList() ? here() + 1 : begin()));
  onKey("list.up", () => {
    if (here() === 0) {
      search.focus();
      return true;
    }
    return go(inList() ? here() - 1 : begin());
  });
  onKey("list.first", () => inList() && go(0));
  onKey("list.last", () => inList() && go(links().length - 1));
  // A link opens by itself; elsewhere in a row, and where no row has the focus, nothing is opened.
  onKey("list.open", () => false);
  onKey("search", () => {
    search.focus();
    search.select();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && go(0)) event.preventDefault();
  });
}

/** Says how many readings came in since, and shows them when asked to. */
function live(bar: HTMLElement, form: HTMLFormElement): void {
  const fresh = new Set<string>();
  const address = new URL(bar.dataset["events"] ?? "", location.href);
  let source: EventSource | null = null;

  const show = (): void => {
    fresh.clear();
    bar.replaceChildren();
    const url = new URL(location.href);
    if (url.searchParams.has("cursor")) {
      // The new ones stand on the first page.
      url.searchParams.delete("cursor");
      url.searchParams.delete("trail");
      location.assign(url);
      return;
    }
    htmx.trigger(form, "submit");
    document.getElementById("main")?.focus({ preventScroll: true });
  };

  const say = (): void => {
    const words = fresh.size === 1 ? bar.dataset["one"] : bar.dataset["many"];
    const text = (words ?? "").replace("{n}", String(fresh.size));
    let button = bar.querySelector("button");
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-outline";
      button.addEventListener("click", show);
      bar.replaceChildren(button);
    }
    button.textContent = text;
  };
  onKey("list.new", () => {
    if (fresh.size === 0) return false;
    show();
    return true;
  });

  const told = (event: MessageEvent<string>): void => {
    if (event.lastEventId) address.searchParams.set("after", event.lastEventId);
    const { id, disease } = JSON.parse(event.data) as { id: string; disease: string };
    const wanted = new FormData(form).get("disease");
    if (wanted && wanted !== disease) return;
    if (document.querySelector(`[data-reading="${CSS.escape(id)}"]`)) return;
    fresh.add(id);
    say();
  };

  // A page that nobody looks at holds no connection; what came in meanwhile is told on coming back.
  const follow = (): void => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = new EventSource(address);
      source.addEventListener("prediction", told);
    }
  };
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", () => source?.close());
  follow();
}

/** A thumbnail that is gone leaves its dark place empty. */
function thumbnails(within: ParentNode): void {
  for (const image of within.querySelectorAll<HTMLImageElement>("[data-thumbnail]")) {
    const hide = (): void => {
      image.hidden = true;
    };
    if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") hide();
    else image.addEventListener("error", hide);
  }
}

/** Brings the worklist's page to life. */
export function worklist(): void {
  const form = document.querySelector<HTMLFormElement>("[data-worklist-form]");
  const bar = document.querySelector<HTMLElement>("[data-new]");
  const status = document.querySelector<HTMLElement>("[data-worklist-status]");
  const search = form?.querySelector<HTMLInputElement>("[type=search]");
  if (!form || !bar || !status || !search) return;

  rowKeys(search);
  thumbnails(document);
  live(bar, form);

  // What was typed is searched for already; leaving the field must not ask for it once more.
  search.addEventListener("change", (event) => event.stopPropagation());
  // An address without what was not chosen.
  form.addEventListener("htmx:configRequest", (event) => {
    const { parameters } = (event as CustomEvent<{ parameters: FormData }>).detail;
    const given = [...new FormData(form)];
    for (const [name, value] of given) if (value === "") parameters.delete(name);
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    const results = document.getElementById("worklist-results");
    if (!results) return;
    thumbnails(results);
    localTimes(results);
    status.textContent = results.dataset["says"] ?? "";
  });
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element) {
      const link = event.target.closest("[data-row-link]");
      if (link) remember(idOf(link));
    }
  });
  const [entry] = performance.getEntriesByType("navigation");
  if (entry instanceof PerformanceNavigationTiming && entry.type === "back_forward") {
    links().find((link) => idOf(link) === opened())?.focus();
  }
}
