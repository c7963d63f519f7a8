"""An import description: what a public model's files are, and what becomes of them here. Data, never code.

One YAML file a model, in ``Resources/Imports`` or the user's own. Its tensors are named by the files that they come
from: the tensor ``conv.weight`` of the file ``classifier`` is ``classifier.conv.weight`` in the package, in the graphs
beside the description (``Resources/Imports/<id>/<part>.onnx``, no weights in them) and in the network's state dict.
"""

import re
from math import prod
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.models.metadata import (
    ExplainingGraph,
    GraphPart,
    Label,
    ModelId,
    Network,
    OperatingPoint,
    Published,
    Task,
    TrainingData,
)
from AcuteFindingsLib.names import detector_name

_PART = r"^[A-Za-z0-9_]*$"
_ADDRESS = re.compile(r"hf:[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


# Repeats within repeats take exponential time; in names of tensors a repeated group is never needed.
_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _path(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or "\\" in text or ":" in text:
        raise ValueError(f"{text!r} is no path inside a repository")
    return text


def _address(text: str) -> str:
    if not (_ADDRESS.fullmatch(text) or text.startswith("https://")):
        raise ValueError(f"{text!r} is neither hf:OWNER/NAME nor an https address")
    return text


RepositoryPath = Annotated[str, AfterValidator(_path)]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    if _REPEATED_GROUP.search(text):
        raise ValueError(f"{text!r} repeats a group, which can take forever to compare; write it without")
    return text


# A regular expression of the whole name of a tensor.
NamePattern = Annotated[str, Field(max_length=200), AfterValidator(_pattern)]


class Rename(_Strict):
    """What a tensor's name in the source's file becomes: `pattern` is a regular expression of the whole name."""

    pattern: NamePattern
    to: str = Field(max_length=200)


class WeightsFile(_Strict):
    """One file of tensors.

    Attributes
    ----------
    path
        In the repository; of several, the first that is there.
    prefix
        Goes before the names of its tensors; the file's key and a dot by default, nothing where it is empty.
    renames
        Applied in order to a name, before the prefix; the first that fits counts.
    unused
        Regular expressions of names, as in the file, that nothing here needs.
    """

    path: list[RepositoryPath] = Field(min_length=1)
    prefix: str | None = None
    renames: list[Rename] = Field(default_factory=list)
    unused: list[NamePattern] = Field(default_factory=list)


class Terms(_Strict):
    """The license of the weights: `name` is its SPDX id where there is one; `text` is what stands in the package."""

    name: str
    commercial: bool
    text: str
    address: str = ""


class Graph(_Strict):
    """The graphs that lie beside the description, as the card states them (`models.metadata.Graphs`)."""

    parts: dict[Annotated[str, Field(max_length=40, pattern=_PART)], GraphPart] = Field(min_length=1)
    opset: int = Field(ge=1)
    explaining: ExplainingGraph | None = None
    unexplained: str = ""
    largest_difference: float | None = None
    compared_on: str = ""


class ImageFormat(_Strict):
    """What the network is shown; MONAI's `network_data_format`, shortened."""

    channels: int = Field(ge=1)
    shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=2, max_length=3)
    value_range: tuple[float, float]

    @model_validator(mode="after")
    def _bounded(self) -> "ImageFormat":
        if self.channels * prod(self.shape) > budgets().pixels:
            raise ValueError(f"{self.channels} channels of {self.shape} are more than any image has")
        return self


class ImportDescription(_Strict):
    """One public model.

    Attributes
    ----------
    id
        Of the package that it becomes; the name of the description's file.
    address
        ``hf:OWNER/NAME``, or an https address where it lies elsewhere.
    revision
        Commit, tag or branch on the hub; the newest where empty.
    recommended
        Whether it is the one to take for its task.
    needs
        Why it cannot be imported today, in words; empty where it can.
    torch
        Whether PyTorch is needed to import or run it: there are no graphs.
    importer
        Name of an importer (``--as``) that reads its file, for a model without graphs of its own; empty else.
    options
        What `importer` is told.
    megabytes
        Of the files to download; 0 where that is not known.
    published, training_data, intended_use, limitations, sources
        As the card has them.
    """

    id: ModelId
    address: Annotated[str, AfterValidator(_address)]
    revision: str = ""
    task: Task
    form: Annotated[str, AfterValidator(detector_name)] | Literal[""] = ""
    title: str
    told: str
    recommended: bool = False
    needs: str = ""
    torch: bool = False
    importer: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    megabytes: float = Field(ge=0)
    license: Terms
    files: dict[Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z0-9_]+$")], WeightsFile] = Field(
        default_factory=dict
    )
    network: Network | None = None
    graphs: Graph | None = None
    image: ImageFormat | None = None
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    labels: list[Label] = Field(default_factory=list)
    operating_points: list[OperatingPoint] = Field(default_factory=list)
    rule: dict[str, Any] = Field(default_factory=dict)
    companions: dict[Task, ModelId] = Field(default_factory=dict)
    training_data: TrainingData
    published: list[Published] = Field(default_factory=list)
    intended_use: str = "Research with a model that was trained elsewhere. Not for patients."
    limitations: str
    sources: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "ImportDescription":
        if self.needs:
            return self
        if not self.megabytes:
            raise ValueError(f"{self.id} does not say how large its files are")
        if not self.files:
            raise ValueError(f"{self.id} names no files; list them, or say with 'needs' why it cannot be imported")
        if not self.importer and (self.network is None or self.image is None or not self.labels):
            raise ValueError(f"{self.id} needs network, image and labels, or the importer that reads its file")
        return self
