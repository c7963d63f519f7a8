"""The parts of a recipe that say what is trained and measured on: the data set, what is mixed in, who is kept aside."""

from typing import Literal

from pydantic import Field, model_validator

from AcuteFindingsLib.training.recipes.plans import Phantoms, Share, Strict

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
DATA = "data"
"""What the data set itself is called among the sources of a mixture."""


class Split(Strict):
    """Who is trained on and who is kept aside; patients (and near-identical images) always stay together.

    `test` of the patients are measured on at the end. The others make `folds` folds, each held out once to choose the
    epoch and the operating points; with one fold, `validation` of the others are. Without a `test` share each fold's
    held-out patients are measured on, and `validation` of the rest chooses. `use` names the folds to run.

    With `fit_all` (and no `test` share) the folds are a cross-validation: their answers together choose the operating
    points and give the figures, each image answered by a network that saw nothing of its patient. One more network is
    then fitted to everybody; it is the run's model.
    """

    folds: int = Field(default=1, ge=1)
    validation: Share = 0.2
    test: Share = 0.2
    use: tuple[int, ...] | None = None
    seed: int = 0
    fit_all: bool = False

    @model_validator(mode="after")
    def _somebody_is_left(self) -> "Split":
        if self.test + (self.validation if self.folds == 1 else 0) >= 1:
            raise ValueError("test and validation leave no patient to train on; together they must be below 1")
        if self.folds == 1 and self.test == 0:
            raise ValueError("with one fold a share must be held out: test above 0")
        if self.fit_all and (self.test or self.folds < 2 or self.use is not None):
            raise ValueError("fit_all follows a cross-validation of all patients: folds above 1, test 0, no use")
        if self.use is not None and any(not 0 <= fold < self.folds for fold in self.use):
            raise ValueError(f"use names folds from 0 to {self.folds - 1}, got {list(self.use)}")
        return self


class Drawn(Strict):
    """Findings drawn into images of the data set's training part that show none; how is the task's own matter.

    `each` versions are drawn of each image, `positive_share` of them with the finding and the others with what looks
    like it alone.
    """

    each: int = Field(default=4, ge=1)
    positive_share: Share = 1.0
    seed: int = 0


class Source(Strict):
    """Images that are trained on beside the data set and never measured on: `phantoms` or `drawn` ones."""

    phantoms: Phantoms | None = None
    drawn: Drawn | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Source":
        if (self.phantoms is None) == (self.drawn is None):
            raise ValueError("a source is either phantoms or drawn")
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
    leave_out
        Patients who are neither trained nor measured on.
    per_class
        So many positive and negative slices or images are drawn at random before the split; left out, all.
    phantoms
        What stands in where no folder is named.
    drawn_aside
        Findings drawn into the images that are kept aside to choose by and to measure on, in their place: where real
        ones are too few.
    mix
        Further sources of the training part by name; ``sampler.sources`` says how much of each an epoch shows.
    tuned_on, measured_on
        Phantoms, of seeds of their own, on which the operating points are chosen as well and the model is measured as
        well: where the data set is small or of one kind.
    """

    kind: DataKind
    labels: tuple[str, ...] | None = None
    region: Literal["whole", "lung-crop", "lungs-only", "lungs-removed"] = "whole"
    leave_out: tuple[str, ...] = ()
    per_class: int | None = Field(default=None, ge=1)
    split: Split = Split()
    phantoms: Phantoms = Phantoms()
    mix: dict[str, Source] = Field(default_factory=dict)
    drawn_aside: Drawn | None = None
    tuned_on: Phantoms | None = None
    measured_on: Phantoms | None = None

    @model_validator(mode="after")
    def _names_apart(self) -> "DataPlan":
        if DATA in self.mix:
            raise ValueError(f"mix: {DATA!r} is the data set itself; name the source otherwise")
        if self.drawn_aside and self.split.fit_all:
            raise ValueError("drawn_aside: a cross-validation answers each image as it is; leave out this or fit_all")
        return self
