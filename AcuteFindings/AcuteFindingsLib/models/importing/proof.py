"""The proof of an import: the source network and the package are asked the same and answer the same."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Converted, Probe, SourceMissingError
from AcuteFindingsLib.models.metadata import Origin
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.task import PART

TOLERANCE = 1e-4
"""Largest difference between source and import that counts as the same answer."""

DETECTOR_TOLERANCE = 1e-3
"""The same of probabilities that a detector says: a tenth of the last digit that people are shown.

Rounding in 32 bits moves logits of 80 by 1e-3, and a probability near one half by a quarter of that (measured with a
U-Net on ResNet34, plain and channels-last).
"""

# What one part of a network hands to the next: no probabilities.
_INNER = ("encoding", "features")


class Source:
    """The network where it comes from, asked part by part; its numbers are compared with the package's on the way.

    Attributes
    ----------
    size
        Pixels per side of the pictures that it takes.
    largest
        Largest difference between the outputs of the parts that were asked.
    """

    def __init__(self, converted: Converted, predictor: Predictor, *, file: str) -> None:
        self.size = converted.image[1]
        self.largest = 0.0
        self._framework, self._file, self._predictor = converted.framework, file, predictor
        self._probes = {probe.part: probe for probe in converted.probes}
        self._left = list(self._probes)

    def ask(self, part: str, shown: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the source says of `shown`: probabilities, by its own activation; encodings as they are.

        Parameters
        ----------
        shown
            As `Probe.question` of the part: ``(n, 1, size, size)`` gray in 0..1 for networks of radiographs, else what
            the part of the package takes.

        Raises
        ------
        ModelError
            On the same input the part gives other outputs than the package.
        SourceMissingError
            The source cannot be asked here.
        """
        probe = self._probes[part]
        if part in self._left and shown.shape[1:] == probe.question.shape[1:]:
            # In one go: a source in a process of its own takes seconds to start.
            count = len(probe.question)
            answers = probe.ask(np.concatenate([probe.question, shown]).astype(np.float32))
            self._hold(probe, {name: value[:count] for name, value in answers.items()})
            answers = {name: value[count:] for name, value in answers.items()}
        else:
            answers = probe.ask(shown.astype(np.float32))
        plain = {*probe.probabilities, *_INNER}
        return {name: np.asarray(value) if name in plain else expit(value) for name, value in answers.items()}

    def ask_the_rest(self) -> None:
        """Compare the parts that were not asked yet; raises as `ask`."""
        for part in list(self._left):
            probe = self._probes[part]
            self._hold(probe, probe.ask(probe.question))

    def _hold(self, probe: Probe, expected: Mapping[str, np.ndarray]) -> None:
        given = self._predictor.predict(probe.batch, part=probe.part)
        self._left.remove(probe.part)
        self.largest = max(self.largest, largest_difference(expected, given, probe))
        if not self.largest <= TOLERANCE:
            raise ModelError(
                f"{self._file} was refused: on the same input {self._framework} and the import differ by "
                f"{self.largest:.1e}, more than {TOLERANCE:.0e}, so it is another network; nothing "
                "was written."
            )


Say = Callable[[Predictor, Source], float | None]
"""Lets a model's detector and its source judge one phantom; returns the largest difference, None if it has none."""


def compare(converted: Converted, predictor: Predictor, *, origin: Origin, say: Say | None = None) -> Origin:
    """Ask source and result the same and note the largest differences.

    Parameters
    ----------
    say
        Compares what the detector says; left out for parts, which no detector runs.

    Raises
    ------
    ModelError
        When they differ by more than `TOLERANCE`, the detector by more than `DETECTOR_TOLERANCE`, or outputs differ.
    """
    source = Source(converted, predictor, file=origin.file)
    said = None
    try:
        if say is not None and converted.task != PART:
            said = say(predictor, source)
        source.ask_the_rest()
    except SourceMissingError as error:
        return origin.model_copy(update={"remark": f"The reason: {error}."})
    if said is not None and not said <= DETECTOR_TOLERANCE:
        raise ModelError(
            f"{origin.file} was refused: of the same phantom {converted.framework} and the detector with the import "
            f"say what differs by {said:.1e}, more than {DETECTOR_TOLERANCE:.0e}, although the networks agree; "
            "nothing was written."
        )
    return origin.model_copy(
        update={
            "compared_with": converted.framework,
            "largest_difference": source.largest,
            "detector_difference": said,
        }
    )


def largest_difference(expected: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray], probe: Probe) -> float:
    """Return the largest difference over all outputs, relative to a picture's largest number where that exceeds 1.

    Raises
    ------
    ModelError
        When an output is missing or has another shape.
    """
    largest = 0.0
    for name, theirs in expected.items():
        if name not in given or np.shape(given[name]) != np.shape(theirs):
            found = str(np.shape(given[name])) if name in given else "none"
            raise ModelError(
                f"The source gives {name} {np.shape(theirs)}, the import {found}: they are other networks."
            )
        ours = given[name].astype(np.float64)
        if name in probe.probabilities:
            ours = expit(ours)
        theirs = np.asarray(theirs, np.float64)
        # Each picture by itself: large numbers of one must not hide a difference in another.
        rows = (len(theirs), -1)
        with np.errstate(invalid="ignore"):
            scale = np.maximum(1.0, np.abs(theirs).reshape(rows).max(axis=1))
            difference = (np.abs(ours - theirs).reshape(rows).max(axis=1) / scale).max()
        # Not a number is no agreement.
        largest = max(largest, float(difference) if np.isfinite(difference) else np.inf)
    return largest
