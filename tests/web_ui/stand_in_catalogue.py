"""What the stand-in of inference_service knows: a catalogue, cards, and images to send it."""

import io
from typing import Any

from PIL import Image

from diagnosis.contracts import (
    ClassView,
    DemoImageView,
    DiseaseList,
    Interval,
    ModelView,
    OperatingPointName,
    OperatingPointView,
)

SENSITIVITY = Interval(value=0.953, low=0.931, high=0.970)
SPECIFICITY = Interval(value=0.928, low=0.889, high=0.957)
DIGEST = f"sha256:{'5e' * 32}"
#: Sensitivity and specificity at each operating point; thresholds are the model's.
POINTS: dict[OperatingPointName, tuple[Interval, Interval]] = {
    "rule_out": (
        Interval(value=0.988, low=0.975, high=0.996),
        Interval(value=0.812, low=0.766, high=0.855),
    ),
    "balanced": (SENSITIVITY, SPECIFICITY),
    "rule_in": (
        Interval(value=0.871, low=0.839, high=0.902),
        Interval(value=0.989, low=0.971, high=1.0),
    ),
}


def picture(brightness: int, size: tuple[int, int] = (320, 260)) -> bytes:
    """A grey PNG, darker at its edge as a film is."""
    shade = Image.radial_gradient("L").resize(size).point(lambda level: max(0, 40 - level // 6))
    base = Image.new("L", size, brightness)
    base.paste(Image.eval(shade, lambda level: min(255, level + brightness)), (0, 0))
    held = io.BytesIO()
    base.save(held, "PNG")
    return held.getvalue()


def coloured_picture() -> bytes:
    """A PNG that is no film."""
    held = io.BytesIO()
    Image.new("RGB", (320, 260), (200, 40, 40)).save(held, "PNG")
    return held.getvalue()


BRIGHT, MIDDLE, DARK = picture(210), picture(128), picture(30)


def _classes(*names: str) -> tuple[ClassView, ...]:
    return tuple(
        ClassView(
            id=name.lower().replace("'", "").replace(" ", "_"),
            name=name,
            sentence=f"What {name.lower()} looks like.",
        )
        for name in names
    )


def _model(
    disease: str,
    threshold: float | None,
    demos: tuple[tuple[str, str], ...] = (),
    licence: str = "Apache-2.0",
) -> ModelView:
    at: dict[OperatingPointName, float] = {
        "rule_out": 0.18,
        "balanced": threshold or 0,
        "rule_in": 0.83,
    }
    return ModelView.model_validate(
        {
            "version": "1",
            "digest": DIGEST,
            "trained_on": "Children of 1 to 5 years, one centre.",
            "operating_points": tuple(
                OperatingPointView(
                    name=name, threshold=at[name], sensitivity=found, specificity=cleared
                )
                for name, (found, cleared) in POINTS.items()
                if threshold is not None
            ),
            "figures": {
                "auc": Interval(value=0.983, low=0.974, high=0.990),
                "balanced_accuracy": Interval(value=0.941, low=0.921, high=0.958),
                "ece": Interval(value=0.021, low=0.014, high=0.034),
            },
            "evaluated_on": "640 films of 410 patients who were held out.",
            "demo_images": tuple(
                DemoImageView(
                    name=name,
                    class_id=class_id,
                    url=f"/api/v1/diseases/{disease}/demo-images/{name}",
                )
                for name, class_id in demos
            ),
            "licence": licence,
        }
    )


def _disease(
    slug: str, name: str, modality: str, classes: tuple[str, ...], **more: object
) -> object:
    return {
        "id": slug,
        "name": name,
        "modality": modality,
        "summary": f"Looks at one image for {name.lower()} and says how probable each class is.",
        "intended_use": "A second look beside a clinician who has read the image already.",
        "suitable_image": "One upright image that fills the frame, without arrows or text on it.",
        "maturity": "demonstration",
        "classes": _classes(*classes),
        "finding": None,
        "status": "no_model",
        "status_detail": "There is no model for this disease yet.",
    } | more


CATALOGUE = DiseaseList.model_validate(
    {
        "items": (
            _disease(
                "chest_xray_pneumonia",
                "Pneumonia",
                "chest X-ray",
                ("Normal", "Pneumonia"),
                maturity="clinical_candidate",
                finding="pneumonia",
                status="live",
                status_detail="Ready.",
                model=_model(
                    "chest_xray_pneumonia",
                    0.41,
                    (("pneumonia-1.png", "pneumonia"), ("normal-1.png", "normal")),
                ),
            ),
            _disease(
                "chest_xray_pneumonia_type",
                "Pneumonia by its cause",
                "chest X-ray",
                ("Normal", "Bacterial pneumonia", "Viral pneumonia"),
                maturity="clinical_candidate",
                finding="bacterial_pneumonia",
                status="live",
                status_detail="Ready.",
                model=_model("chest_xray_pneumonia_type", 0.36),
            ),
            _disease(
                "mole",
                "Pigmented skin lesion",
                "skin photograph",
                (
                    "Actinic keratosis or Bowen's disease",
                    "Basal cell carcinoma",
                    "Benign keratosis",
                    "Dermatofibroma",
                    "Melanoma",
                    "Melanocytic naevus",
                    "Vascular lesion",
                ),
                maturity="clinical_candidate",
                finding="melanoma",
                status="live",
                status_detail="Ready.",
                model=_model(
                    "mole", 0.22, licence="Training data: CC BY-NC 4.0, HAM10000; artifact alike."
                ),
            ),
            _disease(
                "knee_mri",
                "Knee",
                "brain MRI",
                ("Whole", "Torn meniscus", "Torn ligament", "Cyst"),
                finding="torn_meniscus",
                maturity_reason="Its training images have 28 pixels a side, of one hospital.",
                status="live",
                status_detail="Ready.",
                model=_model("knee_mri", 0.5),
            ),
            _disease(
                "brain_mri_tumour",
                "Brain tumour",
                "brain MRI",
                ("Glioma", "Meningioma", "None", "Pituitary", "Metastasis", "Cyst", "Abscess"),
                maturity_reason="No public set of it keeps patients apart.",
                status="live",
                status_detail="Ready.",
                model=_model("brain_mri_tumour", None),
            ),
            _disease("skin_lesion", "Skin lesion", "skin photograph", ("Naevus", "Melanoma")),
            _disease(
                "malaria_cell",
                "Malaria",
                "blood smear microscopy",
                ("Parasitized", "Uninfected"),
                finding="parasitized",
                status="unavailable",
                status_detail="The model of this disease did not pass its checks and is not used.",
            ),
            _disease("retinal_oct", "Retinal OCT", "retinal OCT", ("CNV", "DME", "Drusen")),
        )
    }
)

DEMOS = {"pneumonia-1.png": BRIGHT, "normal-1.png": DARK}


def card(disease: str) -> dict[str, Any]:
    """The card of a disease's model: what every card has, and what a richer one may have."""
    view = next(item for item in CATALOGUE.items if item.id == disease)
    model = view.model
    assert model is not None
    ids = [item.id for item in view.classes]

    def figure(value: float, width: float = 0.02) -> dict[str, float]:
        return {"value": value, "low": value - width, "high": min(1.0, value + width)}

    per_class = {name: 40 * place for place, name in enumerate(ids, 1)}
    measured = {
        "dataset": "Made-up films, validation split",
        "images": sum(per_class.values()),
        "groups": 80,
        "per_class": per_class,
        "figures": {
            "accuracy": figure(0.951),
            "auc": figure(0.983, 0.01),
            "balanced_accuracy": figure(0.941),
            "ece": figure(0.021, 0.01),
            "ece_uncalibrated": figure(0.094, 0.03),
        },
        "baseline_always_finding": {"accuracy": 0.62, "auc": 0.5, "ece": 0.38},
        "baseline_majority": {"accuracy": 0.71, "auc": 0.5},
        "majority_class": ids[-1],
        "classes": {name: {"auc": figure(0.97), "ppv": figure(0.8, 0.1)} for name in ids},
        "reliability": {
            name: [
                {"low": low / 10, "high": low / 10 + 0.1, "images": 64, "share": share}
                for low in range(0, 10, 3)
                for share in [{"value": low / 10 + 0.07, "low": low / 10, "high": low / 10 + 0.1}]
            ]
            for name in ids
        },
        "operating_points": {"balanced": {"ppv": figure(0.9), "ppv_at_prevalence_10": figure(0.6)}},
        "subgroups": [
            {
                "column": "sex",
                "level": level,
                "images": 100,
                "groups": 40,
                "figures": {"auc": figure(value)} if value else {},
            }
            for level, value in (("female", 0.971), ("male", 0.964), ("unknown", 0))
        ],
    }
    files = {
        name: {"name": file, "digest": DIGEST, "bytes": 3_082_691}
        for name, file in (("keras", "model.keras"), ("ir_xml", "model.xml"))
    }
    return {
        "schema_version": 1,
        "disease": disease,
        "version": model.version,
        "created_at": "2026-11-20T20:55:12.529000Z",
        "summary": f"{view.name}: recipe small_residual, 4576 training images.",
        "licence": model.licence,
        "files": files,
        "classes": [{"id": item.id, "name": item.name} for item in view.classes],
        "finding": view.finding,
        "input": {"height": 224, "width": 224, "channels": 1},
        "preprocessing": {
            "name": "grey-224",
            "steps": [{"op": "greyscale"}, {"op": "resize", "width": 224, "height": 224}],
        },
        "preprocessing_digest": DIGEST,
        "output": "logits",
        "calibration": {
            "method": "temperature",
            "temperature": 1.31,
            "fitted_on": "614 held-out images.",
        },
        "operating_points": [
            {
                "name": point.name,
                "threshold": point.threshold,
                "sensitivity": point.sensitivity.model_dump(),
                "specificity": point.specificity.model_dump(),
                "chosen_by": "Highest threshold with a sensitivity of 0.98 or more.",
            }
            for point in model.operating_points
        ],
        "conformal": {
            "coverage": 0.95,
            "quantiles": dict.fromkeys(ids, 0.3),
            "fitted_on": "614 held-out images.",
        },
        "population": {"description": model.trained_on, "age_years_min": 1, "age_years_max": 5},
        "training": {
            "recipe": "small_residual",
            "dataset": "Made-up films",
            "images": 4576,
            "groups": 3244,
            "per_class": per_class,
            "seed": 0,
            "backbone": "",
            "keras_version": "3.15.1",
            "settings": {
                "batch": 64,
                "augmentations": "rotate translate zoom blur noise",
            },
        },
        "evaluation": measured,
        "transfer": [measured | {"dataset": "Films of another hospital, left out of training"}],
        "precisions": {
            "bf16": {"allowed": True, "images": 614, "auc_change": -1.4e-05},
            "int8": {"allowed": False, "images": 614, "auc_change": -0.0031},
        },
        "gate": {
            "features": "gate-1",
            "threshold": 0.12,
            "kinds": [{"id": "photo", "name": "a photograph"}, {"id": "noise", "name": ""}],
            "spoils": ["inverted", "turned"],
            "posture": True,
            "components": 40,
            "fitted_on": "4576 training images",
            "checks": [
                {
                    "kind": kind,
                    "images": 120,
                    "groups": 90,
                    "refused": figure(refused),
                    "good": kind == "validation films",
                    "fitted": kind == "noise",
                }
                for kind, refused in (
                    ("photographs", 0.98),
                    ("noise", 1.0),
                    ("validation films", 0.03),
                )
            ],
            "measured_on": "Kinds that it was not fitted to",
        },
        "explanation": {
            "method": "hirescam",
            "layer": "block_4",
            "measured_on": "Validation images",
            "limits": {"fewest_images": 20, "largest_randomised": 0.5},
            "classes": {
                name: {
                    "images": 40,
                    "randomised": figure(0.21, 0.08),
                    "repeated": figure(0.93, 0.03),
                    "deletion": figure(0.12, 0.05) if place else None,
                    "passed": place > 0,
                }
                for place, name in enumerate(ids)
            },
        },
        "demo_images": [],
        "golden": [],
        "limitations": [
            "Trained on films of one centre; other patients and devices were not measured.",
            "It knows no other disease of the chest, nor any other kind of image.",
        ],
        "seal": DIGEST,
    }
