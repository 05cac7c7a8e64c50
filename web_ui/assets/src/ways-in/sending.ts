// One image on its way: sent with its progress, answered with data, and never twice by mistake.

/** What came back; status 0: nothing, because the connection was lost or took too long. */
export interface Answer {
  status: number;
  body: Record<string, unknown>;
  /** Seconds until it may be tried again, where the answer said so. */
  after: number | null;
}

export const KEY_HEADER = "Idempotency-Key";

// Longer than a slow upload and a reading's own limit together.
const LONGEST_MS = 120_000;

/** A name for one sending (a UUID of version 4); sent again under it, no second reading is made. */
export function sendingKey(): string {
  // `crypto.randomUUID` is missing where the page came over plain HTTP through a network.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function parsed(text: string): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  } catch {
    // The proxy's own answers are pages.
    return {};
  }
}

/** Post a form; `progress` hears how much of it has gone, 0 to 1. */
export function send(
  address: string,
  form: FormData,
  key: string | null,
  progress: (share: number) => void,
  stop: AbortSignal,
): Promise<Answer> {
  return post(address, form, key ? { [KEY_HEADER]: key } : {}, progress, stop);
}

/** Post anything, with headers of its own; `longest` is how long it may take, 0: as long as it does. */
export function post(
  address: string,
  body: XMLHttpRequestBodyInit | null,
  headers: Readonly<Record<string, string>>,
  progress: (share: number) => void,
  stop: AbortSignal,
  longest = LONGEST_MS,
): Promise<Answer> {
  return new Promise((resolve) => {
    const lost = (): void => resolve({ status: 0, body: {}, after: null });
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.timeout = longest;
    request.setRequestHeader("accept", "application/json");
    // Whose session has ended is then told so, and not led to a page.
    request.setRequestHeader("hx-request", "true");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) progress(event.loaded / event.total);
    };
    request.onload = () => {
      const seconds = Number(request.getResponseHeader("retry-after") ?? "");
      resolve({
        status: request.status,
        body: parsed(request.responseText),
        after: seconds > 0 ? seconds : null,
      });
    };
    request.onerror = lost;
    request.ontimeout = lost;
    request.onabort = lost;
    stop.addEventListener("abort", () => request.abort(), { once: true });
    if (stop.aborted) lost();
    else request.send(body);
  });
}
