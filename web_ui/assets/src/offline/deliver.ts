// Sends what waits, one after the other, each under its own key: however often an image is sent,
// there is one reading of it.

import { put, queue, type Sent, type Waiting } from "./store";

/** Who is signed in, as the service says. */
export interface Session {
  person: string;
  token: string;
}

/** How a round of sending ended. */
export type Outcome = "done" | "no network" | "signed out" | { later: number };

const AGAIN = 15;

async function send(item: Waiting, session: Session): Promise<Response> {
  const form = new FormData();
  // The file's own name may be a patient's; none is sent.
  form.append("image", new Blob([item.image ?? new ArrayBuffer(0)], { type: item.type }), "image");
  return fetch(`/offline/readings/${item.disease}`, {
    method: "POST",
    body: form,
    credentials: "same-origin",
    redirect: "error",
    headers: { "x-csrf-token": session.token, "idempotency-key": item.id },
  });
}

async function said(answer: Response): Promise<string | null> {
  try {
    const problem = (await answer.json()) as { detail?: string; remedy?: string };
    return [problem.detail, problem.remedy].filter(Boolean).join(" ") || null;
  } catch {
    return null;
  }
}

/** One round over the queue; `changed` is called after each step that is written down. */
async function round(session: Session, changed: () => Promise<void>): Promise<Outcome> {
  for (const item of await queue()) {
    if (item.state !== "waiting" || (item.person ?? session.person) !== session.person) continue;
    let answer: Response;
    let sent: Sent | undefined;
    try {
      answer = await send(item, session);
      // An answer that is cut off is none: the image stays, and goes again under the same key.
      if (answer.ok) sent = (await answer.json()) as Sent;
    } catch {
      return "no network";
    }
    if (answer.status === 401 || answer.status === 403) return "signed out";
    const after = Number(answer.headers.get("retry-after"));
    if (sent) {
      await put({ ...item, person: session.person, image: null, state: "sent", problem: null, sent });
    } else if (answer.status >= 500 || answer.status === 429 || after) {
      return { later: after || AGAIN };
    } else {
      // Nothing but a person's hand takes a refused image away; without a live model it still waits.
      const state = answer.status === 409 ? "waiting" : "refused";
      await put({ ...item, person: session.person, state, problem: await said(answer) });
    }
    await changed();
  }
  return "done";
}

/** Send what waits, unless another window of this browser is at it. */
export async function deliver(session: Session, changed: () => Promise<void>): Promise<Outcome> {
  const found: Outcome | null = await navigator.locks.request(
    "sightline-send",
    { ifAvailable: true },
    async (lock) => (lock ? round(session, changed) : null),
  );
  return found ?? { later: AGAIN };
}
