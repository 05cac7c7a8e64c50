"""Names of fields and figures as people read them, whatever record they stand in."""

import re

from web_ui.languages import _

#: Words that are not made by taking a field's name apart.
_NAMES = {
    "accuracy": "Accuracy",
    "age_years_max": "Oldest, in years",
    "age_years_min": "Youngest, in years",
    "auc": "AUC",
    "auc_change": "Change of the AUC",
    "bf16": "bf16",
    "ece": "Calibration error",
    "ece_uncalibrated": "Calibration error before calibration",
    "checks": "What it refused",
    "f16": "f16",
    "f32": "f32",
    "hirescam": "HiResCAM",
    "images": "Images",
    "int8": "int8",
    "ir_bin": "OpenVINO weights",
    "ir_xml": "OpenVINO graph",
    "keras": "Keras model",
    "fitted": "Such images were fitted",
    "good": "Ought to pass",
    "groups": "Groups (patients, lesions)",
    "kinds": "What it tells good images from",
    "macro_auc": "AUC, mean of the classes",
    "npv": "Negative predictive value",
    "ppv": "Positive predictive value",
    "randomised": "Likeness to heatmaps of random weights",
    "repeated": "Likeness to heatmaps of altered copies",
    "deletion": "Probability lost when the hot places are deleted",
    "passed": "Passed",
    "spoils": "Wrong ways of sending that it names",
}
_AT = re.compile(r"(?P<what>[a-z0-9_]+?)_at_(?P<where>[a-z_]+?)_(?P<share>[0-9]+)$")
_POINTS = {"rule_out": "Rule out", "balanced": "Balanced", "rule_in": "Rule in"}
_NON_COMMERCIAL = re.compile(r"\bNC\b|\bnon-?commercial", re.IGNORECASE)

#: From little evidence to the most: cividis (Nunez et al. 2018), in which heatmaps are painted.
HEATMAP_COLOURS = ("#00224e", "#434e6c", "#7d7c78", "#bcae6c", "#fee838")


def words(slug: str) -> str:
    """`balanced_accuracy` as words."""
    return re.sub(r"[_-]+", " ", slug)


def figure_name(slug: str) -> str:
    """A figure or a field for a reader.

    >>> figure_name("sensitivity_at_specificity_88")
    'Sensitivity at 88 % specificity'
    >>> figure_name("balanced_accuracy")
    'Balanced accuracy'
    """
    if slug in _NAMES:
        return _(_NAMES[slug])
    if found := _AT.match(slug):
        at = _("{figure} at {share} % {where}")
        where = _(words(found["where"]))
        return at.format(figure=figure_name(found["what"]), share=found["share"], where=where)
    text = words(slug)
    return _(text[:1].upper() + text[1:])


def point_name(name: str) -> str:
    """An operating point for a reader."""
    return _(_POINTS[name]) if name in _POINTS else figure_name(name)


def is_non_commercial(licence: str) -> bool:
    """Whether a licence forbids commercial use: it says so, or names a Creative Commons NC one."""
    return _NON_COMMERCIAL.search(licence) is not None
