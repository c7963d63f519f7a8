"""Where a site's calibrations lie, and which of them answers for a model.

An installed calibration lies in the folder of settings, one for each detector and model, beside the choice of models;
`calibrate --install` puts it there. It is used wherever a verdict is made in this account: by the command line, by
batches, by Slicer's worker and by the web page.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import AcuteFindingsError, CalibrationError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.json_text import parse_json
from AcuteFindingsLib.places import settings_folder
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.trust.calibration import Calibration

NO_CALIBRATION = "none"
"""Named in place of a calibration's file where none is to be used."""

_LETTERS = 16


class Model(Protocol):
    """What is known of the model of a verdict: a package, or the identity in a finding."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of its weights."""
        ...


def calibrations_folder() -> Path:
    """Return the folder of installed calibrations; raises `AcuteFindingsError` where the account has no home folder."""
    return settings_folder() / "calibrations"


def read_calibration(file: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    CalibrationError
        The file is missing, too large, or is not a calibration of this format.
    """
    try:
        if file.stat().st_size > budgets().text_bytes:
            raise ValueError(f"is larger than {budgets().text_bytes / 1e6:.0f} MB")
        return Calibration.model_validate(parse_json(file.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        fault = f"{where}: {first['msg']}"
    except ValueError as error:
        fault = str(error)
    except (OSError, RecursionError) as error:
        fault = getattr(error, "strerror", None) or str(error)
    raise CalibrationError(
        f"{file} is not a calibration that this version can read ({fault}); make it again with "
        "`acutefindings calibrate`, or delete it."
    )


def write_calibration(calibration: Calibration, file: Path) -> Path:
    """Write a calibration, whole or not at all; raises `CalibrationError` where that fails."""
    try:
        with replace_when_written(file) as partial:
            partial.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"{file} could not be written: {error.strerror or error}.") from error
    return file


def install_calibration(calibration: Calibration) -> Path:
    """Use a calibration from now on for the verdicts of its detector and model; one before it is replaced.

    Raises
    ------
    AcuteFindingsError
        The account has no home folder, or its folder of settings cannot be written to.
    """
    model = calibration.model
    return write_calibration(calibration, calibrations_folder() / _file_name(calibration.detector, model))


def installed_calibrations(detector: str) -> Iterator[Calibration]:
    """Yield the installed calibrations of a detector; raises `CalibrationError` at one that is damaged."""
    try:
        files = sorted(calibrations_folder().glob(f"{detector}.*.json"))
    except (AcuteFindingsError, OSError):
        return
    for file in files:
        yield read_calibration(file)


def find_calibration(asked: str | None, detector: str, model: Model) -> tuple[Calibration | None, tuple[Notice, ...]]:
    """Return the calibration to apply to verdicts of a model, and what there is to say about it.

    Parameters
    ----------
    asked
        The path of a calibration's file; `NO_CALIBRATION` for none; None for the installed one, if there is one.
    detector, model
        Whose verdicts.

    Raises
    ------
    CalibrationError
        The file is damaged or was made for another detector or model.
    """
    if asked == NO_CALIBRATION:
        return None, ()
    if asked is not None:
        calibration = read_calibration(Path(asked))
        if calibration.detector != detector or not is_of(calibration, model):
            raise CalibrationError(
                f"{asked} calibrates {calibration.detector} by the model {_named(calibration.model)}; this verdict is "
                f"on {detector} by {_named(model)}. Calibrate that model on your studies, or use `--calibration none`."
            )
        return calibration, _changes(calibration)
    installed = list(installed_calibrations(detector))
    own = next((one for one in installed if is_of(one, model)), None)
    if own is not None:
        return own, _changes(own)
    others = [one for one in installed if one.model.id == model.id]
    if others:
        text = (
            f"The installed calibration of {others[0].name} was made for {_named(others[0].model)} and is not applied "
            f"to {_named(model)}: calibrate again."
        )
        return None, (Notice("calibration-of-another-model", "warn", text),)
    return None, ()


def is_of(calibration: Calibration, model: Model) -> bool:
    """Whether a calibration was made from the probabilities of this very model."""
    own = calibration.model
    return (own.id, own.version, own.sha256) == (model.id, model.version, model.sha256)


def note_change(calibration: Calibration, said: str, *, since: date) -> Path:
    """Keep that this site's studies are no longer like those of the calibration: every verdict by it then says so.

    Calibrating again ends it.

    Parameters
    ----------
    said
        What has changed, as it stands in a sentence: ``"noise is higher than in the calibration's studies"``.
    since
        The day from which on.

    Raises
    ------
    AcuteFindingsError
        As `install_calibration`.
    """
    file = calibrations_folder() / f"{calibration.digest}.changed"
    try:
        with replace_when_written(file) as partial:
            partial.write_text(json.dumps({"said": said, "since": since.isoformat()}), encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"{file} could not be written: {error.strerror or error}.") from error
    return file


def forget_change(calibration: Calibration) -> None:
    """Take `note_change` back; raises `AcuteFindingsError` as it does."""
    (calibrations_folder() / f"{calibration.digest}.changed").unlink(missing_ok=True)


def _changes(calibration: Calibration) -> tuple[Notice, ...]:
    try:
        file = calibrations_folder() / f"{calibration.digest}.changed"
        data = parse_json(file.read_bytes())
        said, since = str(data["said"]), date.fromisoformat(data["since"])
    except (AcuteFindingsError, FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, KeyError, TypeError):
        said, since = "what has changed can no longer be read", calibration.made
    text = (
        f"Since {since.isoformat()} this site's studies differ from those of its calibration ({said}): what it "
        "promises may no longer hold. Calibrate again."
    )
    return (Notice("site-changed", "warn", text),)


def _file_name(detector: str, model: Model) -> str:
    return f"{detector}.{model.sha256[:_LETTERS]}.json" if model.sha256 else f"{detector}.{model.id}.json"


def _named(model: Model) -> str:
    return f"{model.id} {model.version} ({model.sha256[:8]})"
