// Sets the theme that was chosen here before, ahead of the first paint. Without a choice (and
// without scripts) the stylesheet follows the system. Loaded as a plain script: imports nothing.
{
  const root = document.documentElement;
  root.classList.add("with-js");
  try {
    const chosen = localStorage.getItem("sightline-theme");
    if (chosen === "dark" || chosen === "light") root.dataset["bsTheme"] = chosen;
  } catch {
    // Storage may be closed to us; the system's theme is then the theme.
  }
}
export {};
