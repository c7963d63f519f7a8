"""The list while a batch runs: what waits, what became of each study, and table and page at the end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.worklist.engines.engine import Answer
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.item import WorklistItem
from AcuteFindingsLib.worklist.listing import write_listing
from AcuteFindingsLib.worklist.patients import Patient, Patients, patient_of
from AcuteFindingsLib.worklist.records import now
from AcuteFindingsLib.worklist.store import Store
from AcuteFindingsLib.worklist.urgency import UrgencySettings

_PATIENTS_AT_ONCE = 50
_UNREAD = ("waiting", "reading")


class BatchList:
    """Keeps the list of a folder of results up to date with a batch that reads into it."""

    def __init__(
        self, folder: Path, *, url: str | None = None, settings: UrgencySettings | None = None, patients: bool = False
    ) -> None:
        """Open the list; `patients` keeps names and numbers in the account's own folder (`patients.Patients`)."""
        self.store = Store(folder, url=url, settings=settings)
        self._folder = folder
        self._patients = Patients(folder) if patients else None
        self._new: dict[str, Patient] = {}
        self._behind = False
        self._waiting: dict[str, WorklistItem] = {}

    def waiting(self, exams: Sequence[Exam]) -> None:
        """Show examinations as waiting: those that a study's UID names, until it is known which detectors they fit."""
        items = self.store.items()
        known = {item.study_uid for item in items if item.state not in _UNREAD}
        # Of a batch that was killed rows still say that they are being read.
        arrived = {item.key: item.arrived for item in items if item.state in _UNREAD}
        when = now()
        for exam in exams:
            if exam.study_uid and exam.study_uid not in known:
                key = self._waiting_key(exam)
                self._waiting[key] = WorklistItem(
                    key, "", "waiting", exam.study_uid, arrived=arrived.get(key) or exam.arrived or when
                )
        self.store.put_items(self._waiting.values())

    def begun(self, exam: Exam) -> None:
        """Show an examination that waited as being read; where the list cannot be written, it is made anew later."""
        item = self._waiting.get(self._waiting_key(exam))
        if item is None or item.state == "reading":
            return
        self._waiting[item.key] = item = replace(item, state="reading")
        try:
            self.store.put_items([item])
        except WorklistError:
            self._behind = True

    def heard(self, exam: Exam, answer: Answer) -> None:
        """Write what became of an examination; where the list cannot be written, it is made anew at the end."""
        try:
            self._heard(exam, answer)
        except WorklistError:
            self._behind = True

    def _heard(self, exam: Exam, answer: Answer) -> None:
        if isinstance(answer, str):
            # There is no record of it: whatever read it was lost.
            when = now()
            key = self._waiting_key(exam)
            self.store.put_items(
                [WorklistItem(key, "", "failed", exam.study_uid, arrived=exam.arrived, finished=when, said=answer)]
            )
            return
        if exam.study_uid:
            key = self._waiting_key(exam)
            self._waiting.pop(key, None)
            self.store.drop([key])
        for outcome in answer:
            self.store.put(outcome.record)
            if self._patients is not None:
                self._new[outcome.record.key] = patient_of(exam)
        if len(self._new) >= _PATIENTS_AT_ONCE:
            self._keep_patients()

    def finish(self) -> tuple[Path, Path]:
        """Write table and page of the list as it is now, and return their paths."""
        self._keep_patients()
        if self._behind:
            self.store.rebuild()
        written = write_listing(self.store.items(), self._folder, self.store.settings)
        self.store.close()
        return written

    def _keep_patients(self) -> None:
        if self._patients is not None and self._new:
            self._patients.add(self._new)
        self._new = {}

    def _waiting_key(self, exam: Exam) -> str:
        return self.store.folder.key(exam, "", str(exam.source))
