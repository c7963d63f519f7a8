"""One examination read by every detector that it fits: what workers of every engine do, each study once."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from pydicom.errors import InvalidDicomError

from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.registry import find_kind, kinds
from AcuteFindingsLib.errors import CancelledError, StudyError, StudyRefusedError
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.jobs.tools import WarmModels
from AcuteFindingsLib.jobs.write_results import StudyResult
from AcuteFindingsLib.last_resort import expected, sentence, write_log
from AcuteFindingsLib.models.find import default_package, find_package
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.providers.load import split_model
from AcuteFindingsLib.study.choose import fitting
from AcuteFindingsLib.study.dicom_facts import facts_of
from AcuteFindingsLib.study.dicom_files import UNREADABLE, read_header
from AcuteFindingsLib.study.dicom_fit import PROJECTION_MODALITIES, VOLUME_MODALITIES
from AcuteFindingsLib.study.dicom_frames import frames_of
from AcuteFindingsLib.study.evidence import stated_kinds, stated_parts
from AcuteFindingsLib.study.file_kinds import shown_name
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.requirements import CtRequirements, RadiographRequirements
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.site_files import NO_CALIBRATION, installed_calibrations, read_calibration
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.intake.spool import files_now
from AcuteFindingsLib.worklist.records import (
    RECORD,
    UPLOAD,
    Record,
    ResultsFolder,
    instances_of,
    now,
    record_bytes,
)
from AcuteFindingsLib.worklist.viewing import viewing_files
from AcuteFindingsLib.worklist.words import State

_KNOWN_SECONDS = 60.0
_SHORTEST_NAME = 4
_SHARE_OF_READING = 0.15
_NO_HEADER: tuple[type[Exception], ...] = (InvalidDicomError, *UNREADABLE)

AUTO = "auto"
"""Every detector that an examination fits."""


@dataclass(frozen=True)
class ReadSettings:
    """How examinations are read; the same for all of a batch, and small enough to be sent anywhere.

    Attributes
    ----------
    out
        The folder of results (`records.ResultsFolder`).
    detector
        A detector's id, or `AUTO`.
    model, device, model_folders, dicom
        As `jobs.run_study.StudyRequest` has them.
    calibration
        As `jobs.detect.detect` has it; a file applies to the detector that it was made for.
    retry_failed
        Read again what failed before.
    upload
        The study was uploaded to the server: its key is `ResultsFolder.key_of_upload`, the files that its page shows
        are written beside the results (`viewing`), and DICOM results where the study can carry them.
    """

    out: Path
    detector: str = AUTO
    model: str | None = None
    device: str = "auto"
    model_folders: tuple[Path, ...] = ()
    dicom: bool = False
    calibration: str | None = None
    retry_failed: bool = False
    upload: bool = False

    def asked(self, detector: str) -> str:
        """Return what of this makes another result: a finding by other wishes or another calibration is not done."""
        minute = int(time.monotonic() // _KNOWN_SECONDS)
        calibrated = _calibrations(self.calibration, detector, minute)
        return f"{calibrated}model={self.model or ''} dicom={int(self.dicom)}"

    def calibration_of(self, detector: str) -> str | None:
        """Return the calibration of a detector's verdicts, as `jobs.detect.detect` has it.

        One of another detector is refused where a detector was named, and left aside where all are in question.
        """
        if self.detector != AUTO or self.calibration in (None, NO_CALIBRATION):
            return self.calibration
        return self.calibration if read_calibration(Path(str(self.calibration))).detector == detector else None


@dataclass(frozen=True)
class Outcome:
    """What became of one examination with one detector in this run.

    Attributes
    ----------
    record
        As it is kept; of a study that another process is reading, state ``"reading"``.
    skipped
        It was read before, by the same files and model.
    """

    record: Record
    skipped: bool = False


@dataclass
class Reader:
    """Reads one examination after the other; networks stay in memory between them."""

    settings: ReadSettings
    models: WarmModels = field(default_factory=WarmModels)

    def read(
        self, exam: Exam, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> list[Outcome]:
        """Read an examination by every detector in question; what is wrong with it becomes a record.

        Returns
        -------
        list of Outcome
            One a detector that it fits, or that was named; none where no detector is made for it.

        Raises
        ------
        CancelledError
            When `cancelled` says so; what was being read is left as it was.
        DataError
            The folder of results cannot be used.
        """
        folder = ResultsFolder(self.settings.out)
        try:
            stamp = files_now(exam.files or (exam.source,))
            instances = instances_of(exam)
        except OSError as error:
            said = f"A file of the study cannot be read: {error.strerror or error}."
            return [self._without_files(folder, exam, kind, said) for kind in self._kinds(exam)]
        outcomes = []
        asked = self._kinds(exam)
        for place, kind in enumerate(asked):
            stop_if(cancelled)
            share = part_of(progress, place / len(asked), (place + 1) / len(asked))
            outcome = self._read(folder, exam, kind, instances, stamp, share, cancelled)
            outcomes += [] if outcome is None else [outcome]
        return outcomes

    def _kinds(self, exam: Exam) -> list[DetectorKind]:
        """Return the detectors in question by the modality alone."""
        if self.settings.detector != AUTO:
            return [find_kind(self.settings.detector)]
        if not exam.modalities:
            return list(kinds())
        stacks, pictures = exam.modalities & {*VOLUME_MODALITIES}, exam.modalities & {*PROJECTION_MODALITIES}
        of_any = exam.modalities - {*VOLUME_MODALITIES, *PROJECTION_MODALITIES} and not stacks and not pictures
        return [
            kind
            for kind in kinds()
            if of_any
            or (
                pictures
                if isinstance(kind.requirements, RadiographRequirements)
                else stacks and may_show(exam, kind.requirements)
            )
        ]

    def _read(
        self,
        folder: ResultsFolder,
        exam: Exam,
        kind: DetectorKind,
        instances: str,
        stamp: object,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Outcome | None:
        key = self._key(folder, exam, kind, instances)
        with folder.alone(key) as alone:
            before = folder.read(key)
            record = Record(
                key,
                kind.id,
                "reading",
                study_uid=exam.study_uid,
                instances=instances,
                asked=self.settings.asked(kind.id),
                arrived=(before.arrived if before is not None else exam.arrived) or now(),
                started=now(),
                attempts=1 + (before.attempts if before is not None else 0),
                origin=self._origin,
            )
            if not alone:
                return Outcome(record)
            if before is not None and self._settled(before, record, kind):
                return Outcome(before, skipped=True)
            with self._kept(folder, exam, record) as kept:
                study = read_study(
                    exam.source,
                    requirements=kind.requirements,
                    files=exam.files or None,
                    one_examination=True,
                    progress=part_of(progress, 0.0, _SHARE_OF_READING),
                )
                if self.settings.detector == AUTO and not fitting(study, {kind.id: kind.requirements}):
                    return None
                if files_now(exam.files or (exam.source,)) != stamp:
                    raise StudyError("The study changed while it was read; it is read again when its files rest.")
                kept.append(self._run(folder, exam, kind, record, study, progress, cancelled))
            return Outcome(kept[-1])

    def _run(
        self,
        folder: ResultsFolder,
        exam: Exam,
        kind: DetectorKind,
        record: Record,
        study: Study,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Record:
        settings = self.settings
        record = replace(record, series_uid=study.dicom.series_instance_uid)
        done: list[Record] = []

        def content(result: StudyResult) -> list[bytes]:
            finding = result.finding
            done.append(
                replace(
                    record,
                    state="done",
                    model=f"{finding.model.id} {finding.model.version}".strip(),
                    model_sha256=finding.model.sha256,
                    verdict=finding.verdict.label,
                    probability=finding.verdict.probability,
                    finished=now(),
                )
            )
            return [record_bytes(done[-1])]

        run_study(
            StudyRequest(
                source=exam.source,
                out=folder.results(record.key),
                detector=kind.id,
                model=settings.model,
                device=settings.device,
                model_folders=settings.model_folders,
                dicom=settings.dicom,
                dicom_where_possible=settings.upload,
                calibration=settings.calibration_of(kind.id),
                hint="",
            ),
            study=study,
            load=self.models.load,
            also={**(viewing_files(study) if settings.upload else {}), RECORD: content},
            progress=part_of(progress, _SHARE_OF_READING, 1.0),
            cancelled=cancelled,
        )
        return done[-1]

    @contextlib.contextmanager
    def _kept(self, folder: ResultsFolder, exam: Exam, record: Record) -> Iterator[list[Record]]:
        """Turn what goes wrong with a study into its record; what goes wrong with everything ends the run."""
        kept: list[Record] = []
        try:
            yield kept
            return
        except CancelledError:
            raise
        # One study that fails, in whatever way, is a row of the list, never the end of the batch.
        except Exception as error:
            state: State = "refused" if isinstance(error, StudyRefusedError) else "failed"
            said = _without_names(sentence(error, kept=True), exam)
            if not expected(error):
                write_log(error, doing="reading a study")
            kept.append(replace(record, state=state, said=said, finished=now()))
        folder.write(kept[-1])

    def _settled(self, before: Record, wanted: Record, kind: DetectorKind) -> bool:
        """Whether a study was read already, by the same files, wishes and model."""
        if (before.instances, before.asked) != (wanted.instances, wanted.asked):
            return False
        if before.state in ("failed", "refused"):
            again = before.state == "failed" and self.settings.retry_failed
            return before.software == wanted.software and not again
        minute = int(time.monotonic() // _KNOWN_SECONDS)
        weights = weights_of(kind.task.made_for, self.settings.model, self.settings.model_folders, minute)
        return weights is None or before.model_sha256 == weights

    @property
    def _origin(self) -> str:
        return UPLOAD if self.settings.upload else ""

    def _key(self, folder: ResultsFolder, exam: Exam, kind: DetectorKind, instances: str) -> str:
        if self.settings.upload:
            return folder.key_of_upload(kind.id, instances, self.settings.asked(kind.id))
        return folder.key(exam, kind.id, instances)

    def _without_files(self, folder: ResultsFolder, exam: Exam, kind: DetectorKind, said: str) -> Outcome:
        key = self._key(folder, exam, kind, str(exam.source))
        before = folder.read(key)
        when = now()
        record = Record(
            key,
            kind.id,
            "failed",
            study_uid=exam.study_uid,
            asked=self.settings.asked(kind.id),
            said=said,
            arrived=(before.arrived if before is not None else exam.arrived) or when,
            started=when,
            finished=when,
            attempts=1 + (before.attempts if before is not None else 0),
            origin=self._origin,
        )
        folder.write(record)
        return Outcome(record)


def may_show(exam: Exam, requirements: CtRequirements) -> bool:
    """Whether a header of an examination leaves it open that the examination is what is asked for.

    Nothing is decided by it but which studies need not be read: those whose every series states another part of the
    body, as `study.choose.fitting` would find after reading them.
    """
    for file in exam.series:
        try:
            frames = frames_of(file, read_header(file))
        except _NO_HEADER:
            return True
        for frame in frames[:1]:
            facts = facts_of(frame)
            parts = stated_parts(facts)
            if not parts or requirements.body_part in parts or requirements.examination in stated_kinds(facts):
                return True
    return not exam.series


def _without_names(said: str, exam: Exam) -> str:
    """Return a sentence without the names of files and folders, which often name the patient."""
    paths = (exam.source, *exam.files)
    whole = {str(path) for path in paths} | {str(path.parent) for path in paths}
    parts = {shown_name(path) for path in paths} | {part for path in paths for part in path.parts[-3:]}
    names = whole | {part for part in parts if len(part) >= _SHORTEST_NAME}
    own = {str(exam.source), shown_name(exam.source), exam.source.name}
    for name in sorted(names, key=len, reverse=True):
        # Only where it stands by itself: a folder may be called like a word of the sentence.
        said = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "the study" if name in own else "a file", said)
    return said[:1].upper() + said[1:]


@lru_cache(maxsize=64)
def _calibrations(asked: str | None, detector: str, _minute: int) -> str:
    """Return which calibrations a detector's verdicts may get, for comparison; empty where there are none."""
    if asked == NO_CALIBRATION:
        return "calibration=none "
    named = None if asked is None else read_calibration(Path(asked))
    found = installed_calibrations(detector) if named is None or named.detector != detector else (named,)
    digests = [one.digest for one in found]
    return f"calibration={','.join(digests)} " if digests else ""


@lru_cache(maxsize=64)
def weights_of(task: str, model: str | None, folders: tuple[Path, ...], _minute: int = 0) -> str | None:
    """Return the SHA-256 of the weights that a verdict would rest on now; None where a provider gives it.

    A model may be replaced while a department is watched: the answer is remembered for a minute.

    Raises
    ------
    ModelError
        There is no such model.
    """
    base, provider = split_model(model)
    if provider is not None and base is None:
        return None
    package = find_package(base, task=task, folders=folders) if base else default_package(task, folders=folders)
    return package.sha256
