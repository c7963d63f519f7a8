"""What a model answers for, as data: its labels, what a program that gives the answers must have, how it is trained.

Nothing here imports numpy, pydantic or torch. The classes that a task names are given as ``"module:name"`` and are
imported only when they are needed (`load_reference`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from AcuteFindingsLib.names import detector_name, label_name

PART = "part"
"""The task of a model that answers no question by itself: a backbone, an encoder or a sequence network to train on."""

VOLUME_MASK = "volume-mask"
"""The form of a model that answers for a whole volume at once with the probability of every voxel."""

SLABS = "slab-sequence"
"""The form of models of CT that read slices with their neighbors in several windows, and perhaps the series."""

Level = Literal["slice", "study", "mask", "empty"]


def load_reference(reference: str) -> Any:
    """Return what ``"module:name"`` names; importing the module may take seconds.

    Raises
    ------
    ImportError
        There is no such module, or it cannot be imported.
    AttributeError
        The module has no such name.
    """
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True)
class KnownLabel:
    """One output that models of a task have.

    Attributes
    ----------
    name
        As in a model's card and in the columns of tables: ``"any"``.
    meaning
        As a model's card states it: ``"Any intracranial hemorrhage"``.
    code
        SNOMED CT code; empty where there is none.
    heading
        What charts and tables that people read call it; empty where that is the name itself.
    spellings
        Other names, in lower case, that data sets and challenges give the same finding.
    run_lengths
        Name, in lower case, of the column in which a challenge gives the finding's mask as run lengths.
    """

    name: str
    meaning: str
    code: str = ""
    heading: str = ""
    spellings: tuple[str, ...] = ()
    run_lengths: str = ""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a name that cannot be one."""
        label_name(self.name)


@dataclass(frozen=True)
class Point:
    """An operating point that an imported model starts with, as `models.metadata.OperatingPoint` has it.

    Attributes
    ----------
    level
        What is compared with it.
    threshold
        The number; 0.5 where the source states none.
    chosen
        How it was chosen; empty for "half, for the source states none".
    every_label
        For each label of the model, not for the first one only.
    """

    level: Level
    threshold: float = 0.5
    chosen: str = ""
    every_label: bool = False


@dataclass(frozen=True)
class ProgramOutputs:
    """What one part of a program (an ONNX or TorchScript file) must answer.

    Attributes
    ----------
    needed
        Names of the outputs without which there is no verdict.
    optional
        Names of outputs that are used where they are there.
    reads
        The output of the first part that this part takes, ``(n, length, numbers)``; empty for the first part, which
        takes images ``(n, channels, y, x)``.
    length
        How many slices the part is asked about at once where it `reads`.
    """

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    reads: str = ""
    length: int = 0


@dataclass(frozen=True)
class ProgramForm:
    """What an imported model of a task must have, and what is assumed where its file does not say.

    Attributes
    ----------
    parts
        Outputs by the name of the part; ``""`` for a model of one part. The first part is shown images.
    size
        Pixels per side of the images.
    value_range
        Lowest and highest value of the images that the first part is shown.
    normalized
        Whether images are normalized with a mean and a deviation, as radiographs are; else the range is all there is.
    label_sets
        Names of the outputs of public models, in order, by the importer that reads these; of an importer's sets the one
        with as many names as the model has outputs is taken.
    single_label
        Whether a model without stated labels has the first label of the task alone.
    labeled_outputs
        The outputs whose last axis the labels count.
    points
        Operating points of an imported model.
    settings
        Preprocessing numbers of an imported program beside its size.
    length_setting
        The preprocessing number that takes the length of the program's sequence; empty where there is none.
    default_of
        Names of the importers whose files are meant for this task where nobody says which.
    """

    parts: Mapping[str, ProgramOutputs]
    size: int
    value_range: tuple[float, float] = (0.0, 1.0)
    normalized: bool = True
    label_sets: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=lambda: MappingProxyType({}))
    single_label: bool = False
    labeled_outputs: tuple[str, ...] = ("slice",)
    points: tuple[Point, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    length_setting: str = ""
    default_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelForm:
    """A form of model that answers for a task otherwise than the task's usual models do.

    A package states its form in its card (`Card.form`); the usual form has no name.

    Attributes
    ----------
    id
        As in a model's card: ``"volume-mask"``.
    told
        What such a model is, in words.
    scorer, settings
        ``"module:name"`` as `ModelTask` has them.
    detector, rule
        ``"module:name"`` as `detectors.kind.DetectorKind` has them; empty for a companion's task, or where the usual
        ones serve.
    part
        What one connected part of the finding is called where the form draws volumes: ``"clot"``.
    measure
        ``"module:name"`` of the function that measures these parts, as `detectors.volume_finding.Measure`.
    requirements
        What a study must be for it, as `detectors.kind.DetectorKind` has them; None where the usual ones hold.
    """

    id: str
    told: str
    scorer: str
    settings: str
    detector: str = ""
    rule: str = ""
    part: str = ""
    measure: str = ""
    requirements: Any = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for a name that cannot be one."""
        detector_name(self.id)


@dataclass(frozen=True)
class ModelTask:
    """What a model answers for.

    Attributes
    ----------
    id
        As in a model's card and on the command line: ``"lungs"``.
    title
        The question in words: ``"Lung fields on chest radiographs"``.
    modality
        ``"CT"`` or ``"CR"``: the kind of image that models of this task are shown, as MONAI's bundles name it.
    labels
        The outputs that models of this task are known to have, the main one first.
    scorer
        ``"module:name"`` of what takes a study to probabilities and masks.
    settings
        ``"module:name"`` of the pydantic class of the preprocessing numbers.
    program
        What an imported model must have; None where none can be imported.
    proof
        ``"module:name"`` of the function that lets the detector with an imported model, and the model's source, judge
        one phantom and returns the largest difference; empty where they are not compared.
    stages
        The stages of training that a recipe may have, each a complete list in order.
    data_sets
        Layouts of data sets (`training.data.KINDS`) that are read for this task where nobody names another.
    single_images
        Whether a model of this task answers for one image by itself.
    image_masks
        Whether the answer for a single image holds a mask.
    probabilities
        Whether a model of this task answers with probabilities; else with masks alone.
    models_of
        The task whose models answer for this one: a detector of one label of a chest model has no models of its own.
        Empty where models are made for this task itself.
    forms
        Forms of model beside the usual one.
    """

    id: str
    title: str
    modality: Literal["CT", "CR"]
    labels: tuple[KnownLabel, ...]
    scorer: str
    settings: str
    program: ProgramForm | None = None
    proof: str = ""
    stages: tuple[tuple[str, ...], ...] = ()
    data_sets: tuple[str, ...] = ()
    single_images: bool = False
    image_masks: bool = False
    probabilities: bool = True
    models_of: str = ""
    forms: tuple[ModelForm, ...] = ()

    def __post_init__(self) -> None:
        """Raise `ValueError` for a name that cannot be one."""
        detector_name(self.id)
        if self.id == PART:
            raise ValueError(f"a task cannot be called {PART!r}: that is a model that answers no question by itself")
        if not self.labels:
            raise ValueError(f"the task {self.id} needs at least one label")

    @property
    def made_for(self) -> str:
        """The task that the cards of its models state."""
        return self.models_of or self.id

    @property
    def main_label(self) -> str:
        """The name of the first label."""
        return self.labels[0].name

    def label(self, name: str) -> KnownLabel:
        """Return what is known of a label; a name that is not known means itself."""
        known = {label.name: label for label in self.labels}
        return known.get(name) or KnownLabel(name, name.replace("_", " ").capitalize())

    def form(self, name: str) -> ModelForm:
        """Return the form of a name, as a card has it; ``""`` is the usual one.

        Raises
        ------
        ValueError
            Models of this task have no such form; names those there are.
        """
        usual = ModelForm("usual", "", self.scorer, self.settings)
        known = {"": usual} | {form.id: form for form in self.forms}
        if name not in known:
            told = ", ".join(form.id for form in self.forms) or "the usual one alone"
            raise ValueError(f"models for {self.id} have no form {name!r}; there is {told}")
        return known[name]

    def load_settings(self, form: str = "") -> Any:
        """Return the pydantic class of a form's preprocessing numbers; importing it takes numpy and SciPy."""
        return load_reference(self.form(form).settings)

    def load_scorer(self, form: str = "") -> Any:
        """Return what takes a study to probabilities and masks; importing it may take seconds."""
        return load_reference(self.form(form).scorer)
