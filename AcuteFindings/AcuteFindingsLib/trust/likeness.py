"""Whether a study is like the images that its model was made from (docs/trust.md).

A kind of detector measures a few features of a study (`DetectorKind.features`). What they are in the images that a
model was made from lies in ``Resources/Likeness``, one file a kind: sets of images with mean and scatter of their
features, and which model was made from which sets. A study is like a set within the Mahalanobis distance that holds
most of the set's own images that the fit did not see; it is like a model's images where it is like one of its sets.

Where the features of a kind do not tell patients from phantoms (``"tells_phantoms"`` of its file), the header must say
that a study is a phantom, or a model made from phantoms alone gives no plain verdict on it.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.finding import Likeness, Verdict
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.study.study import Study

FORMAT_VERSION = 1
PHANTOMS = "phantoms"
OF_PHANTOMS = (PHANTOMS, "phantom-slices")
"""Names of the sets of computer-made images, which every model whose card says `phantoms_only` was made from."""

UNLIKE = "Unlike the images that this model was made from"
"""Begins what a verdict says where likeness changed it."""

# So many features are named in words.
_MOST_NAMED = 3
# A feature is named where it lies this many standard deviations from the mean.
_FAR = 2.5
# The distance that is stated where it is larger, or where what all images of a set show is not there.
_FURTHEST = 99.0


@dataclass(frozen=True)
class ImageSet:
    """Images that a model was made from, by their features.

    Attributes
    ----------
    name
        Of the set.
    told
        In words what they are.
    count
        How many.
    license
        Theirs, where they are not ours.
    holds
        Name of a feature, lowest and highest value: of other studies the set says nothing. Empty: it holds for all.
    features
        Names of the features, in the order of the arrays.
    mean, spread
        ``(n,)``: mean and standard deviation of each feature.
    whiten
        ``(n, n)``: takes the difference from `mean` to a vector whose length is the Mahalanobis distance.
    limit
        Distance within which a study is like the set.
    lacking
        Names of features that could not be measured in some of the set's images; the others were in all of them.
    """

    name: str
    told: str
    count: int
    features: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    whiten: np.ndarray
    limit: float
    license: str = ""
    holds: tuple[tuple[str, float, float], ...] = ()
    lacking: tuple[str, ...] = ()

    def holds_for(self, features: dict[str, float]) -> bool:
        """Whether a study is of the kind that the set's images are of."""
        return all(low <= features.get(name, np.nan) <= high for name, low, high in self.holds)

    def distance(self, features: dict[str, float]) -> float:
        """Return the Mahalanobis distance in units of the limit.

        A feature that some of the set's images lack too counts as the mean where it is missing. A study in which
        something cannot be measured that could be in all of them shows something else, and is as far as can be.
        """
        if self.missing(features):
            return _FURTHEST
        return min(_FURTHEST, float(np.linalg.norm(self.whiten @ self._difference(features)) / self.limit))

    def missing(self, features: dict[str, float]) -> list[str]:
        """Return the features that are missing and that all of the set's images have."""
        return [name for name in self.features if name not in features and name not in self.lacking]

    def far(self, features: dict[str, float]) -> dict[str, float]:
        """Return by how many standard deviations features are off that lie far from the set's, furthest first."""
        scores = self._difference(features) / self.spread
        order = np.argsort(-np.abs(scores))
        return {self.features[i]: float(scores[i]) for i in order if abs(scores[i]) >= _FAR}

    def usual(self, name: str) -> tuple[float, float]:
        """Return the range of a feature within two standard deviations."""
        i = self.features.index(name)
        return float(self.mean[i] - 2 * self.spread[i]), float(self.mean[i] + 2 * self.spread[i])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "told": self.told,
            "count": self.count,
            "license": self.license,
            "holds": [list(one) for one in self.holds],
            "lacking": list(self.lacking),
            "features": list(self.features),
            "mean": _rounded(self.mean),
            "spread": _rounded(self.spread),
            "whiten": [_rounded(row) for row in self.whiten],
            "limit": round(self.limit, 4),
        }

    def _difference(self, features: dict[str, float]) -> np.ndarray:
        values = np.array([features.get(name, np.nan) for name in self.features], float)
        return np.nan_to_num(values - self.mean, nan=0.0, posinf=1e6, neginf=-1e6)


def image_set(data: dict[str, Any]) -> ImageSet:
    """Return the set whose JSON form is `data`; raises `KeyError`, `TypeError` or `ValueError` where it is not one."""
    names = tuple(str(name) for name in data["features"])
    mean, spread, whiten = (np.asarray(data[key], float) for key in ("mean", "spread", "whiten"))
    if mean.shape != (len(names),) or spread.shape != mean.shape or whiten.shape != 2 * mean.shape:
        raise ValueError("the arrays of a set of images do not fit its features")
    return ImageSet(
        name=str(data["name"]),
        told=str(data["told"]),
        count=int(data["count"]),
        features=names,
        mean=mean,
        spread=spread,
        whiten=whiten,
        limit=float(data["limit"]),
        license=str(data.get("license", "")),
        holds=tuple((str(name), float(low), float(high)) for name, low, high in data.get("holds", ())),
        lacking=tuple(str(name) for name in data.get("lacking", ())),
    )


def likeness_of(
    study: Study, *, kind: DetectorKind, package: ModelPackage, further: tuple[ImageSet, ...] = ()
) -> Likeness:
    """Return how like a study is to the images that a model was made from.

    Parameters
    ----------
    study
        As read for the detector.
    kind, package
        The detector and the model of the verdict.
    further
        Sets of a site's own images on which the model was calibrated: a study like them is like the model's.
    """
    if _of_phantoms_but_not_one(study, kind, package):
        return Likeness("unlike", unlike=("not a phantom by its header, and the model was made from phantoms alone",))
    if not kind.features:
        return Likeness("unknown")
    measured: dict[str, float] = load_reference(kind.features)(study)
    kept = {name: float(f"{value:.4g}") for name, value in measured.items() if np.isfinite(value)}
    known = (*sets_of(kind, package), *further)
    if not known:
        return Likeness("unknown", features=kept)
    sets = [one for one in known if one.holds_for(kept)]
    made_from = "; ".join(f"{one.told} ({one.count})" for one in sets or known)
    if not sets:
        return Likeness("unlike", _FURTHEST, made_from, ("another kind of study than any of the model's images",), kept)
    near = min(sets, key=lambda one: one.distance(kept))
    distance = near.distance(kept)
    if distance <= 1:
        return Likeness("like", round(distance, 3), made_from, features=kept)
    flags = load_reference(kind.flags) if kind.flags else {}
    return Likeness("unlike", round(distance, 3), made_from, _words(near, kept, flags), kept)


def _of_phantoms_but_not_one(study: Study, kind: DetectorKind, package: ModelPackage) -> bool:
    """Whether a model never saw a patient, the features of its kind do not tell patients, and this may be one."""
    told = _read(resource_path("Likeness") / f"{kind.id}.json").tells_phantoms
    return package.card.training_data.phantoms_only and not study.is_phantom and not told


def unmeasured(kind: DetectorKind, package: ModelPackage, further: tuple[ImageSet, ...] = ()) -> Likeness:
    """Return the likeness of a study whose features could not be measured; parameters as for `likeness_of`."""
    known = (*sets_of(kind, package), *further)
    return Likeness("unlike", unlike=("it could not be measured",)) if known else Likeness("unknown")


def sets_of(kind: DetectorKind, package: ModelPackage) -> tuple[ImageSet, ...]:
    """Return the sets of images that a model was made from; none where that is not known."""
    known = _read(resource_path("Likeness") / f"{kind.id}.json")
    names = known.models.get(package.sha256, ())
    if not names and package.card.training_data.phantoms_only:
        names = OF_PHANTOMS
    return tuple(known.sets[name] for name in names if name in known.sets)


def after_likeness(verdict: Verdict, likeness: Likeness) -> Verdict:
    """Return the verdict on a study: indeterminate where the study is unlike the images of the model."""
    if likeness.label != "unlike":
        return verdict
    rule = verdict.by_rule or verdict.label
    text = f"{UNLIKE}; by the model's own rule it would be {rule}. {verdict.explanation}"
    return replace(verdict, label="indeterminate", by_rule=rule, explanation=text)


@dataclass(frozen=True)
class _Known:
    sets: dict[str, ImageSet]
    models: dict[str, tuple[str, ...]]
    tells_phantoms: bool = False


@cache
def _read(path: Path) -> _Known:
    if not path.is_file():
        return _Known({}, {})
    data = json.loads(path.read_text(encoding="utf-8"))
    sets = {entry["name"]: image_set(entry) for entry in data["sets"]}
    models = {sha: tuple(names) for sha, names in data["models"].items()}
    return _Known(sets, models, bool(data.get("tells_phantoms", False)))


def _words(one: ImageSet, features: dict[str, float], flags: dict[str, tuple[str, str]]) -> tuple[str, ...]:
    """Say what of a study is far from a set: first what has a meaning of its own, then what could not be measured."""
    meant, plain = [], []
    for name, score in one.far(features).items():
        # Features are named "what, unit".
        what, _, unit = name.rpartition(", ")
        low, high = one.usual(name)
        least = max(0.0, low) if unit.startswith("%") else low
        figures = f"{what} {features[name]:.3g} {unit}, the model's images {least:.3g} to {high:.3g}"
        meaning = flags.get(name, ("", ""))[score > 0]
        if meaning:
            meant.append(f"{meaning} ({figures})")
        else:
            plain.append(figures)
    missing = one.missing(features)
    lacks = [f"not measurable here, but in all of the model's images: {missing[0]}"] if missing else []
    if len(missing) > 1:
        lacks[0] += f", and {counted(len(missing) - 1, 'further feature')}"
    return (*meant, *lacks, *plain)[:_MOST_NAMED]


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
