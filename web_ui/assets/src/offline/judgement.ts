// From a network's outputs to what is said, as `diagnosis/judgement.py` does it.

import type { Preprocessing } from "./preprocess";
import type { GateRecord } from "./gate";

export type Band = "likely_positive" | "uncertain" | "likely_negative";

/** What `/offline/models/{disease}` describes. */
export interface Model {
  disease: string;
  disease_name: string;
  modality: string;
  suitable_image: string;
  version: string;
  artifact_digest: string;
  onnx: { digest: string; bytes: number };
  input_name: string;
  output_name: string;
  height: number;
  width: number;
  channels: 1 | 3;
  classes: { id: string; name: string }[];
  finding: string | null;
  preprocessing: Preprocessing;
  output: "logits" | "probabilities";
  temperature: number;
  operating_points: { name: string; threshold: number }[];
  conformal: { coverage: number; quantiles: Record<string, number> };
  gate: GateRecord | null;
  gate_file: { digest: string; bytes: number } | null;
  golden: { file: string; logits: number[] }[];
  warning: string;
}

export interface Judgement {
  probabilities: { id: string; name: string; probability: number }[];
  band: Band | null;
  /** At or above the balanced operating point's threshold; null without a finding. */
  positive: boolean | null;
  threshold: number | null;
}

/** Calibrated probabilities; they sum to one. */
export function probabilities(outputs: ArrayLike<number>, model: Model): number[] {
  const logits = Array.from(outputs, (value) =>
    model.output === "logits" ? value : Math.log(Math.min(1, Math.max(1e-7, value))),
  ).map((value) => value / model.temperature);
  if (logits.length !== model.classes.length || !logits.every(Number.isFinite)) {
    throw new Error("the model answered with something that is no number");
  }
  const highest = Math.max(...logits);
  const raised = logits.map((value) => Math.exp(value - highest));
  const sum = raised.reduce((total, value) => total + value, 0);
  return raised.map((value) => value / sum);
}

/** What is said of an image. */
export function judged(outputs: ArrayLike<number>, model: Model): Judgement {
  const values = probabilities(outputs, model);
  const named = model.classes.map((item, at) => ({ ...item, probability: values[at] ?? 0 }));
  const { finding } = model;
  if (finding === null) return { probabilities: named, band: null, positive: null, threshold: null };
  const kept = named.filter(
    (item) => item.probability + 0.5e-6 >= 1 - (model.conformal.quantiles[item.id] ?? 1),
  );
  const caught = kept.some((item) => item.id === finding);
  let band: Band = kept.length ? "likely_negative" : "uncertain";
  if (caught) band = kept.length === 1 ? "likely_positive" : "uncertain";
  const point = model.operating_points.find((one) => one.name === "balanced");
  const value = named.find((item) => item.id === finding)?.probability ?? 0;
  return {
    probabilities: named,
    band,
    positive: point ? value >= point.threshold : null,
    threshold: point?.threshold ?? null,
  };
}
