// The explanations of words. They show on hover and focus by the stylesheet alone; this lets Escape
// put one away, a finger open it, and keeps it inside the window.

/** Brings the explained words of a page to life, those that come later included. */
export function terms(): void {
  const of = (event: Event): HTMLElement | null =>
    event.target instanceof Element ? event.target.closest<HTMLElement>("[data-term]") : null;

  const place = (term: HTMLElement): void => {
    const text = term.querySelector<HTMLElement>(".term-text");
    if (!text) return;
    term.classList.remove("term-end", "term-above");
    const box = text.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    term.classList.toggle("term-end", box.right > width - 8 || box.left < 8);
    const line = document.querySelector(".colophon")?.getBoundingClientRect().top ?? innerHeight;
    term.classList.toggle("term-above", box.bottom > line && box.height < term.getBoundingClientRect().top);
  };

  const open = (event: Event): void => {
    const term = of(event);
    if (term) place(term);
  };
  document.addEventListener("pointerover", open);
  document.addEventListener("focusin", open);
  document.addEventListener("click", (event) => {
    const term = of(event);
    for (const other of document.querySelectorAll(".term-open")) {
      if (other !== term) other.classList.remove("term-open");
    }
    if (!term) return;
    term.classList.remove("term-closed");
    term.classList.add("term-open");
    place(term);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const term of document.querySelectorAll("[data-term]:hover, [data-term]:focus-within, .term-open")) {
      term.classList.remove("term-open");
      term.classList.add("term-closed");
    }
  });
  // What was put away comes back when it is asked for anew.
  const renew = (event: Event): void => of(event)?.classList.remove("term-closed", "term-open");
  document.addEventListener("focusout", renew);
  document.addEventListener("pointerout", (event) => {
    const term = of(event);
    if (term && !(event.relatedTarget instanceof Node && term.contains(event.relatedTarget))) renew(event);
  });
}
