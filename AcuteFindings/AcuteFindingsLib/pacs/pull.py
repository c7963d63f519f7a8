"""Bringing studies from an archive into a folder; what is there already and whole is not fetched again."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from AcuteFindingsLib.detectors.detector import Cancelled, Progress, never_cancelled, no_progress
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Connection, stop_if
from AcuteFindingsLib.pacs.instance_files import Inbox, instance_path, is_whole, series_folder
from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch

# Partial files this old belong to a run that was killed.
_ABANDONED_AFTER = 3600.0


@dataclass(frozen=True)
class PulledSeries:
    """What became of one series.

    Attributes
    ----------
    series, folder
        Which, and where it lies.
    present, fetched
        Instances that were there before, and that came now.
    missing
        SOP Instance UIDs that the server lists but did not give.
    remarks
        What else happened, one sentence each.
    """

    series: SeriesMatch
    folder: Path
    present: int
    fetched: int
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


def pull_studies(
    connection: Connection,
    studies: Sequence[StudyMatch],
    out: Path,
    *,
    series_uid: str | None = None,
    modality: str | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> tuple[PulledSeries, ...]:
    """Fetch studies into ``out/study UID/series UID/instance UID.dcm``.

    Parameters
    ----------
    connection
        The archive.
    studies
        Which studies.
    out
        Where to; made where it is missing.
    series_uid, modality
        Only this series, only series of this modality; None takes all.
    progress, cancelled
        As everywhere; progress may come from another thread.

    Returns
    -------
    tuple of PulledSeries
        One a series, in the order of the studies and of their series' numbers.

    Raises
    ------
    PacsError
        Where the server cannot be reached, has no such series, gives nothing, or the disk is full.
    CancelledError
        When asked to stop. In both cases what has come is kept, and the same call fetches the rest.
    """
    progress("Asking what the studies hold", 0.0)
    listed = []
    for study in studies:
        for series in connection.find_series(study.study_uid):
            stop_if(cancelled)
            if series_uid in (None, series.series_uid) and modality in (None, series.modality):
                listed.append((series, connection.find_instances(study.study_uid, series.series_uid)))
    if not listed:
        wish = f"series {series_uid}" if series_uid else f"series of modality {modality}" if modality else "series"
        raise PacsError(f"The server has no {wish} in {'this study' if len(studies) == 1 else 'these studies'}.")
    counter = _Counter(sum(len(instances) for _, instances in listed), progress)
    return tuple(_pull_series(connection, series, found, out, counter, cancelled) for series, found in listed)


class _Counter:
    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress, self._done = total, progress, 0

    def add(self, what: str, count: int = 1) -> None:
        self._done += count
        self._progress(f"{what}: {self._done} of {self._total} instances", self._done / max(self._total, 1))


def _pull_series(
    connection: Connection,
    series: SeriesMatch,
    instances: Sequence[InstanceMatch],
    out: Path,
    counter: _Counter,
    cancelled: Cancelled,
) -> PulledSeries:
    folder = series_folder(out, series.study_uid, series.series_uid)
    _remove_abandoned(folder)
    label = f"Fetching {series.modality or 'series'}"
    wanted = [match for match in instances if not is_whole(instance_path(folder, match.sop_uid), match.sop_uid)]
    present = len(instances) - len(wanted)
    counter.add(label, present)
    inbox = Inbox(folder, wanted, arrived=lambda _: counter.add(label))
    if wanted:
        stop_if(cancelled)
        connection.fetch(wanted, inbox, complete=not present, cancelled=cancelled)
    missing = tuple(match.sop_uid for match in inbox.missing)
    return PulledSeries(
        series=series,
        folder=folder,
        present=present,
        fetched=len(wanted) - len(missing),
        missing=missing,
        remarks=tuple(dict.fromkeys(inbox.refused)) if missing else (),
    )


def _remove_abandoned(folder: Path) -> None:
    for partial in folder.glob(".*.partial.*"):
        if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER:
            partial.unlink(missing_ok=True)
