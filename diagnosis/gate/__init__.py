"""The gate: whether an image is one that an artifact may judge, and why it is not.

`features` says what an image looks like in a few hundred numbers, `record` what the card says of a
gate, `parameters` what lies in its file, `verdict` what is said of an image.
"""

from diagnosis.gate.features import (
    DECODE_AT_LEAST,
    FEATURES,
    SIDE,
    SIZE,
    Look,
    features,
    look,
    of_thumbnail,
    statistics,
)
from diagnosis.gate.parameters import MAX_GATE_BYTES, Parameters
from diagnosis.gate.record import SPOILS, Gate, GateCheck, Kind
from diagnosis.gate.verdict import OpenGate, Verdict

__all__ = [
    "DECODE_AT_LEAST",
    "FEATURES",
    "MAX_GATE_BYTES",
    "SIDE",
    "SIZE",
    "SPOILS",
    "Gate",
    "GateCheck",
    "Kind",
    "Look",
    "OpenGate",
    "Parameters",
    "Verdict",
    "features",
    "look",
    "of_thumbnail",
    "statistics",
]
