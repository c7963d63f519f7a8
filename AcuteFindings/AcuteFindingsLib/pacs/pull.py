"""Bringing studies from an archive into a folder; what is there already and whole is not fetched again."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import KEPT, Connection
from AcuteFindingsLib.pacs.instance_files import Inbox, instance_path, is_whole, series_folder
from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch, is_uid
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if

# Partial files this old belong to a run that was killed.
_ABANDONED_AFTER = 3600.0
# Series in a row that a server could not be asked for: it no longer exists.
_GIVE_UP_AFTER = 3


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
    lacking
        How many instances did not come; more than `missing` where the server counts more than it lists.
    study_complete
        False at a study's last series where the server counts more in the study than in the series that it lists.
    remarks
        What else happened, one sentence each.
    """

    series: SeriesMatch
    folder: Path
    present: int
    fetched: int
    missing: tuple[str, ...]
    remarks: tuple[str, ...]
    lacking: int = 0
    study_complete: bool = True

    @property
    def complete(self) -> bool:
        """Whether everything is here that the server lists or counts."""
        return not self.lacking and self.study_complete


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
        When asked to stop. In both cases what has arrived is kept, and the same call fetches the rest.
    """
    progress("Asking what the studies hold", 0.0)
    listed = []
    for study in studies:
        for series in connection.find_series(study.study_uid):
            stop_if(cancelled, left=KEPT)
            if series_uid in (None, series.series_uid) and modality in (None, series.modality):
                listed.append((series, connection.find_instances(study.study_uid, series.series_uid)))
    if not listed:
        wish = f"series {series_uid}" if series_uid else f"series of modality {modality}" if modality else "series"
        raise PacsError(f"The server has no {wish} in {'this study' if len(studies) == 1 else 'these studies'}.")
    counter = _Counter(sum(max(len(found), series.instance_count or 0) for series, found in listed), progress)
    pulled: list[PulledSeries] = []
    errors: list[PacsError] = []
    for series, found in listed:
        result, error = _pull_series(connection, series, found, out, counter, cancelled)
        pulled.append(result)
        errors = [*errors, error] if error else []
        if len(errors) == _GIVE_UP_AFTER:
            raise errors[0]
    if errors and not any(result.present or result.fetched for result in pulled):
        raise errors[0]
    if series_uid is None and modality is None:
        by_study = {study.study_uid: study for study in studies}
        grouped = groupby(pulled, key=lambda result: result.series.study_uid)
        pulled = [result for uid, group in grouped for result in _with_study_shortfall(by_study[uid], list(group))]
    return tuple(pulled)


def _with_study_shortfall(study: StudyMatch, pulled: Sequence[PulledSeries]) -> list[PulledSeries]:
    """Compare a whole study with what the server counts in it; what lacks is a remark of its last series.

    What a series lacks by its own count is in its `lacking` already and not said again.
    """
    counted = sum(result.present + result.fetched + result.lacking for result in pulled)
    reason = ""
    if (study.series_count or 0) > len(pulled):
        reason = f"the server counts {study.series_count} series in this study and lists {len(pulled)}"
    elif (study.instance_count or 0) > counted:
        reason = f"the server counts {study.instance_count} instances in this study, and its series have {counted}"
    if not reason:
        return list(pulled)
    *before, last = pulled
    return [*before, replace(last, remarks=(*last.remarks, f"incomplete: {reason}"), study_complete=False)]


class _Counter:
    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress, self._done = total, progress, 0

    def add(self, what: str, count: int = 1) -> None:
        self._done += count
        # A server may bring more than it counts.
        self._total = max(self._total, self._done)
        self._progress(f"{what}: {self._done} of {self._total} instances", self._done / max(self._total, 1))


def _pull_series(
    connection: Connection,
    series: SeriesMatch,
    instances: Sequence[InstanceMatch],
    out: Path,
    counter: _Counter,
    cancelled: Cancelled,
) -> tuple[PulledSeries, PacsError | None]:
    """Bring one series; also returns why the server could not be asked for it, which need not hold for the next one."""
    error: PacsError | None = None
    folder = series_folder(out, series.study_uid, series.series_uid)
    _remove_abandoned(folder)
    label = f"Fetching {series.modality or 'series'}"
    listed = {match.sop_uid: match for match in instances}
    present = _whole_files(folder, listed, series.series_uid)
    wanted = [match for uid, match in listed.items() if uid not in present]
    counter.add(label, len(present))
    # What the server counts and does not list cannot be asked for by name, only with the series as a whole.
    unnamed = max(0, (series.instance_count or 0) - len(listed.keys() | present))
    complete = bool(unnamed or not present or not listed)
    inbox = Inbox(
        folder,
        wanted,
        arrived=lambda _: counter.add(label),
        series=series if complete else None,
        present=present,
    )
    if complete or wanted:
        stop_if(cancelled, left=KEPT)
        asked = wanted or [InstanceMatch(series.study_uid, series.series_uid, "", "", None)]
        try:
            connection.fetch(asked, inbox, complete=complete, cancelled=cancelled)
        except PacsError as caught:
            if inbox.failure is not None:
                raise
            error = caught
            inbox.refuse(str(error).removesuffix("."))
    remarks = list(dict.fromkeys(inbox.refused)) if inbox.lacking else []
    if inbox.lacking > len(inbox.missing):
        here = len(present) + inbox.received
        remarks.append(f"incomplete: the server counts {here + inbox.lacking} instances here, and {here} are here")
    result = PulledSeries(
        series=series,
        folder=folder,
        present=len(present),
        fetched=inbox.received,
        missing=tuple(match.sop_uid for match in inbox.missing),
        remarks=tuple(remarks),
        lacking=inbox.lacking,
    )
    return result, error


def _whole_files(folder: Path, listed: Iterable[str], series_uid: str) -> set[str]:
    """Return the UIDs of the instances that lie whole in a series' folder, also of those that no search listed."""
    uids = {*listed, *(file.stem for file in folder.glob("*.dcm") if is_uid(file.stem))}
    return {uid for uid in uids if is_whole(instance_path(folder, uid), uid, series_uid)}


def _remove_abandoned(folder: Path) -> None:
    for partial in folder.glob(".*.partial.*"):
        if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER:
            partial.unlink(missing_ok=True)
