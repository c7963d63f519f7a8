"""Pneumothorax on frontal chest radiographs, with its lung and chest models, as data (docs/sources.md 3 and 5)."""

from types import MappingProxyType

from AcuteFindingsLib.detectors.code import ALTERED, ANATOMICAL, LEFT_LUNG, RIGHT_LUNG, Code
from AcuteFindingsLib.detectors.kind import DetectorKind, ReportCodes, Sample, SamplePhantoms, Segment
from AcuteFindingsLib.models.task import KnownLabel, ModelTask, Point, ProgramForm, ProgramOutputs
from AcuteFindingsLib.study.requirements import RadiographRequirements

_HERE = "AcuteFindingsLib.detectors.pneumothorax"
_SETTINGS = "AcuteFindingsLib.detectors.radiograph:RadiographSettings"
_FINDING = Code("SCT", "36118008", "Pneumothorax")
_PNEUMOTHORAX = KnownLabel(
    "pneumothorax", _FINDING.meaning, _FINDING.value, spellings=("ptx",), run_lengths="encodedpixels"
)
_THORAX = Code("SCT", "43799004", "Thoracic cavity structure")

# The order of TorchXRayVision's outputs (its `DenseNet.targets`).
XRV_LABELS = (
    "atelectasis",
    "consolidation",
    "infiltration",
    "pneumothorax",
    "edema",
    "emphysema",
    "fibrosis",
    "effusion",
    "pneumonia",
    "pleural_thickening",
    "cardiomegaly",
    "nodule",
    "mass",
    "hernia",
    "lung_lesion",
    "fracture",
    "lung_opacity",
    "enlarged_cardiomediastinum",
)
# The order of ChestX-ray14 in CheXNet and its reimplementations.
CHEXNET_LABELS = (
    "atelectasis",
    "cardiomegaly",
    "effusion",
    "infiltration",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural_thickening",
    "hernia",
)

_TASK = ModelTask(
    id="pneumothorax",
    title="Pneumothorax on chest radiographs",
    modality="CR",
    labels=(_PNEUMOTHORAX,),
    scorer=f"{_HERE}.scorer:PneumothoraxScorer",
    settings=_SETTINGS,
    data_sets=("siim",),
    stages=(("image",), ("segment",)),
    single_images=True,
    image_masks=True,
    proof=f"{_HERE}.import_proof:difference",
    program=ProgramForm(
        parts=MappingProxyType({"": ProgramOutputs(("mask",), ("empty",))}),
        size=512,
        single_label=True,
        # 0.4 empties a mask (docs/sources.md 3).
        points=(Point("study"), Point("mask"), Point("empty", 0.4, "published for another model")),
        default_of=("segmentation-model",),
    ),
)

_LUNGS = ModelTask(
    id="lungs",
    title="Lung fields on chest radiographs",
    modality="CR",
    labels=(KnownLabel("lungs", "Lung fields", "39607008"),),
    scorer="AcuteFindingsLib.detectors.radiograph_scorers:LungsScorer",
    settings=_SETTINGS,
    data_sets=("lung-masks",),
    stages=(("segment",),),
    single_images=True,
    image_masks=True,
    probabilities=False,
    proof=f"{_HERE}.import_proof:difference",
    program=ProgramForm(
        parts=MappingProxyType({"": ProgramOutputs(("mask",))}),
        size=256,
        single_label=True,
        points=(Point("mask"),),
    ),
)

_CHEST = ModelTask(
    id="chest",
    title="Findings and tubes on chest radiographs",
    modality="CR",
    labels=(
        _PNEUMOTHORAX,
        KnownLabel("effusion", "Pleural effusion", "60046008", spellings=("pleural_effusion",)),
        KnownLabel("atelectasis", "Atelectasis", "46621007"),
        KnownLabel("cardiomegaly", "Cardiomegaly", "8186001"),
        KnownLabel("pneumonia", "Pneumonia", "233604007", spellings=("pneumonia_like",)),
        KnownLabel("consolidation", "Consolidation", "95436008"),
        KnownLabel("edema", "Pulmonary edema", "19242006"),
        KnownLabel("emphysema", "Emphysema", "87433001"),
        KnownLabel("fibrosis", "Pulmonary fibrosis", "51615001"),
        KnownLabel("hernia", "Diaphragmatic hernia", "39839004"),
        KnownLabel("chest_drain", "Chest drain", "264957007", spellings=("chest_drainage", "thoracostomy")),
        KnownLabel("tracheostomy", "Tracheostomy tube", "129121000"),
        KnownLabel("endotracheal", "Endotracheal tube", "26412008"),
        KnownLabel("nasogastric", "Nasogastric tube", "17102003", spellings=("nsg",)),
    ),
    scorer="AcuteFindingsLib.detectors.radiograph_scorers:ChestScorer",
    settings=_SETTINGS,
    data_sets=("nih", "padchest"),
    stages=(("findings",),),
    single_images=True,
    proof=f"{_HERE}.import_proof:difference",
    program=ProgramForm(
        parts=MappingProxyType({"": ProgramOutputs(("pathologies",), ("tubes",))}),
        size=224,
        label_sets=MappingProxyType(
            {
                "onnx": (XRV_LABELS,),
                "torchscript": (XRV_LABELS,),
                "densenet121": (XRV_LABELS, CHEXNET_LABELS, (_PNEUMOTHORAX.name,)),
            }
        ),
        labeled_outputs=("pathologies", "tubes"),
        points=(Point("study", every_label=True),),
        default_of=("densenet121",),
    ),
)

KIND = DetectorKind(
    id="pneumothorax",
    finding="Pneumothorax",
    short="Pneumothorax",
    study="Chest radiograph",
    module="PneumothoraxSeg",
    module_title="Pneumothorax Seg",
    task=_TASK,
    companions=(_LUNGS, _CHEST),
    requirements=RadiographRequirements(study_name="frontal chest radiographs"),
    codes=ReportCodes(
        label="Pneumothorax",
        finding=_FINDING,
        site=_THORAX,
        procedure=Code("SCT", "413815006", "Chest imaging"),
        body_part="CHEST",
    ),
    segments=(
        Segment("Pneumothorax", ALTERED, _FINDING, _THORAX, (0.85, 0.15, 0.15)),
        Segment("Right lung", ANATOMICAL, RIGHT_LUNG, None, (0.30, 0.60, 0.85)),
        Segment("Left lung", ANATOMICAL, LEFT_LUNG, None, (0.35, 0.75, 0.60)),
    ),
    detector=f"{_HERE}.detector:PneumothoraxDetector",
    rule=f"{_HERE}.scorer:PneumothoraxRule",
    layout="radiograph",
    reasons=f"{_HERE}.reasons:reasons_of",
    features=f"{_HERE}.features:features",
    flags=f"{_HERE}.features:FLAGS",
    phantoms=SamplePhantoms(
        generator="chest-xray",
        make="AcuteFindingsLib.phantoms.chest_xray.generate:make_chest_xray",
        finding="pneumothorax",
        seed=15,
        samples=(
            Sample("Chest phantom, pneumothorax", True, "SamplePneumothorax.png"),
            Sample("Chest phantom, no pneumothorax", False, "SampleNoPneumothorax.png"),
        ),
        variants=("skin-fold", "bulla", "companion-shadow", "chest-drain"),
    ),
)
