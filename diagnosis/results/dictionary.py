"""What rows have in common, so that none stores it: the preset dictionaries of their compression.

None of them may ever change: what was compressed with one can be read with nothing else, and a
compressed row names its dictionary (RFC 1950). A better one is a further constant beside them.
What is most common stands last, as zlib wants it.
"""

import zlib
from collections.abc import Mapping

#: Of the first versions.
_FIRST = (
    b"chest_xray_pneumonia_typePneumonia by its causebacterial_pneumoniaBacterial pneumonia"
    b"viral_pneumoniaViral pneumoniabrain_mri_tumourBrain tumour on an MRI slicegliomameningioma"
    b"pituitarymalaria_cellMalaria in a blood smear cellParasitizeduninfectedUninfected"
    b"skin_lesionPigmented skin lesionmelanomaMelanomamelanocytic_naevusMelanocytic naevus"
    b"basal_cell_carcinomaBasal cell carcinomaactinic_keratosisActinic keratosisbenign_keratosis"
    b"Benign keratosisdermatofibromaDermatofibromavascular_lesionVascular lesionretinal_oct"
    b"Retinal OCTcnvdmedrusendiabetic_retinopathyDiabetic retinopathyinvasive_ductal_carcinoma"
    b"Invasive ductal carcinomabreast_histologychest_xray_pneumoniaPneumonia on a chest X-ray"
    b"pneumoniaPneumonianormalNormal"
    b"image-gateThe image does not look like one this model was made for."
    b"burned-in-textThe file says that text is burned into its image."
    b"age-outside-populationThe patient's age, as the file gives it, is outside the ages the model"
    b" was trained on (Do not rely on the figures of this reading for this patient."
    b"modality-mismatchlow-resolution-modelThis model sees 28 pixels a side; details of this image"
    b" are lost.Look for small findings in the original image; this reading cannot show them."
    b"uncertainlikely_negativelikely_positivenot_judgedimage/pngpngtiffwebpbmpdicomimage/jpegjpeg"
    b'"outcome":"not_judged","reason":{"code":"image-gate","detail":""},"probabilities":[],"top":[],'
    b'"conformal_set":[],"conformal_coverage":null,"band":null,"operating_point":null,'
    b'"operating_points":[],"observed":null,"gate":null,"heatmap_classes":[],"notices":[],'
    b'"patient_reference":null,"dicom_digest":null},"demo":true,'
    b'{"schema_version":1,"id":"0193","created_at":"2026-12-01T00:00:00.000000Z","disease":"'
    b'","disease_name":"","artifact":{"disease":"","version":"1","digest":"sha256:"},"image":'
    b'{"digest":"sha256:","media_type":"image/jpeg","source_format":"jpeg","width":1024,"height":'
    b'1024,"demo":false,"dicom_digest":null},"outcome":"judged","reason":null,"probabilities":'
    b'[{"id":"normal","name":"Normal","probability":0.0},{"id":"class_","name":"","probability":0.'
    b'}],"top":[{"id":"","name":"","probability":0.}],"conformal_set":["normal"],'
    b'"conformal_coverage":0.95,"band":"likely_positive","operating_point":{"name":"balanced",'
    b'"class_id":"","threshold":0.4,"positive":true,"sensitivity":{"value":0.9,"low":0.9,"high":0.9}'
    b',"specificity":{"value":0.9,"low":0.9,"high":0.9},"says":"At the balanced threshold (0.5)'
    b" this image counts as negative for positive for . In validation patients this threshold found"
    b' 95 % (93 to 97) of those with  and cleared 93 % (89 to 96) of those without."},'
    b'"operating_points":[{"name":"rule_out","class_id":"","threshold":0.1,"positive":false,'
    b'"says":"At the rule-out threshold (0.1) this image counts as positive for },{"name":'
    b'"rule_in","says":"At the rule-in threshold (0.8) this image counts as negative for }],'
    b'"observed":{"class_id":"","low":0.,"high":0.,"images":,"share":{"value":0.,"low":0.,"high":0.}},"gate":'
    b'{"passed":true,"score":0.,"threshold":0.},"heatmap_classes":["],"notices":[{"code":"",'
    b'"detail":"","remedy":""}],"timings_ms":{"queue":0.0,"gate":,"decode":10.,"preprocess":1.,'
    b'"infer":20.,"explain":,"store":1.},"created_by":"u_","unit":"default","patient_reference":"",'
    b'"warning":"Research use only. Not a medical device. A clinician decides."}'
)

#: Diseases as the catalogue had them when the second was made: id, name, the finding if there is
#: one, and each class by id and name. The catalogue goes on without this.
_DISEASES: tuple[tuple[str, str, str | None, Mapping[str, str]], ...] = (
    (
        "chest_xray_pneumonia",
        "Pneumonia on a chest X-ray",
        "pneumonia",
        {"normal": "Normal", "pneumonia": "Pneumonia"},
    ),
    (
        "chest_xray_pneumonia_type",
        "Type of pneumonia on a chest X-ray",
        "bacterial",
        {"bacterial": "Bacterial pneumonia", "normal": "Normal", "viral": "Viral pneumonia"},
    ),
    (
        "chest_xray_lung_findings",
        "Lung findings on a chest X-ray",
        "pneumothorax",
        {"effusion": "Pleural effusion", "pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax"},
    ),
    (
        "brain_mri_tumour",
        "Tumour on a brain MRI",
        "glioma",
        {
            "glioma": "Glioma",
            "meningioma": "Meningioma",
            "none": "No tumour",
            "pituitary": "Pituitary tumour",
        },
    ),
    (
        "retinal_oct",
        "Macular disease on a retinal OCT",
        "cnv",
        {
            "cnv": "Choroidal neovascularisation (CNV)",
            "dme": "Diabetic macular oedema (DME)",
            "drusen": "Drusen",
            "normal": "Normal",
        },
    ),
    (
        "diabetic_retinopathy",
        "Diabetic retinopathy on a fundus photograph",
        "grade_4",
        {
            "grade_0": "No diabetic retinopathy (grade 0)",
            "grade_1": "Mild (grade 1)",
            "grade_2": "Moderate (grade 2)",
            "grade_3": "Severe (grade 3)",
            "grade_4": "Proliferative (grade 4)",
        },
    ),
    (
        "malaria_cell",
        "Malaria parasite in a blood cell",
        "parasitized",
        {"parasitized": "Parasitized", "uninfected": "Uninfected"},
    ),
    (
        "breast_histopathology_idc",
        "Invasive ductal carcinoma in breast tissue",
        "idc",
        {"idc": "Invasive ductal carcinoma (IDC)", "normal": "No IDC in this patch"},
    ),
    (
        "breast_ultrasound",
        "Breast lesion on ultrasound",
        "malignant",
        {"benign": "Benign lesion", "malignant": "Malignant lesion", "normal": "Normal"},
    ),
    (
        "skin_lesion",
        "Pigmented skin lesion",
        "mel",
        {
            "akiec": "Actinic keratosis or Bowen's disease",
            "bcc": "Basal cell carcinoma",
            "bkl": "Benign keratosis",
            "df": "Dermatofibroma",
            "mel": "Melanoma",
            "nv": "Mole (melanocytic naevus)",
            "vasc": "Vascular lesion",
        },
    ),
    (
        "skin_condition",
        "Skin condition on a photograph",
        "leprosy",
        {
            "acne": "Acne",
            "scabies": "Scabies",
            "psoriasis": "Psoriasis",
            "vitiligo": "Vitiligo",
            "warts": "Warts",
            "fungal_infection": "Fungal infection",
            "leprosy": "Leprosy",
        },
    ),
    ("everyday_object", "Everyday object", None, {}),
)


def _of_disease(disease: str, name: str, finding: str | None, classes: Mapping[str, str]) -> str:
    """The parts of a row that follow from its disease, in stretches as long as can be."""
    ids = ",".join(f'"{one}"' for one in classes)
    answers = ",".join(
        f'{{"id":"{one}","name":"{classes[one]}","probability":0.' for one in classes
    )
    points = "" if finding is None else _points_of(finding, classes[finding])
    return (
        f'{points}"heatmap_classes":[{ids}],"probabilities":[{answers}"disease":"{disease}",'
        f'"disease_name":"{name}","artifact":{{"disease":"{disease}","version":"1",'
        '"digest":"sha256:'
    )


def _points_of(finding: str, name: str) -> str:
    said = name if name[1:2].isupper() else name[:1].lower() + name[1:]
    return (
        f'"class_id":"{finding}","threshold":0. for {said}. In validation patients this threshold'
        f" found 9 % (9 to 9) of those with {said} and cleared "
    )


_ANY = (
    b"image-gateThe image does not look like one this model was made for.burned-in-textThe file "
    b"says that text is burned into its image.age-outside-populationThe patient's age, as the "
    b"file gives it, is outside the ages the model was trained on (Do not rely on the figures of "
    b"this reading for this patient.modality-mismatchlow-resolution-modelThis model sees 28 "
    b"pixels a side; details of this image are lost.Look for small findings in the original "
    b"image; this reading cannot show them."
    b"uncertainlikely_negativelikely_positivenot_judgedimage/pngpngtiffwebpbmpdicomimage/jpegjpeg"
    b'"outcome":"not_judged","reason":{"code":"image-gate","detail":""},"probabilities":[],"top":[],'
    b'"conformal_set":[],"conformal_coverage":null,"band":null,"operating_point":null,'
    b'"operating_points":[],"observed":null,"gate":null,"heatmap_classes":[],"notices":[],'
    b'"patient_reference":null,"dicom_digest":null},"demo":true,{"schema_version":1,"id":"01a2,'
    b'"created_at":"2026-1-0T1:2:00.0Z","disease":"","disease_name":"","artifact":{"disease":"",'
    b'"version":"1","digest":"sha256:"},"image":{"digest":"sha256:","media_type":"image/jpeg",'
    b'"source_format":"jpeg","width":1024,"height":1024,"demo":false,"dicom_digest":null},'
    b'"outcome":"judged","reason":null,"probabilities":[{"id":"normal","name":"Normal",'
    b'"probability":0.0},{"id":"class_","name":"","probability":0.}],"top":[{"id":"","name":"",'
    b'"probability":0.}],"conformal_set":["normal"],"conformal_coverage":0.95,"band":'
    b'"likely_positive","operating_point":{"name":"balanced","class_id":"","threshold":0.4,'
    b'"positive":true,"sensitivity":{"value":0.9,"low":0.9,"high":0.9},"specificity":{"value":0.'
    b'8,"low":0.8,"high":1.0},"says":"At the balanced threshold (0.5) this image counts as '
    b"negative for . In this image counts as positive for . In validation patients this "
    b"threshold found 95 % (93 to 97) of those with  and cleared 93 % (89 to 96) of those "
    b'without."},"operating_points":[{"name":"rule_out","class_id":"","threshold":0.0"says":"At '
    b'the rule-out threshold (0.1) this image counts as positive for "},{"name":"rule_in",'
    b'"class_id":"","threshold":0."At the rule-in threshold (0.8) this image counts as negative '
    b'for }],"observed":{"class_id":"","low":0.0,"high":0.9,"images":10,"share":{"value":0.,'
    b'"low":0.,"high":0.}},"gate":{"passed":true,"score":0.,"threshold":0.},"statistics":[],'
    b'"statistics":[1"heatmap_classes":["],"notices":[{"code":"","detail":"","remedy":""}],'
    b'"timings_ms":{"queue":0.0,"gate":,"decode":10.,"preprocess":1.,"infer":20.,"explain":,'
    b'"store":1.},"created_by":"trainer","created_by":"k_","created_by":"u_","unit":"default",'
    b'"patient_reference":"","patient_reference":null,"batch":"","batch":null,"warning":'
    b'"Research use only. Not a medical device. A clinician decides."}'
)

#: With which rows are compressed now.
ROWS = "".join(_of_disease(*one) for one in _DISEASES).encode("ascii") + _ANY

#: All that rows were ever compressed with, by the name that a compressed row has it under.
KNOWN = {zlib.adler32(one): one for one in (_FIRST, ROWS)}


def of(row: bytes) -> bytes:
    """The dictionary that a row was compressed with; the present one where it names none that is
    known, and where it was compressed without."""
    return KNOWN.get(int.from_bytes(row[2:6], "big"), ROWS)
