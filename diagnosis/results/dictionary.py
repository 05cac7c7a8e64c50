"""What rows have in common, so that none stores it: the preset dictionary of their compression.

It may never change: what was compressed with it can be read with nothing else. Another one would
be a second constant beside it. Rows of versions that had none are read as they are.
"""

#: What is most common stands last, as zlib wants it.
ROWS = (
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
