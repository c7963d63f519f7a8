"""The errors a person at the screen sees: what was wrong, where, and what to do."""

from collections.abc import Iterable
from typing import Any


class AcuteFindingsError(Exception):
    """Base of every error this library raises on purpose; `str(error)` is one readable sentence."""


class StudyError(AcuteFindingsError):
    """A study could not be read: names the file and the tag or field."""


class StudyRefusedError(AcuteFindingsError):
    """The study was read but is not one that this detector was made for; `notices` are all that the check says."""

    def __init__(self, text: str, notices: Iterable[Any] = ()) -> None:
        super().__init__(text)
        self.notices = tuple(notices)


class ModelError(AcuteFindingsError):
    """A model package is missing, damaged or does not fit."""


class TorchMissingError(AcuteFindingsError):
    """Something was asked for that needs PyTorch, which is not installed: says how to get it and what it takes."""


class DetectionError(AcuteFindingsError):
    """A detector could not finish."""


class CancelledError(AcuteFindingsError):
    """The user asked to stop; nothing was written."""


class ExportError(AcuteFindingsError):
    """A result could not be written."""


class SceneError(AcuteFindingsError):
    """A scene or its pictures could not be made."""


class EvaluationError(AcuteFindingsError):
    """Predictions and truth do not fit together: names the table and the column or case."""


class CalibrationError(AcuteFindingsError):
    """A site's calibration cannot be made, read or used: says what is missing or does not fit, and what to do."""


class DataError(AcuteFindingsError):
    """A training data set cannot be used: names the file and the column or row, and what was expected."""


class PacsError(AcuteFindingsError):
    """An image archive could not be reached, refused, or gave or took less than was asked."""


class RecipeError(AcuteFindingsError):
    """A training recipe cannot be used: names the file and the key, and what was expected."""


class TrainingError(AcuteFindingsError):
    """A training run cannot start or go on: says what is in the way and what to do."""


class ProviderError(AcuteFindingsError):
    """A provider's package is missing, could not be installed, or failed: says what to install or do."""


class ConsentError(ProviderError):
    """A provider was chosen whose terms the user has not agreed to."""


class DownloadError(AcuteFindingsError):
    """A model could not be downloaded: says why and what to do; what has arrived is kept where it is of use."""


class EngineError(AcuteFindingsError):
    """Many studies cannot be read at once in the way asked for: says what is missing and what to do."""


class WorklistError(AcuteFindingsError):
    """The list of studies cannot be opened, read or written: says what is in the way and what to do."""


class ServeError(AcuteFindingsError):
    """The server cannot start, or cannot do what a client asks for: says what is in the way and what to do."""


class RemoteError(AcuteFindingsError):
    """A server of this software did not do what was asked: says why and what to do."""


class UnreachableError(RemoteError):
    """A server of this software does not answer; it may later."""


def named_error(kind: str, text: str, otherwise: type[AcuteFindingsError] = AcuteFindingsError) -> AcuteFindingsError:
    """Return the error of the class that another process named, or `otherwise` where no class has that name."""
    known = globals().get(kind)
    return known(text) if isinstance(known, type) and issubclass(known, AcuteFindingsError) else otherwise(text)
