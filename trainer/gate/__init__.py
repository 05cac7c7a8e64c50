"""Fits the gate of an artifact, measures it, and writes both beside the model."""

from trainer.gate.making import Limits, Made, Pictures, fit_gate, gate_of, make_gate, measure_gate

__all__ = ["Limits", "Made", "Pictures", "fit_gate", "gate_of", "make_gate", "measure_gate"]
