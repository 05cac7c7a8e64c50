// A link that opens the same reading, put on the clipboard. Without scripts the button is not there.

/** The button of a reading's page that copies its address. */
export function copyLink(): void {
  const button = document.querySelector<HTMLButtonElement>("[data-copy-link]");
  const status = document.querySelector<HTMLElement>("[data-copy-status]");
  const path = button?.dataset["copyLink"];
  // Browsers have a clipboard on HTTPS and on this machine alone.
  if (!button || !status || path === undefined || !navigator.clipboard) return;
  button.addEventListener("click", async () => {
    status.textContent = "";
    try {
      await navigator.clipboard.writeText(new URL(path, location.href).href);
      status.textContent = button.dataset["copied"] ?? "";
    } catch {
      status.textContent = button.dataset["notCopied"] ?? "";
    }
  });
  button.hidden = false;
}
