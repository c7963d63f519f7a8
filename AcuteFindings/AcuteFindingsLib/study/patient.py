"""What is kept of who the patient is: a hash that tells patients apart, and an age where it is a small child's."""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date

from pydicom.dataset import Dataset

PATIENT_TAGS = ("PatientID", "PatientName", "PatientBirthDate", "StudyDate")
"""Read only for what `keep_no_patient` makes of them."""

# Older patients are not told apart by age.
_MOST_DAYS = 999
_HASH_KEY = secrets.token_bytes(16)


def keep_no_patient(header: Dataset, *, kept: Collection[str]) -> None:
    """Replace, in place, the attributes that identify a patient.

    Patient ID becomes a hash of the patient's number (of name and birth date where there is none), Patient's Name one
    of name and birth date: equal for one patient, without meaning outside this process. Patient's Age, where it is
    missing, is that between birth and study, if it is below `_MOST_DAYS`.

    Parameters
    ----------
    header
        With `PATIENT_TAGS` as the file states them.
    kept
        Keywords that stay in the header for another reason.
    """
    stated = {keyword: str(header.get(keyword) or "").strip(" \0^").upper() for keyword in PATIENT_TAGS}
    for keyword in PATIENT_TAGS:
        if keyword in header and keyword not in kept:
            delattr(header, keyword)
    days = _days_between(stated["PatientBirthDate"], stated.pop("StudyDate"))
    if days is not None and not header.get("PatientAge"):
        header.PatientAge = f"{days:03d}D"
    number = stated.pop("PatientID")
    name = "|".join(filter(None, stated.values()))
    if name:
        header.PatientName = _hash(name)
    if number or name:
        header.PatientID = _hash(number or name)


def join_patients(headers: Iterable[Dataset]) -> None:
    """Give, in place, images without patient's number the one that their study has for the same name."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    nameless: list[tuple[tuple[str, str], Dataset]] = []
    for header in headers:
        name, number = str(header.get("PatientName") or ""), str(header.get("PatientID") or "")
        of = (str(header.get("StudyInstanceUID") or ""), name)
        if name and number == name:
            nameless.append((of, header))
        elif name:
            known[of].add(number)
    for of, header in nameless:
        if len(known[of]) == 1:
            header.PatientID = next(iter(known[of]))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), key=_HASH_KEY, digest_size=8).hexdigest()


def _days_between(birth: str, study: str) -> int | None:
    """Return the age in days; None where a date is missing or impossible, or the patient is no small child."""
    try:
        days = (date.fromisoformat(study) - date.fromisoformat(birth)).days
    except ValueError:
        return None
    return days if 0 <= days <= _MOST_DAYS else None
