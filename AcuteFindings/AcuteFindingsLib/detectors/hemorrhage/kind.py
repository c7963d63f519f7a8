"""Intracranial hemorrhage on head CT without contrast, as data (docs/sources.md 4)."""

from dataclasses import replace
from types import MappingProxyType

from AcuteFindingsLib.detectors.code import ALTERED, Code
from AcuteFindingsLib.detectors.kind import DetectorKind, ReportCodes, Sample, SamplePhantoms, Segment
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

_HERE = "AcuteFindingsLib.detectors.hemorrhage"
_ANY = Code("SCT", "1386000", "Intracranial hemorrhage")
_BRAIN = Code("SCT", "12738006", "Brain")

_LABELS = (
    KnownLabel(
        "any",
        "Any intracranial hemorrhage",
        _ANY.value,
        heading="Any hemorrhage",
        spellings=("hemorrhage", "haemorrhage", "ich", "intracranial_hemorrhage"),
    ),
    KnownLabel("epidural", "Epidural hemorrhage", "428268007"),
    KnownLabel("intraparenchymal", "Intraparenchymal hemorrhage", "274100004"),
    KnownLabel("intraventricular", "Intraventricular hemorrhage", "23276006"),
    KnownLabel("subarachnoid", "Subarachnoid hemorrhage", "21454007"),
    KnownLabel("subdural", "Subdural hemorrhage", "35486000"),
)
_NAMES = tuple(label.name for label in _LABELS)

_REQUIREMENTS = CtRequirements(
    study_name="head CT without contrast",
    body_part="head",
    contrast="unwanted",
    published_thickness_mm=(1.0, 2.0),
    coverage_mm=80.0,
    oblique_warn_deg=25.0,
    accepts_windowed=True,
    unwanted_kernels=("bone", "lung"),
)

# The series that it was trained on have 35 slices on average and 60 at most (docs/sources.md 7), about 4 mm apart in
# the 150 mm of a head; 3 to 5 mm is ours. It reads windows of HU, of which a picture in one window holds one.
_SLAB_REQUIREMENTS = replace(_REQUIREMENTS, published_thickness_mm=(3.0, 5.0), accepts_windowed=False)

_TASK = ModelTask(
    id="hemorrhage",
    title="Intracranial hemorrhage on head CT",
    modality="CT",
    labels=_LABELS,
    scorer=f"{_HERE}.scorer:HemorrhageScorer",
    settings=f"{_HERE}.scorer:HemorrhageSettings",
    data_sets=("rsna-hemorrhage", "head-slices"),
    stages=(("scan",), ("scan", "encode", "head")),
    single_images=True,
    proof=f"{_HERE}.import_proof:difference",
    forms=(
        ModelForm(
            SLABS,
            "slices with their neighbors in several windows, the series in sequence, and maps of where",
            scorer=f"{_HERE}.slab_scorer:SlabScorer",
            settings=f"{_HERE}.slab_settings:SlabSettings",
            detector=f"{_HERE}.slab_detector:SlabDetector",
            rule=f"{_HERE}.slab_settings:SlabRule",
            requirements=_SLAB_REQUIREMENTS,
        ),
        ModelForm(
            VOLUME_MASK,
            "three-dimensional network that draws bleeds",
            scorer="AcuteFindingsLib.detectors.volume_scorer:VolumeScorer",
            settings="AcuteFindingsLib.detectors.volume_scorer:VolumeSettings",
            detector=f"{_HERE}.volume_detector:HemorrhageVolumeDetector",
            rule=f"{_HERE}.bleeds:BleedVolumeRule",
            part="bleed",
            measure=f"{_HERE}.bleeds:measure_bleeds",
        ),
    ),
    program=ProgramForm(
        parts=MappingProxyType(
            {
                "features": ProgramOutputs(("features", "mask")),
                "head": ProgramOutputs(("slice",), reads="features", length=12),
            }
        ),
        size=250,
        normalized=False,
        label_sets=MappingProxyType({"onnx": (_NAMES,), "torchscript": (_NAMES,)}),
        points=(Point("slice"), Point("mask")),
        settings=MappingProxyType({"batch": 8}),
    ),
)

KIND = DetectorKind(
    id="hemorrhage",
    finding="Intracranial hemorrhage",
    short="Hemorrhage",
    study="Head CT",
    module="HemorrhageDetect",
    module_title="Hemorrhage Detect",
    task=_TASK,
    requirements=_REQUIREMENTS,
    codes=ReportCodes(
        label="Hemorrhage",
        finding=_ANY,
        site=_BRAIN,
        procedure=Code("SCT", "303653007", "Computed tomography of head"),
        body_part="HEAD",
    ),
    segments=(Segment("Hemorrhage", ALTERED, Code("SCT", "50960005", "Hemorrhage"), _BRAIN, (0.85, 0.15, 0.15)),),
    detector=f"{_HERE}.detector:HemorrhageDetector",
    rule=f"{_HERE}.scorer:HemorrhageRule",
    reasons=f"{_HERE}.reasons:reasons",
    doubts=("no-outline-is-blood",),
    layout="stack",
    features=f"{_HERE}.features:features",
    flags=f"{_HERE}.features:FLAGS",
    window=(40.0, 80.0),
    phantoms=SamplePhantoms(
        generator="head-ct",
        make="AcuteFindingsLib.phantoms.head_ct.generate:make_head_ct",
        finding="hemorrhage",
        seed=7,
        options=MappingProxyType({"matrix": 256, "slice_spacing": 5.0}),
        samples=(
            Sample("Head CT phantom, hemorrhage", True, "SampleHemorrhage.png"),
            Sample("Head CT phantom, no hemorrhage", False, "SampleNoHemorrhage.png"),
        ),
        variants=(
            "falx-calcification",
            "choroid-calcification",
            "basal-ganglia-calcification",
            "shunt",
            "post-operative",
            "beam-hardening",
            "motion",
        ),
    ),
)
