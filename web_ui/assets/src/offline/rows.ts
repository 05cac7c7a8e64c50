// The rows of the page for work without a network, filled from its templates.

import type { Waiting } from "./store";

/** `97.3 %`, as the pages write it in every language: never a false 0 % or 100 %. */
function percent(value: number): string {
  const space = "\u00a0";
  if (value > 0 && value < 0.001) return `<${space}0.1${space}%`;
  if (value > 0.999 && value < 1) return `>${space}99.9${space}%`;
  return `${(value * 100).toFixed(1)}${space}%`;
}

/** A copy of a template's one element, with texts in the places of their names. */
export function fill(template: string, texts: Record<string, string>): HTMLElement {
  const source = document.querySelector<HTMLTemplateElement>(`template[data-${template}]`);
  const row = source?.content.firstElementChild?.cloneNode(true) as HTMLElement | undefined;
  if (!row) throw new Error(`the page has no template ${template}`);
  for (const [name, text] of Object.entries(texts)) {
    for (const place of row.querySelectorAll(`[data-${name}]`)) place.textContent = text;
  }
  return row;
}

interface Answer {
  band: string | null;
  probabilities: { id: string; name: string; probability: number }[];
}

/** `positive`, `uncertain`, `negative`, `plain`: as the reading's page chooses its mark. */
function tone(answer: Answer): string {
  if (answer.band === "likely_negative" && answer.probabilities.length > 2) return "plain";
  return answer.band ? answer.band.replace("likely_", "") : "plain";
}

function lead(answer: Answer, finding: string | null): { name: string; probability: number } {
  const sorted = [...answer.probabilities].sort((a, b) => b.probability - a.probability);
  const first = sorted[0] ?? { id: "", name: "", probability: 0 };
  return tone(answer) === "plain" ? first : (sorted.find((one) => one.id === finding) ?? first);
}

/** Shows the one child of a place that is meant for a state, and hides the others. */
function choose(row: HTMLElement, place: string, state: string): void {
  for (const child of row.querySelectorAll<HTMLElement>(`[data-${place}]`)) {
    child.hidden = child.dataset[place] !== state;
  }
}

function showAnswer(row: HTMLElement, item: Waiting, hidden: boolean): void {
  const { answer } = item;
  let state = "none";
  if (hidden) state = "hidden";
  else if (item.suitable === false) state = "not-judged";
  else if (answer) state = tone(answer);
  choose(row, "tone", state);
  const figures = row.querySelector<HTMLElement>("[data-figures]");
  if (!answer || hidden || !figures) return;
  figures.hidden = false;
  const said = lead(answer, item.finding);
  for (const place of row.querySelectorAll("[data-lead]")) place.textContent = said.name;
  const figure = row.querySelector("[data-figure]");
  if (figure) figure.textContent = percent(said.probability);
  const finding = answer.probabilities.find((one) => one.id === item.finding);
  const also = row.querySelector<HTMLElement>("[data-also]");
  if (also && finding && state === "plain") {
    also.hidden = false;
    for (const place of also.querySelectorAll("[data-finding]")) place.textContent = finding.name;
  }
  const top = [...answer.probabilities].sort((a, b) => b.probability - a.probability).slice(0, 3);
  row.querySelector("[data-top]")?.replaceChildren(
    ...top.map((one) => {
      const line = document.createElement("li");
      line.textContent = `${one.name} ${percent(one.probability)}`;
      return line;
    }),
  );
  const place = item.answer?.positive ? "positive" : "negative";
  choose(row, "point", item.answer?.positive === null ? "none" : place);
  const threshold = row.querySelectorAll("[data-threshold]");
  for (const one of threshold) one.textContent = percent(item.answer?.threshold ?? 0);
  row.querySelector("[data-check]")?.toggleAttribute("hidden", item.suitable !== null);
}

/** Both figures beside each other, once the service has answered. */
function compare(row: HTMLElement, item: Waiting, hidden: boolean): void {
  const { sent, answer } = item;
  const link = row.querySelector<HTMLAnchorElement>("[data-link]");
  if (!sent || !link) return;
  link.href = sent.address;
  const table = row.querySelector<HTMLElement>("[data-comparison]");
  const body = table?.querySelector("tbody");
  if (hidden || !table || !body) return;
  table.hidden = sent.outcome === "not_judged";
  const here = new Map(answer?.probabilities.map((one) => [one.id, one.probability]));
  const there = new Map(sent.probabilities.map((one) => [one.id, one.probability]));
  const names = new Map([...(answer?.probabilities ?? []), ...sent.probabilities].map((one) => [one.id, one.name]));
  body.replaceChildren(
    ...[...names].map(([id, name]) => {
      const line = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      const cells = [here.get(id), there.get(id)].map((value) => {
        const cell = document.createElement("td");
        cell.textContent = value === undefined ? "–" : percent(value);
        return cell;
      });
      line.append(head, ...cells);
      return line;
    }),
  );
  const apart = [...names.keys()].map((id) => Math.abs((here.get(id) ?? NaN) - (there.get(id) ?? NaN)));
  const most = Math.max(...apart);
  row.dataset["apart"] = String(most);
  let state = "alike";
  if (sent.outcome === "not_judged") state = "refused";
  else if (!answer) state = "only-there";
  else if (item.version !== sent.version) state = "other-version";
  else if (!(most <= 0.01)) state = "apart";
  choose(row, "verdict", state);
  const reason = row.querySelector("[data-reason]");
  if (reason) reason.textContent = sent.reason ?? "";
}

/** A reading of the queue. */
export function readingRow(
  item: Waiting,
  how: { foreign: boolean; hidden: boolean },
  remove: () => Promise<void>,
): HTMLElement {
  const hidden = how.hidden && item.state !== "sent";
  const moment = new Intl.DateTimeFormat(document.documentElement.lang, {
    dateStyle: "medium",
    timeStyle: "short",
  }).format(item.taken);
  const row = fill("reading-row", {
    disease: item.name,
    version: item.version ?? "",
    taken: moment,
    problem: item.problem ?? "",
  });
  row.id = `waiting-${item.id}`;
  row.dataset["key"] = item.id;
  row.dataset["at"] = how.foreign ? "foreign" : item.state;
  const unread = item.state === "waiting" && item.answer === null && item.suitable !== false;
  choose(row, "state", how.foreign ? "foreign" : unread ? "unread" : item.state);
  row.querySelector("[data-remove-item]")?.addEventListener("click", () => void remove());
  const deleting = row.querySelector<HTMLDialogElement>("dialog");
  const asking = row.querySelector("[data-delete]");
  asking?.toggleAttribute("hidden", item.state === "sent");
  row.querySelector("[data-dismiss]")?.toggleAttribute("hidden", item.state !== "sent");
  row.querySelector("[data-dismiss]")?.addEventListener("click", () => void remove());
  asking?.addEventListener("click", () => deleting?.showModal());
  for (const one of row.querySelectorAll("[data-cancel]")) one.addEventListener("click", () => deleting?.close());
  row.querySelector<HTMLElement>("[data-problem]")?.toggleAttribute("hidden", !item.problem);
  const body = row.querySelector<HTMLElement>("[data-body]");
  if (how.foreign) {
    if (body) body.hidden = true;
    return row;
  }
  const picture = row.querySelector<HTMLImageElement>("[data-image]");
  if (item.image && picture) {
    picture.addEventListener("load", () => {
      picture.hidden = false;
      URL.revokeObjectURL(picture.src);
    });
    picture.addEventListener("error", () => URL.revokeObjectURL(picture.src));
    picture.src = URL.createObjectURL(new Blob([item.image], { type: item.type }));
  }
  // Once sent, the service's reading stands in place of what was said here.
  if (item.state === "sent") {
    choose(row, "tone", "");
    compare(row, item, how.hidden);
  } else {
    showAnswer(row, item, hidden);
  }
  return row;
}
