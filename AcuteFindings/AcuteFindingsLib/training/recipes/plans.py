"""The parts of a recipe that say how a network is fitted: loss, optimiser, sampling, augmentation, stages."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """Refuses keys that it does not know, so that a typing error is never a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"the lower end stands first, got {list(value)}")
    return value


Span = Annotated[tuple[float, float], AfterValidator(_ascending)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class OutputLoss(Strict):
    """Weights of the terms for one output of the network.

    `bce` is binary cross-entropy, `dice` one minus the soft Dice of the batch, `lovasz` the binary Lovász hinge
    (Berman 2018). `label_weights` has one factor a label, `positive_weight` says how many times a positive counts.
    """

    bce: float = Field(default=0.0, ge=0)
    dice: float = Field(default=0.0, ge=0)
    lovasz: float = Field(default=0.0, ge=0)
    label_weights: tuple[float, ...] | None = None
    positive_weight: Positive = 1.0

    @model_validator(mode="after")
    def _some_term(self) -> "OutputLoss":
        if not (self.bce or self.dice or self.lovasz):
            raise ValueError("at least one of bce, dice and lovasz must be above 0")
        return self


class Optimiser(Strict):
    """An optimiser and how its rate moves.

    Schedules: ``constant``; ``cosine`` down to 0 over all epochs; ``thirds``, a tenth after one third and again after
    two thirds of the epochs (docs/sources.md 4); ``one-cycle``, up over the first 15 % of the steps, then down.
    """

    name: Literal["adam", "adamw", "nadam", "sgd"] = "adam"
    rate: Positive = 1e-3
    momentum: Share = 0.0
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "thirds", "one-cycle"] = "constant"
    clip: Positive | None = None


class Phantoms(Strict):
    """Phantoms: how many, from which seed on, and how finely drawn."""

    count: int = Field(default=60, ge=2)
    seed: int = Field(default=0, ge=0)
    options: dict[str, Any] = Field(default_factory=dict)


class Sampler(Strict):
    """Which examples an epoch shows.

    ``natural``: each once, shuffled. ``balanced``: drawn so that `positive_share` of them are positive.
    ``falling``: the same with a share that falls in a line from `first_share` to `last_share` over the epochs
    (docs/sources.md 3, fourth place). `examples` is how many an epoch shows; left out, as many as there are.
    """

    name: Literal["natural", "balanced", "falling"] = "natural"
    positive_share: Share = 0.5
    first_share: Share = 0.8
    last_share: Share = 0.22
    examples: int | None = Field(default=None, ge=1)
    sources: dict[str, Share] | None = None

    @model_validator(mode="after")
    def _sources_are_whole(self) -> "Sampler":
        if self.sources is not None and abs(sum(self.sources.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of the sources add up to 1, got {sum(self.sources.values()):g}")
        return self


class Change(Strict):
    """One random change of a picture; each number is drawn evenly between the two ends given.

    Attributes
    ----------
    rotate_deg
        Degrees, positive from the picture's top toward its right.
    shift_x, shift_y
        Share of the picture's side, positive to the right and down.
    zoom
        Factor: above 1 the content grows.
    flip
        Share of the pictures that are mirrored left to right.
    contrast, brightness
        The picture's range times 1 + contrast, then + brightness.
    noise
        Standard deviation of added noise, on 0..1.
    blur
        Standard deviation of a Gaussian in pixels.
    gamma
        Gray values in 0..1 are raised to the power of e to this number: machines differ in exposure and rendering.
    resolution
        Share of the pixels per side that the picture is reduced to before it is enlarged again.
    elastic
        Largest displacement as a share of the picture's side, of a smooth random field.
    share
        Share of the pictures to which the change is done.
    """

    rotate_deg: Span = (0.0, 0.0)
    shift_x: Span = (0.0, 0.0)
    shift_y: Span = (0.0, 0.0)
    zoom: Span = (1.0, 1.0)
    flip: Share = 0.0
    contrast: Span = (0.0, 0.0)
    brightness: Span = (0.0, 0.0)
    noise: Span = (0.0, 0.0)
    blur: Span = (0.0, 0.0)
    elastic: Span = (0.0, 0.0)
    gamma: Span = (0.0, 0.0)
    resolution: Span = (1.0, 1.0)
    share: Share = 1.0

    @model_validator(mode="after")
    def _factors_above_nothing(self) -> "Change":
        if self.zoom[0] <= 0:
            raise ValueError("zoom is a factor above 0")
        if not 0 < self.resolution[0] <= self.resolution[1] <= 1:
            raise ValueError("resolution is a share above 0, at most 1")
        return self


class Augmentation(Strict):
    """Each picture gets one of the `changes`, drawn evenly; `of_positives` and `of_negatives` say how many do.

    `sizes` are shares of the pixels per side; each batch is shown at one of them, drawn evenly.
    """

    changes: tuple[Change, ...] = Field(default=(), max_length=64)
    of_positives: Share = 1.0
    of_negatives: Share = 1.0
    sizes: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()


class TrainStage(Strict):
    """One fitting of (a part of) the network.

    Attributes
    ----------
    loss
        Output name to its terms.
    epochs, batch
        `batch` counts slices, radiographs, stacks of encodings or, in ``scan``, scans.
    frozen_epochs, frozen_rate
        So many epochs first, in which the backbone stays as it is, at a rate of their own.
    freeze
        Share of the network's first layers that is never changed.
    freeze_batch_norm
        Batch norms keep the statistics that they came with.
    start_from_frequency
        ``findings`` only: the last layer starts from how often each finding occurs among the examples.
    keep
        ``best``: the epoch with the lowest loss on the validation part; ``last``: the last.
    patience
        Stop after so many epochs without a lower validation loss; left out, never.
    crop
        Side in pixels of random crops in training; the whole picture is shown otherwise.
    slices
        ``scan`` only: neighboring slices of a scan that are shown together; left out, whole scans.
    blend
        How far the weights end on the way from those before the stage (0) to those that were fitted (1), as Wortsman
        2022 does: fitted wholly to few images, a network forgets what it was taught before.
    """

    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    loss: dict[str, OutputLoss] = Field(min_length=1)
    optimiser: Optimiser = Optimiser()
    sampler: Sampler = Sampler()
    augmentation: Augmentation = Augmentation()
    frozen_epochs: int = Field(default=0, ge=0)
    frozen_rate: Positive = 1e-3
    freeze: Share = 0.0
    freeze_batch_norm: bool = False
    start_from_frequency: bool = False
    keep: Literal["best", "last"] = "best"
    patience: int | None = Field(default=None, ge=1)
    crop: int | None = Field(default=None, ge=16)
    slices: int | None = Field(default=None, ge=1)
    blend: Share = 1.0

    @model_validator(mode="after")
    def _something_thaws(self) -> "TrainStage":
        if self.frozen_epochs >= self.epochs and self.frozen_epochs:
            raise ValueError(f"frozen_epochs ({self.frozen_epochs}) must be fewer than epochs ({self.epochs})")
        return self
