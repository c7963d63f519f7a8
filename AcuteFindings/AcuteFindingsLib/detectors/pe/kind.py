"""Pulmonary embolism on CT pulmonary angiograms, as data (docs/sources.md 1)."""

from types import MappingProxyType

from AcuteFindingsLib.detectors.code import ALTERED, Code
from AcuteFindingsLib.detectors.kind import DetectorKind, Importer, ReportCodes, Sample, SamplePhantoms, Segment
from AcuteFindingsLib.models.task import (
    SLABS,
    VOLUME_MASK,
    KnownLabel,
    ModelForm,
    ModelTask,
    Point,
    ProgramForm,
    ProgramOutputs,
)
from AcuteFindingsLib.study.requirements import CtRequirements

_HERE = "AcuteFindingsLib.detectors.pe"
_EMBOLISM = Code("SCT", "59282003", "Pulmonary embolism")
_ARTERY = Code("SCT", "81040000", "Pulmonary artery")

_TASK = ModelTask(
    id="pe",
    title="Pulmonary embolism on CT angiography",
    modality="CT",
    labels=(
        KnownLabel(
            "pe",
            _EMBOLISM.meaning,
            _EMBOLISM.value,
            heading="PE in the slice",
            spellings=("pe_present", "pe_present_on_image", "embolism", "embolus", "pulmonary_embolism"),
        ),
        KnownLabel("pe_present", "Pulmonary embolism in the exam", heading="PE in the examination"),
        KnownLabel("left", "Left-sided embolism"),
        KnownLabel("right", "Right-sided embolism"),
        KnownLabel("central", "Central embolism"),
        KnownLabel("rv_lv_ge_1", "RV/LV ratio of 1 or more"),
        KnownLabel("rv_lv_lt_1", "RV/LV ratio below 1"),
        KnownLabel("chronic", "Chronic embolism"),
        KnownLabel("acute_and_chronic", "Acute and chronic embolism"),
        KnownLabel("indeterminate", "Indeterminate exam"),
    ),
    scorer=f"{_HERE}.scorer:PEScorer",
    settings=f"{_HERE}.scorer:PESettings",
    data_sets=("rsna-pe", "pe-study"),
    stages=(("slice",), ("slice", "encode", "sequence")),
    proof=f"{_HERE}.import_proof:difference",
    program=ProgramForm(
        parts=MappingProxyType(
            {
                "encode": ProgramOutputs(("encoding", "slice"), ("mask",)),
                "sequence": ProgramOutputs(("slice", "stack"), ("exam",), reads="encoding", length=96),
            }
        ),
        size=386,
        value_range=(-1.0, 1.0),
        normalized=False,
        single_label=True,
        points=(Point("study"), Point("slice")),
        settings=MappingProxyType({"channels": 1, "batch": 8}),
        length_setting="window",
    ),
    forms=(
        ModelForm(
            SLABS,
            "slices with their neighbors in several windows, and perhaps the series in sequence",
            scorer="AcuteFindingsLib.detectors.hemorrhage.slab_scorer:SlabScorer",
            settings="AcuteFindingsLib.detectors.hemorrhage.slab_settings:SlabSettings",
            detector=f"{_HERE}.slab_detector:PESlabDetector",
            rule="AcuteFindingsLib.detectors.hemorrhage.slab_settings:SlabRule",
        ),
        ModelForm(
            VOLUME_MASK,
            "three-dimensional network that draws clots",
            scorer="AcuteFindingsLib.detectors.volume_scorer:VolumeScorer",
            settings="AcuteFindingsLib.detectors.volume_scorer:VolumeSettings",
            detector=f"{_HERE}.volume_detector:PEVolumeDetector",
            rule="AcuteFindingsLib.detectors.volume_rule:VolumeRule",
            part="clot",
            measure=f"{_HERE}.clots:measure_clots",
        ),
    ),
)

KIND = DetectorKind(
    id="pe",
    finding="Pulmonary embolism",
    short="PE",
    study="CT pulmonary angiogram",
    module="PEDetect",
    module_title="PE Detect",
    task=_TASK,
    requirements=CtRequirements(
        study_name="CT pulmonary angiograms",
        body_part="chest",
        contrast="required",
        published_thickness_mm=(2.95, 3.05),
        coverage_mm=150.0,
        oblique_warn_deg=10.0,
        accepts_windowed=False,
        examination="pulmonary angiogram",
        unwanted_kernels=("lung",),
        unwanted_parts=("head",),
    ),
    codes=ReportCodes(
        label="Pulmonary embolism",
        finding=_EMBOLISM,
        site=_ARTERY,
        procedure=Code("SCT", "77477000", "Computed tomography"),
        body_part="CHEST",
    ),
    # Drawn by models of the form volume-mask alone.
    segments=(Segment("Pulmonary embolism", ALTERED, _EMBOLISM, _ARTERY, (0.95, 0.3, 0.15)),),
    detector=f"{_HERE}.detector:PEDetector",
    rule=f"{_HERE}.detector:PERule",
    layout="stack",
    features=f"{_HERE}.features:features",
    flags=f"{_HERE}.features:FLAGS",
    window=(100.0, 700.0),
    reasons=f"{_HERE}.reasons:reasons_of",
    doubts=("as-bright-as-blood", "not-as-dense-as-clot", "contrast-none", "artifact-without-defect"),
    phantoms=SamplePhantoms(
        generator="ctpa",
        make="AcuteFindingsLib.phantoms.ctpa.generate:make_ctpa",
        finding="pe",
        mask="embolus",
        exam_labels=f"{_HERE}.phantom_labels:exam_labels",
        seed=900_008,
        options=MappingProxyType({"matrix": 320, "slice_spacing": 4.0}),
        samples=(
            Sample("CTPA phantom, embolism", True, "SampleEmbolism.png"),
            Sample("CTPA phantom, no embolism", False, "SampleNoEmbolism.png"),
        ),
        variants=("dense-cava", "breathing", "pulsation"),
    ),
    importers=(
        Importer(
            "pe-source",
            "slice model of the PE source from Keras, with its sequence model (--also sequence=FILE)",
            f"{_HERE}.keras_models:convert_pe",
        ),
        Importer(
            "pe-slices",
            "the slice model of the PE source alone, to train on",
            f"{_HERE}.keras_models:convert_slices",
            f"{_HERE}.keras_models:is_slice_model",
        ),
        Importer(
            "pe-sequence",
            "the sequence model of the PE source alone, to train on",
            f"{_HERE}.keras_models:convert_sequence",
            f"{_HERE}.keras_models:is_sequence_model",
        ),
    ),
)
