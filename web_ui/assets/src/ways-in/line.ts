// Many things to do, a few at a time, with patience where the service asks for it.

/** What became of one try: finished, or to be tried again after so many seconds (null: soon). */
export type Try = "finished" | { again: true; after: number | null };

/** What the line tells of its things. */
export interface Hooks<T> {
  /** A thing waits for its next try, which begins in so many seconds. */
  waiting(thing: T, seconds: number): void;
  /** A thing was tried as often as makes sense, while others went through. */
  givenUp(thing: T): void;
}

const AT_ONCE = 2;
const MOST_TRIES = 6;
// Waits of 1, 2, 4, 8, 16 and 30 seconds: who has not answered after a minute is not there.
const MOST_WAVES = 7;
const LONGEST_WAIT = 30;
const LONGEST_ASKED_FOR = 300;

/** Seconds to wait after so many failures in a row: what was asked for, and longer each time. */
export function patience(failures: number, after: number | null): number {
  const own = Math.min(2 ** (failures - 1), LONGEST_WAIT);
  return Math.min(Math.max(after ?? 1, failures > 1 ? own : 0), LONGEST_ASKED_FOR);
}

function sleep(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Try each thing until it is finished or given up.
 *
 * Resolves to true when all are; to false when it was stopped, or when nothing goes through any
 * more: what is left then waits for somebody to begin again.
 */
export async function inLine<T>(
  things: readonly T[],
  attempt: (thing: T) => Promise<Try>,
  hooks: Hooks<T>,
  stop: AbortSignal,
  atOnce = AT_ONCE,
): Promise<boolean> {
  const left = [...things];
  const tries = new Map<T, number>();
  // A service that is busy for one is busy for all: everybody waits, and failures of one moment
  // count as one.
  let quietUntil = 0;
  let failures = 0;
  const over = (): boolean => stop.aborted || failures >= MOST_WAVES;
  const worker = async (): Promise<void> => {
    while (!over()) {
      const pause = quietUntil - Date.now();
      if (pause > 0) {
        await sleep(pause, stop);
        continue;
      }
      const thing = left.shift();
      if (thing === undefined) return;
      const outcome = await attempt(thing);
      if (stop.aborted) return;
      if (outcome === "finished") {
        failures = 0;
        continue;
      }
      if (Date.now() >= quietUntil) failures += 1;
      const tried = (tries.get(thing) ?? 0) + 1;
      tries.set(thing, tried);
      if (tried >= MOST_TRIES) {
        hooks.givenUp(thing);
        continue;
      }
      const seconds = patience(failures, outcome.after);
      // A little of chance keeps two browsers from knocking at the same moment for ever.
      quietUntil = Math.max(quietUntil, Date.now() + seconds * (1 + Math.random() / 5) * 1000);
      left.push(thing);
      hooks.waiting(thing, seconds);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return !over();
}
