"""What is asked of an archive and what it answers, the same for DICOMweb and classic DICOM."""

import re
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from AcuteFindingsLib.errors import PacsError

# A UID becomes part of a file name and of a web address: nothing but what PS3.5 9.1 allows, and what scanners add to
# it (letters, hyphens); never a path, nor what Windows reads as one (a dot at the end, the name of a device).
_UID = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]{0,62}[0-9A-Za-z_-])?")
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{number}" for name in ("COM", "LPT") for number in range(10))}
_DATE = re.compile(r"\d{8}(-\d{8})?|\d{8}-|-\d{8}")

STUDY_KEYS = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyDescription", "ModalitiesInStudy", "AccessionNumber",
    "PatientID", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
)  # fmt: skip
PATIENT_KEYS = ("PatientName", "PatientBirthDate")
SERIES_KEYS = ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances")
INSTANCE_KEYS = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber")


@dataclass(frozen=True)
class StudyQuery:
    """Which studies are asked for; what identifies a patient stays out of its representation.

    Attributes
    ----------
    study_uid, accession, patient_id
        Exactly this one.
    date
        ``YYYYMMDD``, or a range ``YYYYMMDD-YYYYMMDD`` open at either end.
    modality
        Studies that hold a series of this modality, ``CT``.
    """

    study_uid: str | None = None
    accession: str | None = field(default=None, repr=False)
    patient_id: str | None = field(default=None, repr=False)
    date: str | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        """Raise `PacsError` for a query that asks for nothing, or for more than it says."""
        if not (self.study_uid or self.accession or self.patient_id or self.date):
            raise PacsError("Name the study: give --study, --accession, --patient-id or --date.")
        for option, value in (("--accession", self.accession), ("--patient-id", self.patient_id)):
            if value and any(sign in value for sign in "*?\\"):
                raise PacsError(f"{option} names exactly one; *, ? and \\ are not allowed in it.")
        if self.study_uid:
            checked_uid(self.study_uid, "--study")
        if self.date and not _DATE.fullmatch(self.date):
            raise PacsError(f"--date {self.date}: write YYYYMMDD, or a range YYYYMMDD-YYYYMMDD.")
        if self.modality:
            checked_modality(self.modality)

    def criteria(self) -> dict[str, str]:
        """Return keyword and value of each thing asked for."""
        asked = {
            "StudyInstanceUID": self.study_uid,
            "AccessionNumber": self.accession,
            "PatientID": self.patient_id,
            "StudyDate": self.date,
            "ModalitiesInStudy": self.modality,
        }
        return {keyword: value for keyword, value in asked.items() if value}

    def fits(self, answer: Dataset) -> bool:
        """Tell whether an answer is what was asked for: some servers ignore what they cannot filter by."""
        return all(
            _text(answer, keyword) == value.strip()
            for keyword, value in self.criteria().items()
            if keyword in ("StudyInstanceUID", "AccessionNumber", "PatientID")
        )


@dataclass(frozen=True)
class PatientFacts:
    """Who a study is of; asked for only where the user wants to see it."""

    name: str = field(repr=False)
    patient_id: str = field(repr=False)
    birth_date: str = field(repr=False)
    accession: str = field(repr=False)


@dataclass(frozen=True)
class StudyMatch:
    """A study the server has; counts are None where it does not say."""

    study_uid: str
    date: str
    time: str
    description: str
    modalities: tuple[str, ...]
    series_count: int | None
    instance_count: int | None
    patient: PatientFacts | None = None


@dataclass(frozen=True)
class SeriesMatch:
    """A series the server has."""

    study_uid: str
    series_uid: str
    modality: str
    number: int | None
    description: str
    instance_count: int | None


@dataclass(frozen=True)
class InstanceMatch:
    """An instance the server has; the class is empty where it does not say."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    number: int | None


def is_uid(uid: str) -> bool:
    """Tell whether a text may be part of a file name and of a web address as a UID."""
    return bool(_UID.fullmatch(uid)) and uid.partition(".")[0].upper() not in _DEVICES


def checked_uid(uid: str, what: str) -> str:
    """Return the UID; raises `PacsError` where it could not be part of a file name or a web address."""
    if not is_uid(uid):
        raise PacsError(f"{what} {uid[:70]!r} is not a DICOM UID: digits and dots, 64 at most.")
    return uid


def checked_modality(modality: str) -> str:
    """Return the modality; raises `PacsError` for what is none."""
    if not re.fullmatch(r"[A-Z]{2,16}", modality):
        raise PacsError(f"--modality {modality[:20]}: write it as in DICOM, for example CT or SEG.")
    return modality


def study_match(answer: Dataset, *, show_patient: bool = False) -> StudyMatch:
    """Read a study-level answer; raises `PacsError` where it names no valid UID."""
    patient = None
    if show_patient:
        patient = PatientFacts(
            name=_text(answer, "PatientName"),
            patient_id=_text(answer, "PatientID"),
            birth_date=_text(answer, "PatientBirthDate"),
            accession=_text(answer, "AccessionNumber"),
        )
    return StudyMatch(
        study_uid=_uid(answer, "StudyInstanceUID"),
        date=_text(answer, "StudyDate"),
        time=_text(answer, "StudyTime")[:6],
        description=_text(answer, "StudyDescription"),
        modalities=tuple(sorted(_texts(answer, "ModalitiesInStudy"))),
        series_count=_number(answer, "NumberOfStudyRelatedSeries"),
        instance_count=_number(answer, "NumberOfStudyRelatedInstances"),
        patient=patient,
    )


def series_match(answer: Dataset, study_uid: str) -> SeriesMatch:
    """Read a series-level answer; raises `PacsError` where it names no valid UID."""
    return SeriesMatch(
        study_uid=study_uid,
        series_uid=_uid(answer, "SeriesInstanceUID"),
        modality=_text(answer, "Modality"),
        number=_number(answer, "SeriesNumber"),
        description=_text(answer, "SeriesDescription"),
        instance_count=_number(answer, "NumberOfSeriesRelatedInstances"),
    )


def instance_match(answer: Dataset, study_uid: str, series_uid: str) -> InstanceMatch:
    """Read an instance-level answer; raises `PacsError` where it names no valid UID."""
    return InstanceMatch(
        study_uid=study_uid,
        series_uid=series_uid,
        sop_uid=_uid(answer, "SOPInstanceUID"),
        sop_class_uid=_text(answer, "SOPClassUID"),
        number=_number(answer, "InstanceNumber"),
    )


def _uid(answer: Dataset, keyword: str) -> str:
    return checked_uid(_text(answer, keyword), f"The server answered with a {keyword} that cannot be used:")


def _texts(answer: Dataset, keyword: str) -> list[str]:
    value = answer.get(keyword)
    if value is None:
        return []
    values = value if isinstance(value, MultiValue | list) else [value]
    return [str(part).strip(" \0") for part in values if str(part).strip(" \0")]


def _text(answer: Dataset, keyword: str) -> str:
    return "\\".join(_texts(answer, keyword))


def _number(answer: Dataset, keyword: str) -> int | None:
    try:
        return int(_text(answer, keyword))
    except ValueError:
        return None
