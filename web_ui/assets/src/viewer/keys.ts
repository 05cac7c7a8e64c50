// The keys of the viewer, once: what listens to them and what lists them read this table.

/** `does` is the name by which the page has words for it. */
export interface Key {
  key: string;
  does: string;
}

export const TOOL_KEYS: readonly Key[] = [
  { key: "w", does: "window" },
  { key: "m", does: "move" },
  { key: "z", does: "zoom" },
  { key: "g", does: "magnify" },
  { key: "l", does: "length" },
];

export const ACTION_KEYS: readonly Key[] = [
  { key: "+", does: "in" },
  { key: "-", does: "out" },
  { key: "r", does: "turn" },
  { key: "R", does: "turn-back" },
  { key: "i", does: "invert" },
  { key: "s", does: "beside" },
  { key: "0", does: "reset" },
];

/** The windows, in the order of the page's choice: 1 is the first. */
export const PRESET_KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"] as const;

/** Whether a key that was pressed is the page's to use: not one that is typed or held. */
export function ours(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  const at = event.target;
  if (!(at instanceof Element)) return false;
  return at.closest("input:not([type=range], [type=radio]), select, textarea, dialog, [contenteditable]") === null;
}
