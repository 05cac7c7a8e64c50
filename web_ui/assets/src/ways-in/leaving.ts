// Whoever leaves while images are on their way is asked first.

const underWay = new Set<string>();

function ask(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

/** Leaving is asked about from here on, until `letGo` with the same name. */
export function hold(what: string): void {
  underWay.add(what);
  addEventListener("beforeunload", ask);
}

/** Nothing of this name is on its way any more. */
export function letGo(what: string): void {
  underWay.delete(what);
  // A listener alone keeps a browser from showing the page again at once on the way back.
  if (underWay.size === 0) removeEventListener("beforeunload", ask);
}
