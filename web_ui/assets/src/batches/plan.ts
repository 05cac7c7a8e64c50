// Which files are still to be sent, and under which numbers: what has arrived is not sent twice.

import type { Chosen } from "../ways-in/files";

/** A file that has arrived, as the page tells it. */
export interface Arrived {
  number: number;
  name: string;
  size: number;
  /** SHA-256 with its prefix; null where the file was not taken in. */
  digest: string | null;
}

export interface Numbered {
  chosen: Chosen;
  number: number;
}

export interface Plan {
  missing: Numbered[];
  /** Files that are there already. */
  there: number;
  /** The first number that nothing has. */
  next: number;
}

/** `sha256:…` of a file, null where the page came over plain HTTP through a network. */
export async function digestOf(file: File): Promise<string | null> {
  const subtle = (crypto as Partial<Crypto>).subtle;
  if (!subtle) return null;
  const bytes = new Uint8Array(await subtle.digest("SHA-256", await file.arrayBuffer()));
  return `sha256:${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Compare what was chosen with what has arrived, by name, size and content. */
export async function plan(
  chosen: readonly Chosen[],
  arrived: readonly Arrived[],
  digest: (file: File) => Promise<string | null> = digestOf,
): Promise<Plan> {
  const byName = new Map<string, Arrived[]>();
  let next = 0;
  for (const one of arrived) {
    byName.set(one.name, [...(byName.get(one.name) ?? []), one]);
    next = Math.max(next, one.number + 1);
  }
  const missing: Numbered[] = [];
  let there = 0;
  const sorted = [...chosen].sort((one, other) =>
    one.name.localeCompare(other.name, undefined, { numeric: true }),
  );
  for (const one of sorted) {
    const alike = (byName.get(one.name) ?? []).filter(({ size }) => size === one.file.size);
    const own = alike.length ? await digest(one.file) : null;
    const same = alike.find((other) => own === null || other.digest === own);
    if (!same) {
      missing.push({ chosen: one, number: next });
      next += 1;
    } else if (own === null) {
      // Its content cannot be compared here: it is sent again under the number that it had, and
      // the service tells whether it is the same.
      missing.push({ chosen: one, number: same.number });
    } else {
      there += 1;
    }
  }
  return { missing, there, next };
}
