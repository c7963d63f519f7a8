"""What a recipe says: a published experiment as data, from data set to model card."""

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings
from AcuteFindingsLib.detectors.pe.detector import PESettings
from AcuteFindingsLib.detectors.pneumothorax.radiograph import RadiographSettings
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.training.recipes.plans import (
    Augmentation,
    Change,
    EncodeStage,
    Optimiser,
    OutputLoss,
    Sampler,
    Share,
    Stages,
    Strict,
    TrainStage,
)

__all__ = [
    "Augmentation",
    "CardWords",
    "Change",
    "DataPlan",
    "EncodeStage",
    "Optimiser",
    "OutputLoss",
    "Phantoms",
    "Published",
    "Recipe",
    "Sampler",
    "Split",
    "Stages",
    "TrainStage",
]

RecipeTask = Literal["pe", "hemorrhage", "pneumothorax", "chest", "lungs"]
DataKind = Literal[
    "rsna-pe",
    "pe-study",
    "rsna-hemorrhage",
    "siim",
    "nih",
    "padchest",
    "corrections",
    "phantoms",
    "head-slices",
    "lung-masks",
]

_SETTINGS: dict[str, type[PESettings] | type[HemorrhageSettings] | type[RadiographSettings]] = {
    "pe": PESettings,
    "hemorrhage": HemorrhageSettings,
    "pneumothorax": RadiographSettings,
    "chest": RadiographSettings,
    "lungs": RadiographSettings,
}
_STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "pe": (("slice",), ("slice", "encode", "sequence")),
    "hemorrhage": (("scan",),),
    "pneumothorax": (("image",), ("segment",)),
    "chest": (("findings",),),
    "lungs": (("segment",),),
}
PHANTOM_KINDS = {
    "pe": "ctpa",
    "hemorrhage": "head-ct",
    "pneumothorax": "chest-xray",
    "chest": "chest-xray",
    "lungs": "chest-xray",
}


class Phantoms(Strict):
    """Phantoms to train on where no data set is at hand: how many, from which seed on, and how finely drawn."""

    count: int = Field(default=60, ge=2)
    seed: int = Field(default=0, ge=0)
    options: dict[str, Any] = Field(default_factory=dict)


class Split(Strict):
    """Who is trained on and who is kept aside; patients (and near-identical images) always stay together.

    `test` of the patients are measured on at the end. The others make `folds` folds, each held out once to choose the
    epoch and the operating points; with one fold, `validation` of the others are. Without a `test` share each fold's
    held-out patients are measured on, and `validation` of the rest chooses. `use` names the folds to run.
    """

    folds: int = Field(default=1, ge=1)
    validation: Share = 0.2
    test: Share = 0.2
    use: tuple[int, ...] | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _somebody_is_left(self) -> "Split":
        if self.test + (self.validation if self.folds == 1 else 0) >= 1:
            raise ValueError("test and validation leave nobody to train on; together they must stay below 1")
        if self.folds == 1 and self.test == 0:
            raise ValueError("with one fold a share must be kept aside: test above 0")
        if self.use is not None and any(not 0 <= fold < self.folds for fold in self.use):
            raise ValueError(f"use names folds from 0 to {self.folds - 1}, got {list(self.use)}")
        return self


class DataPlan(Strict):
    """The data set of the experiment and what is taken from it.

    Attributes
    ----------
    kind
        The layout in which people have it.
    labels
        Which labels are trained on, in order; left out, those of the task.
    region
        Of radiographs: the ``whole`` picture, a ``lung-crop``, ``lungs-only`` or ``lungs-removed``.
    per_class
        So many positive and negative slices or images are drawn at random before the split; left out, all.
    phantoms
        What stands in where no folder is named.
    """

    kind: DataKind
    labels: tuple[str, ...] | None = None
    region: Literal["whole", "lung-crop", "lungs-only", "lungs-removed"] = "whole"
    per_class: int | None = Field(default=None, ge=1)
    split: Split = Split()
    phantoms: Phantoms = Phantoms()


class Published(Strict):
    """A figure of the publication, to hold one's own beside."""

    metric: str
    value: float
    data: str = ""


class CardWords(Strict):
    """What the model card says beyond the figures.

    `empty_threshold` is stated as operating point of the empty-mask branch, instead of one chosen on validation data.
    """

    licence: str = "Apache-2.0"
    intended_use: str = "To rerun a published experiment and to compare. Research only, not for patients."
    limitations: str = ""
    restriction: str = ""
    empty_threshold: Share | None = None


class Recipe(Strict):
    """One experiment.

    Attributes
    ----------
    id
        Also the model package's.
    source, published
        Where the experiment is described, and its figures.
    task
        Of the model package.
    network
        Name and arguments for `build_network`.
    start
        Model package (id or folder) whose weights the network starts from, where names and shapes agree.
    input_range
        What 0..1 of a picture becomes for the network; left out, what the task's detector gives it.
    runs
        How often everything is repeated with another seed.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    source: str
    published: tuple[Published, ...] = ()
    task: RecipeTask
    data: DataPlan
    network: Network
    start: str | None = None
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    input_range: tuple[float, float] | None = None
    stages: Stages
    runs: int = Field(default=1, ge=1)
    seed: int = 0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    card: CardWords = CardWords()
    notes: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        try:
            _SETTINGS[self.task].model_validate(self.preprocessing)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in ("preprocessing", *first["loc"]))
            known = ", ".join(_SETTINGS[self.task].model_fields)
            advice = f"; it takes {known}" if first["type"] == "extra_forbidden" else ""
            told = "there is no such key" if advice else first["msg"]
            raise ValueError(f"{place}: {told}{advice}") from error
        present = tuple(self.stages.present())
        if present not in _STAGES[self.task]:
            allowed = " or ".join(", ".join(names) for names in _STAGES[self.task])
            raise ValueError(f"stages: the task {self.task} has the stages {allowed}, got {', '.join(present)}")
        if self.data.region != "whole" and self.task not in ("pneumothorax", "chest"):
            raise ValueError(
                f"data.region: only radiographs of findings have lungs to cut to, not the task {self.task}"
            )
        return self

    def settings(self) -> PESettings | HemorrhageSettings | RadiographSettings:
        """Return the preprocessing numbers with the task's defaults filled in, and what of the picture is shown."""
        shown = {} if self.data.region == "whole" else {"region": self.data.region}
        return _SETTINGS[self.task].model_validate({**self.preprocessing, **shown})

    @property
    def reads_series(self) -> bool:
        """Whether slices are read with their series, and not one by one."""
        return self.task == "hemorrhage" or self.stages.sequence is not None

    @property
    def phantom_kind(self) -> str:
        """Return which phantoms stand in for the data set."""
        return PHANTOM_KINDS[self.task]
