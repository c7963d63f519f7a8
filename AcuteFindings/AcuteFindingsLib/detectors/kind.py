"""What a detector is, as data: one object a detector, in the detector's own folder.

A kind says everything that others need to know of a detector: its names in words, its codes, what it asks of a study,
its models, its samples and how its result is laid out in Slicer. What is heavy is named as ``"module:name"`` and
imported when it is asked for: importing a kind takes milliseconds and neither numpy nor torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from AcuteFindingsLib.detectors.code import Code
from AcuteFindingsLib.models.task import ModelTask, load_reference
from AcuteFindingsLib.names import detector_name
from AcuteFindingsLib.study.requirements import CtRequirements, RadiographRequirements


@dataclass(frozen=True)
class ReportCodes:
    """What a detector looks for, where, and in which kind of examination, as DICOM reports state it.

    Attributes
    ----------
    label
        Names the segments, the series and its description.
    finding
        What the detector looks for.
    site
        Where it looks (Finding Site); None where that is not known.
    procedure
        The kind of examination (Procedure Reported).
    body_part
        A term of PS3.16 Annex L for Body Part Examined (0018,0015); empty where that is not known.
    """

    label: str
    finding: Code
    site: Code | None
    procedure: Code
    body_part: str = ""


@dataclass(frozen=True)
class Segment:
    """A segment that a detector draws: its name, its terminology and its color (RGB in 0..1)."""

    name: str
    category: Code
    type: Code
    anatomy: Code | None
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Sample:
    """A sample study in Slicer's Sample Data module.

    Attributes
    ----------
    name
        What the module calls it, in English; also the volume node's name.
    positive
        Whether the finding is in it. Two samples of a kind differ in the finding alone.
    thumbnail
        Name of its picture in ``Resources/Icons``; of a detector of another package the whole path.
    """

    name: str
    positive: bool
    thumbnail: str


@dataclass(frozen=True)
class SamplePhantoms:
    """The phantoms that show what a detector looks for.

    Attributes
    ----------
    generator
        Name of the kind of phantoms, as ``acutefindings phantom`` takes it.
    make
        ``"module:name"`` of the function that draws one: ``make(seed, positive=..., finding=..., **options)``.
    finding
        What the finding is called in the phantom's truth files: the mask's file, the columns of the tables.
    mask
        Name of the finding's mask, where that is another one.
    variants
        What the generator can add that looks like the finding and is none, or hides it: its option ``variants``.
    exam_labels
        ``"module:name"`` of the function from a row of ``study.csv`` to the labels of the whole examination that data
        sets have; empty where labels are of slices alone.
    seed
        Fixes every voxel of the samples.
    options
        Further arguments of the generator for the samples.
    samples
        The sample studies.
    """

    generator: str
    make: str
    finding: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    samples: tuple[Sample, ...] = ()
    mask: str = ""
    exam_labels: str = ""
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Importer:
    """A form of file that only this detector's models have, and how it is read.

    Attributes
    ----------
    name
        As ``acutefindings import --as`` takes it.
    told
        What the file is, in words.
    convert
        ``"module:name"`` of the function from file and `models.importing.converted.Options` to `Converted`.
    recognize
        ``"module:name"`` of the function that says from an opened file whether it is one; empty where nobody can tell.
    """

    name: str
    told: str
    convert: str
    recognize: str = ""


@dataclass(frozen=True)
class DetectorKind:
    """One detector, as data.

    Attributes
    ----------
    id
        As on the command line, in findings, scenes and model cards.
    finding
        What it looks for, as at the beginning of a sentence.
    short
        The same in one or two words, as nodes and segments are called.
    study
        What a volume that it reads is called, as at the beginning of a sentence.
    module, module_title
        Name and title of its module in Slicer; a detector without a module has no name here.
    task
        What its model answers for. Its id is that of the detector.
    companions
        What the further models that it runs with answer for.
    requirements
        What a study must be.
    codes
        Codes of its reports.
    segments
        What its models draw, or some of them (`ModelForm`), its finding first; empty where none draws anything.
    detector
        ``"module:name"`` of the detector's class: ``cls(predictor, **companions)``, each companion by its task's id.
    rule
        ``"module:name"`` of the pydantic class of the numbers of its decision rule.
    phantoms
        Its sample studies; None where no generator draws them.
    layout
        How its result is laid out: ``"stack"``, slices with a chart, or ``"radiograph"``, one picture.
    window
        Level and width (HU) in which people look at its studies; None for radiographs.
    importers
        Forms of file that only its models have.
    reasons
        ``"module:name"`` of the function ``(study, finding) -> tuple[Reason, ...]``: what a reader can check of a
        verdict, computed from the images; empty where it gives none.
    doubts
        Codes of those reasons (`Reason.code`) that leave a positive verdict indeterminate.
    features
        ``"module:name"`` of the function ``(study) -> dict[str, float]``: what of a study is held against the images of
        a model (`Likeness`); empty where nothing is.
    flags
        ``"module:name"`` of a mapping from a feature's name to what it means where it is lower than in the model's
        images, and where higher; an empty text where it means nothing by itself.
    """

    id: str
    finding: str
    short: str
    study: str
    module: str
    module_title: str
    task: ModelTask
    requirements: CtRequirements | RadiographRequirements
    codes: ReportCodes
    detector: str
    rule: str
    layout: Literal["stack", "radiograph"]
    companions: tuple[ModelTask, ...] = ()
    segments: tuple[Segment, ...] = ()
    phantoms: SamplePhantoms | None = None
    window: tuple[float, float] | None = None
    importers: tuple[Importer, ...] = ()
    reasons: str = ""
    doubts: tuple[str, ...] = ()
    features: str = ""
    flags: str = ""

    def __post_init__(self) -> None:
        """Raise `ValueError` where names are not names, or not what they should be."""
        detector_name(self.id)
        if self.task.id != self.id:
            raise ValueError(f"the task of the detector {self.id} is called {self.task.id}; both need one name")
        names = [task.id for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"the detector {self.id} names a task twice: {', '.join(names)}")

    @property
    def tasks(self) -> tuple[ModelTask, ...]:
        """Its own task and those of its companions."""
        return (self.task, *self.companions)

    @property
    def reads_radiographs(self) -> bool:
        """Whether it reads single pictures and not stacks of CT slices."""
        return isinstance(self.requirements, RadiographRequirements)

    def requirements_of(self, form: str = "") -> CtRequirements | RadiographRequirements:
        """Return what a study must be for models of a form (`Card.form`)."""
        return self.task.form(form).requirements or self.requirements

    def load_rule(self, form: str = "") -> Any:
        """Return the pydantic class of the numbers of the decision rule for models of a form (`Card.form`)."""
        return load_reference(self.task.form(form).rule or self.rule)

    def load_detector_class(self, form: str = "") -> Any:
        """Return the detector's class for models of a form (`Card.form`); importing it takes a second."""
        return load_reference(self.task.form(form).detector or self.detector)

    def scorer(self, form: str = "") -> Any:
        """Return what takes a study of its own task to probabilities and masks; importing it may take seconds."""
        return self.task.load_scorer(form)
