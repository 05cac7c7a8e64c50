// Small helps on every page; each page is whole without them.

const dark = matchMedia("(prefers-color-scheme: dark)");

function shownTheme(): "dark" | "light" {
  const chosen = document.documentElement.dataset["bsTheme"];
  if (chosen === "dark" || chosen === "light") return chosen;
  return dark.matches ? "dark" : "light";
}

/** The button that turns the theme; it stays hidden where scripts do not run. */
export function themeButton(): void {
  const button = document.querySelector<HTMLButtonElement>("[data-theme-button]");
  const label = button?.querySelector<HTMLElement>("[data-theme-label]");
  if (!button || !label) return;
  const say = (): void => {
    const words = shownTheme() === "dark" ? button.dataset["toLight"] : button.dataset["toDark"];
    label.textContent = words ?? "";
    button.title = words ?? "";
  };
  button.addEventListener("click", () => {
    const next = shownTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset["bsTheme"] = next;
    try {
      localStorage.setItem("sightline-theme", next);
    } catch {
      // The choice then lasts for this page only.
    }
    say();
  });
  dark.addEventListener("change", say);
  say();
  button.hidden = false;
}

/** Times are written in UTC by the server and shown in the reader's zone. */
export function localTimes(within: ParentNode): void {
  const language = document.documentElement.lang;
  // The day before the month, as the server writes it.
  const format = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, {
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hour12: false,
  });
  for (const time of within.querySelectorAll<HTMLTimeElement>("time[data-local]")) {
    const utc = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
    time.title = utc ?? "";
    time.removeAttribute("data-local");
  }
}

/** A kept image has a retention time: say so where it has passed. */
export function keptImages(): void {
  for (const image of document.querySelectorAll<HTMLImageElement>("[data-kept-image]")) {
    const gone = image.parentElement?.querySelector<HTMLElement>("[data-kept-image-gone]");
    const swap = (): void => {
      image.hidden = true;
      if (gone) gone.hidden = false;
    };
    if (image.complete && image.naturalWidth === 0) swap();
    else image.addEventListener("error", swap);
  }
}
