// The pages of batches: begin one, hand its files over, follow it.

import { localTimes } from "../controls";
import { post } from "../ways-in/sending";
import { Chooser, wordsOf } from "./chooser";
import { HandOver } from "./hand-over";
import { live } from "./live";

function showProblem(title: string, remedy: string): void {
  const place = document.getElementById("problem");
  const source = document.querySelector<HTMLTemplateElement>("template[data-problem]");
  if (!place || !source) return;
  place.replaceChildren(source.content.cloneNode(true));
  const put = (selector: string, said: string): void => {
    const part = place.querySelector(selector);
    if (part) part.textContent = said;
  };
  put(".problem-title", title);
  put(".problem-remedy", remedy);
  place.scrollIntoView({ block: "nearest" });
}

/** Put the page of a batch in the place of this one; the chosen files stay in the browser's hands. */
async function moveTo(address: string): Promise<boolean> {
  try {
    const answer = await fetch(address);
    if (!answer.ok) return false;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [here, there] = [document.querySelector("main"), page.querySelector("main")];
    if (!here || !there) return false;
    here.replaceChildren(...there.childNodes);
    document.title = page.title;
    history.replaceState(null, "", address);
    localTimes(here);
    scrollTo(0, 0);
    return true;
  } catch {
    return false;
  }
}

function handOver(form: HTMLFormElement): HandOver | null {
  const section = document.querySelector<HTMLElement>("[data-sending]");
  if (!section) return null;
  const limit = Number(form.dataset["maxBytes"]);
  return new HandOver(section, wordsOf(form), limit, () => {
    document.body.dispatchEvent(new Event("sightline:batch"));
  });
}

/** A new batch: it is made empty, its page takes this one's place, and the files follow. */
async function begin(form: HTMLFormElement, chooser: Chooser): Promise<void> {
  const words = wordsOf(form);
  const button = form.querySelector<HTMLButtonElement>("[type=submit]");
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string") fields.append(name, value);
  }
  if (button) button.disabled = true;
  const { signal } = new AbortController();
  const answer = await post(form.action, fields, {}, () => undefined, signal);
  const address = answer.body["address"];
  if (answer.status === 201 && typeof address === "string" && (await moveTo(address))) {
    live();
    await wire()?.begin(chooser.chosen);
    return;
  }
  if (button) button.disabled = false;
  const said = (name: string): string => {
    const value = answer.body[name];
    return typeof value === "string" ? value : "";
  };
  if (answer.status === 401) showProblem(words["signedOut"] ?? "", "");
  else showProblem(said("title") || (words["failed"] ?? ""), said("remedy") || (words["failedRemedy"] ?? ""));
}

/** Brings the form for files to life; what hands them over to a batch that is there already. */
function wire(): HandOver | null {
  const form = document.querySelector<HTMLFormElement>("[data-batch-form]");
  if (!form) return null;
  const chooser = new Chooser(form);
  const resumed = handOver(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    document.getElementById("problem")?.replaceChildren();
    const problem = chooser.problem();
    if (problem) showProblem(problem, "");
    else if (resumed) void resumed.begin(chooser.chosen);
    else void begin(form, chooser);
  });
  return resumed;
}

/** Brings the pages of batches to life. */
export function batches(): void {
  live();
  wire();
}
