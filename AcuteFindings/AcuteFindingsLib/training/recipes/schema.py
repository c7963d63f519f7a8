"""What a recipe says: a published experiment as data, from data set to model card."""

from itertools import combinations, product
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator

from AcuteFindingsLib.detectors.registry import find_task, kind_of_task
from AcuteFindingsLib.errors import DetectionError, RecipeError
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.task import ModelTask
from AcuteFindingsLib.training.recipes.data_plans import DATA, DataPlan, Drawn, Source, Split
from AcuteFindingsLib.training.recipes.plans import (
    Augmentation,
    Change,
    Optimiser,
    OutputLoss,
    Phantoms,
    Sampler,
    Share,
    Strict,
    TrainStage,
)
from AcuteFindingsLib.training.recipes.stages import CloseUpStage, EncodeStage, LineStage, Stages

__all__ = [
    "Augmentation",
    "CardWords",
    "Change",
    "CloseUpStage",
    "DataPlan",
    "Drawn",
    "EncodeStage",
    "Evidence",
    "LineStage",
    "Optimiser",
    "OutputLoss",
    "Phantoms",
    "Published",
    "Recipe",
    "Sampler",
    "Source",
    "Split",
    "Stages",
    "TrainStage",
]

Form = Literal["slice", "series", "scan", "radiograph"]

# May be left out; each goes with another stage.
_GOES_WITH = {"close_ups": "slice", "lines": "sequence"}


class Published(Strict):
    """A figure of the publication, to hold one's own beside."""

    metric: str
    value: float
    data: str = ""


class CardWords(Strict):
    """What the model card says beyond the figures.

    `empty_threshold` is stated as operating point of the empty-mask branch, instead of one chosen on validation data.
    `never_saw` names what verdicts say the model never saw, for example "a patient".
    """

    license: str = Field(
        default="Apache-2.0", validation_alias=AliasChoices("licence", "license"), serialization_alias="licence"
    )
    intended_use: str = "To rerun a published experiment and to compare. Research only, not for patients."
    limitations: str = ""
    restriction: str = ""
    never_saw: str = ""
    empty_threshold: Share | None = None


class Evidence(Strict):
    """A contact sheet of images that were kept aside, for the card: what the model drew there.

    Attributes
    ----------
    pictures
        So many at most; those with the finding, the worst answer first.
    columns
        Panels in a row.
    images
        Show the images themselves in the package; where their license forbids it, a flat silhouette stands for each
        there, and the sheet with images lies in the run's folder only.
    caption
        Of the card's picture; what the sheet shows is added.
    """

    pictures: int = Field(default=60, ge=1)
    columns: int = Field(default=10, ge=1)
    images: bool = False
    caption: str = ""


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
    start_phantoms_only
        Refuse to start from weights that were fitted to more than phantoms: figures on real images that they have seen
        would be of what they learned by heart.
    input_range
        What 0..1 of a picture becomes for the network; left out, what the task's detector gives it.
    evidence
        Pictures for the card; left out, none.
    runs
        How often everything is repeated with another seed.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    source: str
    published: tuple[Published, ...] = ()
    task: str
    data: DataPlan
    network: Network
    start: str | None = None
    start_phantoms_only: bool = False
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    input_range: tuple[float, float] | None = None
    stages: Stages
    evidence: Evidence | None = None
    runs: int = Field(default=1, ge=1)
    seed: int = 0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    card: CardWords = CardWords()
    notes: str = ""

    @field_validator("task")
    @classmethod
    def _task_is_known(cls, value: str) -> str:
        try:
            stages = find_task(value).stages
        except DetectionError as error:
            raise ValueError(str(error)) from error
        if not stages:
            raise ValueError(f"models of the task {value} are not trained by recipes")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        task = self.model_task
        settings = task.load_settings()
        try:
            settings.model_validate(self.preprocessing)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in ("preprocessing", *first["loc"]))
            known = ", ".join(settings.model_fields)
            advice = f"; it takes {known}" if first["type"] == "extra_forbidden" else ""
            told = "there is no such key" if advice else first["msg"]
            raise ValueError(f"{place}: {told}{advice}") from error
        everything = self.stages.present()
        for name, other in _GOES_WITH.items():
            if name in everything and other not in everything:
                raise ValueError(f"stages.{name}: this stage goes with the stage {other}, which the recipe has not")
        present = tuple(name for name in everything if name not in _GOES_WITH)
        if present not in task.stages:
            allowed = " or ".join(", ".join(names) for names in task.stages)
            raise ValueError(f"stages: the task {self.task} has the stages {allowed}, got {', '.join(present)}")
        if self.data.region != "whole" and not (self.form == "radiograph" and task.probabilities):
            raise ValueError(
                f"data.region: only radiographs of findings have lungs to cut to, not the task {self.task}"
            )
        for name, stage in self.stages.present().items():
            place = "sampler.sources" if isinstance(stage, TrainStage) else "sources"
            sources = stage.sampler.sources if isinstance(stage, TrainStage) else getattr(stage, "sources", ())
            unknown = sorted(set(sources or ()) - {DATA, *self.data.mix})
            if unknown:
                known = ", ".join((DATA, *self.data.mix))
                raise ValueError(f"stages.{name}.{place}: there is no source {unknown[0]!r}; known: {known}")
        return self

    @model_validator(mode="after")
    def _phantoms_apart(self) -> "Recipe":
        """Those that are measured on are no others' seeds; of the data set's own some are always kept aside."""
        plan, close_ups = self.data, self.stages.close_ups
        aside = {"tuned_on": plan.tuned_on, "measured_on": plan.measured_on, "phantoms": plan.phantoms}
        used = {f"data.{name}": (one.seed, one.seed + one.count) for name, one in aside.items() if one}
        others = {f"data.mix.{name}": one.phantoms for name, one in plan.mix.items() if one.phantoms}
        fitted = {name: (one.seed, one.seed + one.count) for name, one in others.items()}
        if close_ups and close_ups.fresh:
            fresh = close_ups.fresh
            fitted["stages.close_ups.fresh"] = (fresh.seed, fresh.seed + fresh.count * len(close_ups.rounds))
        for (one, (first, end)), (other, (start, stop)) in (
            *combinations(used.items(), 2),
            *product(used.items(), fitted.items()),
        ):
            if first < stop and start < end:
                raise ValueError(
                    f"{other}: its seeds, {start} to {stop - 1}, are in part those of {one}, {first} to {end - 1}; "
                    "phantoms that are measured on must be new ones, so choose another seed"
                )
        return self

    @property
    def model_task(self) -> ModelTask:
        """Return what is known of models of the task."""
        return find_task(self.task)

    def settings(self) -> Any:
        """Return the preprocessing numbers with the task's defaults filled in, and what of the picture is shown."""
        shown = {} if self.data.region == "whole" else {"region": self.data.region}
        return self.model_task.load_settings().model_validate({**self.preprocessing, **shown})

    @property
    def form(self) -> Form:
        """Return what is prepared together and how: a single ``slice``, a ``series``, a ``scan``, a ``radiograph``."""
        if self.stages.scan is not None:
            return "scan"
        if self.stages.slice is None:
            return "radiograph"
        beside = self.preprocessing.get("adjacent", False)
        return "series" if beside or self.stages.sequence or self.stages.close_ups else "slice"

    @property
    def reads_series(self) -> bool:
        """Whether slices are read with their series, and not one by one."""
        return self.form in ("series", "scan")

    @property
    def last(self) -> str:
        """Return the stage whose answers are the model's."""
        name = next(reversed(self.stages.present()))
        return {"close_ups": "slice", "head": "scan"}.get(name, name)

    @property
    def phantom_kind(self) -> str:
        """Return which phantoms stand in for the data set; raises `RecipeError` where none are drawn for the task."""
        phantoms = kind_of_task(self.task).phantoms
        if phantoms is None:
            raise RecipeError(f"No phantoms are drawn for the task {self.task}; name a data set with --data.")
        return phantoms.generator
