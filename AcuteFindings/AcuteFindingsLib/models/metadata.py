"""What a model package says about itself: MONAI's metadata with one section of our own."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from AcuteFindingsLib.names import detector_name, file_name, label_name, model_id, plain_text, version_name

Task = Annotated[str, AfterValidator(detector_name)]
"""What a model answers for: the name of a detector or of its companion, or `models.task.PART`."""

ModelId = Annotated[str, AfterValidator(model_id)]
LabelName = Annotated[str, AfterValidator(label_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return plain_text(value) if isinstance(value, str) else value


class Label(_Strict):
    """One output of the model. `code` is a SNOMED CT code where there is one."""

    name: LabelName
    meaning: str
    code: str = Field(default="", pattern=r"^[0-9A-Za-z.-]*$")


class OperatingPoint(_Strict):
    """A threshold on one label's probability, and how it was chosen.

    `level` says what is held against it: a slice, a whole study (stack or radiograph), a voxel or pixel of a mask, or
    the model's "mask is empty" output.
    """

    level: Literal["slice", "study", "mask", "empty"]
    label: LabelName
    threshold: float = Field(ge=0.0, le=1.0)
    chosen: str


class Network(_Strict):
    """Name and arguments for `AcuteFindingsLib.networks.build_network`."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Interval(_Strict):
    """A measured figure with its 95 % interval."""

    metric: str
    value: float
    low: float
    high: float
    data: str
    count: int
    command: str


class Published(_Strict):
    """A figure that a model's authors published, as they state it; nothing of it was measured here.

    `label` is the output that it is about; empty where it is about all, or about masks. `low` and `high` are the 95 %
    interval where the authors state one. `source` is where it stands: an address or a paper.
    """

    metric: str
    label: LabelName | Literal[""] = ""
    value: float
    low: float | None = None
    high: float | None = None
    data: str
    count: str
    source: str


class TrainingData(_Strict):
    """What the weights were fitted to, in words and numbers. `phantoms_only` is shown wherever the model is."""

    summary: str
    phantoms_only: bool
    count: str
    restriction: str = ""


class Origin(_Strict):
    """Where imported weights come from, and the proof that they answer as they did there.

    `largest_difference` is the largest between the source's own numbers and the package's on the same input, relative
    to the largest number where that exceeds 1; None where the source could not be run here, `remark` says why.
    `detector_difference` is the largest between what the model's detector says of a phantom, probabilities and masks,
    and what the source says of it; None where that was not compared, as of a part. Of a repository, `revision` is its
    commit, and `files` are the SHA-256 of what was taken from it, by path; `sha256` is that of their list.
    """

    file: str
    sha256: str
    form: str
    revision: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    compared_with: str = ""
    largest_difference: float | None = None
    detector_difference: float | None = None
    remark: str = ""


class Picture(_Strict):
    """A picture that the model card shows: a file in the package's `docs/`, and what is to be seen."""

    file: Annotated[str, AfterValidator(file_name)]
    caption: str


_GraphFile = Annotated[str, Field(max_length=100, pattern=r"^models/graphs/[A-Za-z0-9_.]+\.onnx$")]
_OutputNames = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(min_length=1)]


class GraphPart(_Strict):
    """The ONNX graph of one part of a network: its file, and the network's outputs that it gives, in order."""

    file: _GraphFile
    outputs: _OutputNames


class ExplainingGraph(_Strict):
    """The ONNX graph of a part and of where it looked: the maps of the outputs that it `explains`.

    `then` is the part that gives these outputs, where it is another. `method` is what its maps are called.
    `largest_difference` is the largest between the maps of torch and of ONNX Runtime, as a share of a map's maximum.
    """

    file: _GraphFile
    part: str = ""
    outputs: _OutputNames
    explains: _OutputNames
    then: str = ""
    method: str = Field(default="Grad-CAM", min_length=1, max_length=60)
    largest_difference: float = 0.0


class Graphs(_Strict):
    """ONNX graphs without weights, by part of the network (``""`` for the whole), or the reason why there are none.

    `largest_difference` is the largest between the answers of torch and of ONNX Runtime after the sigmoid; what both
    were asked says `compared_on`. Without a graph that explains, `unexplained` says why.
    """

    parts: dict[Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z0-9_]*$")], GraphPart] = Field(
        default_factory=dict
    )
    opset: int = Field(default=0, ge=0)
    largest_difference: float | None = None
    compared_on: str = ""
    reason: str = ""
    explaining: ExplainingGraph | None = None
    unexplained: str = ""


class Card(_Strict):
    """Our section of `configs/metadata.json`, under the key ``acutefindings``.

    `form` is that of `models.task.ModelForm`, empty for the usual form of the task's models. `published` are figures of
    the model's authors, `evaluation` those measured with this very package.

    `never_saw` ends the sentence "demonstration model, never saw ...", for example ``"a patient"``: it stands beside
    every verdict on a study that is not a phantom. Empty for a model that saw what it is asked about, and for one of
    which nothing is known. A model fitted to phantoms only never saw a patient, whether its card says so or not.
    """

    id: ModelId
    task: Task
    form: Annotated[str, AfterValidator(detector_name)] | Literal[""] = ""
    title: str
    network: Network
    preprocessing: dict[str, Any]
    labels: list[Label]
    operating_points: list[OperatingPoint]
    rule: dict[str, Any] = Field(default_factory=dict)
    companions: dict[Task, ModelId] = Field(default_factory=dict)
    training_data: TrainingData
    evaluation: list[Interval]
    published: list[Published] = Field(default_factory=list)
    license: str = Field(validation_alias=AliasChoices("licence", "license"), serialization_alias="licence")
    intended_use: str
    limitations: str
    sources: list[str] = Field(default_factory=list)
    origin: Origin | None = None
    graphs: Graphs | None = None
    pictures: list[Picture] = Field(default_factory=list)
    never_saw: str = Field(default="", max_length=60, pattern=r"^[\w ,'()-]*$")

    @field_validator("labels", mode="after")
    @classmethod
    def _each_once(cls, labels: list[Label]) -> list[Label]:
        names = [label.name for label in labels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names {twice[0]!r} twice; each output needs a name of its own")
        return labels

    @model_validator(mode="after")
    def _phantoms_are_no_patients(self) -> Self:
        if self.training_data.phantoms_only and not self.never_saw:
            self.never_saw = "a patient"
        return self

    def measured_labels(self, *, main: bool = True) -> tuple[str, ...]:
        """Names of the labels that a figure of `evaluation` or `published` is about, in order; others are not reported.

        A figure names its label as a part of `Interval.metric` (``"AUC, slice, subdural hemorrhage"``); one that names
        none is about the first label, where that is the `main` one: of a chest model all count alike. An imported model
        that states no figures was measured where it comes from: all its labels count.
        """
        if self.origin is not None and not self.evaluation:
            return tuple(label.name for label in self.labels)
        parts = {part.strip().casefold() for figure in self.evaluation for part in figure.metric.split(",")}
        parts |= {figure.label.casefold() for figure in self.published if figure.label}
        first = self.labels[0].name if main and self.labels else ""
        return tuple(
            label.name
            for label in self.labels
            if label.name == first or parts & {label.name.casefold(), label.meaning.casefold()}
        )

    def threshold(self, level: str, label: str) -> float:
        """Return the operating point for a label at a level; KeyError names what is missing."""
        for point in self.operating_points:
            if (point.level, point.label) == (level, label):
                return point.threshold
        raise KeyError(f"model {self.id} states no operating point for {label!r} at {level} level")


class Metadata(BaseModel):
    """`configs/metadata.json`: the fields that MONAI's bundle specification demands, and the card."""

    model_config = ConfigDict(extra="allow")

    version: Annotated[str, AfterValidator(version_name)]
    changelog: dict[str, str]
    monai_version: str
    pytorch_version: str
    numpy_version: str
    required_packages_version: dict[str, str] = Field(default_factory=dict)
    task: str
    description: str
    authors: str
    copyright: str
    network_data_format: dict[str, Any]
    acutefindings: Card
