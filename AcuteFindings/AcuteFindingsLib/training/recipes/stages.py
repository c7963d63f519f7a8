"""The stages of a recipe, in the order in which they run."""

from pydantic import Field

from AcuteFindingsLib.training.recipes.plans import (
    Augmentation,
    OutputLoss,
    Phantoms,
    Positive,
    Share,
    Strict,
    TrainStage,
)


class EncodeStage(Strict):
    """What the network just fitted makes of every slice, kept on disk for the stages that read whole series.

    Attributes
    ----------
    sources
        Only series of these sources of a mixture are encoded to fit to; left out, all. Encodings of series that the
        encoder was not fitted to are as good as they will be.
    augmented
        Share of the negative series that is encoded a second time, changed at random.
    augmented_positives
        How many further versions of each positive series are (docs/sources.md 1).
    """

    batch: int = Field(default=48, ge=1)
    sources: tuple[str, ...] = ()
    augmented: Share = 0.0
    augmented_positives: int = Field(default=0, ge=0)
    augmentation: Augmentation = Augmentation()


class Round(Strict):
    """One round of close-ups: optimizer steps and the highest rate (AdamW, one cycle)."""

    steps: int = Field(ge=1)
    rate: Positive


class CloseUpStage(Strict):
    """Rounds of close-ups of what the slice encoder gets wrong (hard examples), after ``slice``.

    Before each round the encoder reads the training part: findings that it misses, and places without finding that it
    takes for one. The round then shows small cuts of the pictures: a quarter show a missed finding, a sixth any
    finding, three eighths a mistaken place, the rest anything.

    Attributes
    ----------
    rounds
        In order.
    batch
        Close-ups a step.
    loss
        Of the encoder's ``mask``; ``found`` is the surest cell of each finding, ``mistaken`` the surest cell far from
        any: there each picture counts alike, where an outline's loss weighs large findings more.
    fresh
        Phantoms that only one round reads, so many new ones for each; left out, all rounds read the training part.
    averaged
        The weights end as the mean of those after so many last rounds: each round mends some mistakes and makes others.
    freeze
        Share of the encoder's first layers that is never changed.
    augmentation
        Of the close-ups.
    """

    rounds: tuple[Round, ...] = Field(min_length=1)
    batch: int = Field(default=32, ge=1)
    loss: dict[str, OutputLoss] = Field(
        default_factory=lambda: {
            "mask": OutputLoss(bce=1.0, dice=1.0),
            "mistaken": OutputLoss(bce=0.2),
            "found": OutputLoss(bce=0.1),
        }
    )
    fresh: Phantoms | None = None
    averaged: int = Field(default=1, ge=1)
    freeze: Share = 0.0
    augmentation: Augmentation = Augmentation()


class LineStage(Strict):
    """Each slice's own answer by logistic regression on the encodings, before ``sequence`` is fitted.

    For encodings in fields (`networks.pe.SliceEncoder`); the sequence network then learns only what neighbors add.
    `stack` are the first weights of the stack output, the most suspicious slice first.
    """

    stack: tuple[float, ...] = ()


Stage = TrainStage | CloseUpStage | EncodeStage | LineStage


class Stages(Strict):
    """The stages of an experiment, in the order in which they run.

    ``slice``, ``scan``, ``image``, ``segment`` and ``findings`` fit a network to pictures. ``close_ups`` goes on with
    the slice encoder. ``encode`` keeps what the network makes of each slice; from there ``lines`` and ``sequence`` fit
    the sequence network, ``head`` that of a scan's slices.
    """

    scan: TrainStage | None = None
    slice: TrainStage | None = None
    close_ups: CloseUpStage | None = None
    encode: EncodeStage | None = None
    lines: LineStage | None = None
    sequence: TrainStage | None = None
    head: TrainStage | None = None
    image: TrainStage | None = None
    segment: TrainStage | None = None
    findings: TrainStage | None = None

    def fitted(self, name: str) -> TrainStage:
        """Return how a stage that fits the network over epochs does so."""
        stage = getattr(self, name)
        assert isinstance(stage, TrainStage)
        return stage

    def present(self) -> dict[str, Stage]:
        """Return the stages that the recipe has, by name, in order."""
        return {name: stage for name in type(self).model_fields if (stage := getattr(self, name)) is not None}
