"""Results of many studies beside their truth: what a calibration is made from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.acquisition import acquisition_from_dict
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CalibrationError, EvaluationError
from AcuteFindingsLib.evaluation.cases import align, read_truth
from AcuteFindingsLib.evaluation.predictions import Scores
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.trust.calibration import CalibratedModel, SiteStudy


@dataclass(frozen=True)
class SiteResults:
    """Studies of one site with verdicts by one model and a known answer.

    Attributes
    ----------
    detector, model
        Whose verdicts.
    phantoms
        Whether the studies are phantoms.
    present
        ``(n,)`` bool: the truth.
    probabilities
        ``(n,)``: the verdicts'.
    by_rule
        ``(n,)``: what the model's own rule said.
    doubted
        ``(n,)`` bool: whether reasons speak against a positive verdict (`DetectorKind.doubts`), which is then
        indeterminate whatever the probability.
    studies
        What is kept of each.
    notices
        What was left out, in words.
    """

    detector: str
    model: CalibratedModel
    phantoms: bool
    present: np.ndarray
    probabilities: np.ndarray
    by_rule: tuple[str, ...]
    doubted: np.ndarray
    studies: tuple[SiteStudy, ...]
    notices: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many studies."""
        return len(self.present)

    @property
    def positives(self) -> int:
        """How many of them have the finding."""
        return int(self.present.sum())


@dataclass(frozen=True)
class _Result:
    keys: tuple[str, ...]
    label: str
    model: CalibratedModel
    phantom: bool
    left_out: str
    by_rule: str
    doubted: bool
    study: SiteStudy


def read_site_results(
    folder: Path, truth: Path, detector: str, *, column: str | None = None, patient: str | None = None
) -> SiteResults:
    """Read what `run` or `batch` wrote for many studies, and what is known of these.

    Left out are studies that the check refused, that are unlike the images of a model made from phantoms alone (their
    verdict is indeterminate whatever the calibration says), or whose answer is not known; and of each patient all
    studies but one, since promises are made for independent studies. Of other models studies that are unlike their
    images take part: later ones are held against those of the calibration, too.

    Parameters
    ----------
    folder
        With ``finding.json`` at any depth; those of other detectors are passed over.
    truth
        A table with a column that names the study (its folder, Study or Series Instance UID) and one of 0 and 1; or a
        folder of phantoms.
    detector
        Id of the detector.
    column
        The truth's column; found by its name when None.
    patient
        The truth's column that names the patient; found by its name when None.

    Raises
    ------
    CalibrationError
        There are no results of this detector, they are of several models, or patients and phantoms are mixed.
    EvaluationError
        Results and truth do not fit together.
    """
    found = [result for file in sorted(folder.rglob("finding.json")) if (result := _read(file, folder, detector))]
    if not found:
        raise CalibrationError(
            f"{folder} holds no result for {detector}; run `acutefindings batch` on the studies first."
        )
    used = [result for result in found if not result.left_out]
    reasons = [result.left_out for result in found if result.left_out]
    notices = [f"{counted(reasons.count(why), 'study')} left out: {why}." for why in dict.fromkeys(reasons)]
    if not used:
        raise CalibrationError(f"None of the {len(found)} studies can be used. {' '.join(notices)}")
    _require_one_kind(used, folder)
    first = used[0]
    scores = Scores(
        "study",
        tuple(result.keys for result in used),
        (first.label,),
        np.array([[result.study.probability] for result in used]),
    )
    labels = {first.label: column} if column else ()
    cases = align(scores, read_truth(truth), labels=labels, patient=patient)
    notices += cases.notices
    places = {keys: number for number, keys in enumerate(scores.keys)}
    known = ~np.isnan(cases.truth[:, 0])
    if not known.all():
        notices.append(f"{counted(int((~known).sum()), 'study')} left out: the truth does not say what is so.")
    # The first of each patient, in the order of the folders, which no score has a part in.
    kept = np.flatnonzero(known)
    once = np.sort(kept[np.unique(cases.patients[kept], return_index=True)[1]])
    if len(once) < len(kept):
        notices.append(f"{counted(len(kept) - len(once), 'study')} left out: further ones of the same patients.")
    taken = [used[places[cases.keys[number]]] for number in once]
    return SiteResults(
        detector=detector,
        model=first.model,
        phantoms=first.phantom,
        present=cases.truth[once, 0] > 0,
        probabilities=np.array([result.study.probability for result in taken]),
        by_rule=tuple(result.by_rule for result in taken),
        doubted=np.array([result.doubted for result in taken]),
        studies=tuple(result.study for result in taken),
        notices=tuple(notices),
    )


def _read(file: Path, folder: Path, detector: str) -> _Result | None:
    """Return what a finding says; None where it is another detector's."""
    try:
        data = parse_json(file.read_bytes())
        if data["detector"] != detector:
            return None
        return _result(data, (*_names(file, folder), data["series_instance_uid"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise EvaluationError(f"{file} is not a finding of this version ({error}); run the detector again.") from error


def _result(data: dict[str, Any], keys: tuple[str, ...]) -> _Result:
    model, verdict = data["model"], data["verdict"]
    likeness = data.get("likeness") or {}
    left_out = ""
    if any(notice["severity"] == "refuse" for notice in data["warnings"]):
        left_out = "the check refused it"
    elif likeness.get("label") == "unlike" and model.get("never_saw"):
        left_out = "unlike the phantoms that the model was made from, so its verdict is indeterminate in any case"
    return _Result(
        keys=tuple(dict.fromkeys(key for key in keys if key)),
        label=data["main_label"],
        model=CalibratedModel(
            id=model["id"], version=model["version"], sha256=model["sha256"], threshold=verdict["threshold"]
        ),
        phantom=bool(data.get("phantom", False)),
        left_out=left_out,
        by_rule=verdict.get("by_rule") or verdict["label"],
        doubted=any(reason["code"] in find_kind(data["detector"]).doubts for reason in data.get("reasons", ())),
        study=SiteStudy(
            probability=verdict["probability"],
            features=likeness.get("features") or {},
            acquisition=asdict(acquisition_from_dict(data["acquisition"])) if data.get("acquisition") else {},
        ),
    )


def _names(file: Path, folder: Path) -> Iterator[str]:
    """Yield what a truth may call the study: its folder, and of a batch, whose folders have no names, its UID."""
    place = file.parent.relative_to(folder).as_posix()
    yield folder.name if place == "." else place
    yield file.parent.name
    record = file.with_name("record.json")
    if record.is_file():
        yield str(parse_json(record.read_bytes()).get("study_uid", ""))


def _require_one_kind(used: list[_Result], folder: Path) -> None:
    models = sorted({f"{one.model.id} {one.model.version} ({one.model.sha256[:8]})" for one in used})
    if len(models) > 1:
        raise CalibrationError(
            f"{folder} holds verdicts of {len(models)} models: {', '.join(models)}. A calibration is of one: read the "
            "studies again with one model."
        )
    points = sorted({one.model.threshold for one in used})
    if len(points) > 1:
        raise CalibrationError(
            f"{folder} holds verdicts of one model with {len(points)} operating points, {points[0]:g} to "
            f"{points[-1]:g}: read the studies again."
        )
    if len({one.phantom for one in used}) > 1:
        count = sum(one.phantom for one in used)
        raise CalibrationError(
            f"{folder} holds results of {counted(count, 'phantom')} and of {counted(len(used) - count, 'patient')}; a "
            "calibration of one says nothing of the other. Keep them in folders of their own."
        )
