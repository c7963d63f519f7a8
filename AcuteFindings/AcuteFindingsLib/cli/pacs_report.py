"""What the commands on archives print: tables of what was found, and what became of each instance."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.cli.common import err_console, out_console, print_json
from AcuteFindingsLib.cli.tables import print_rows

if TYPE_CHECKING:
    from AcuteFindingsLib.pacs.connection import StoreAnswer
    from AcuteFindingsLib.pacs.matches import InstanceMatch, SeriesMatch, StudyMatch
    from AcuteFindingsLib.pacs.pull import PulledSeries
    from AcuteFindingsLib.pacs.push import ToSend

OK, INCOMPLETE = 0, 2
"""Exit status where an archive gave what it has, and where it has more than it gave."""

# More lines of the same answer than this are told as one.
_LINES_A_SERIES = 10


def show_matches(matches: Sequence[Any], show: Callable[[Sequence[Any]], None], *, as_json: bool) -> None:
    """Print what was found, as a table or as JSON."""
    if as_json:
        print_json([asdict(match) for match in matches])
    elif matches:
        show(matches)
    else:
        out_console.print("Nothing fits.")


def show_studies(studies: Sequence["StudyMatch"]) -> None:
    """Print a table of studies."""
    patients = any(study.patient for study in studies)
    columns = ("patient", "patient ID", "born", "accession") if patients else ()
    rows = []
    for study in studies:
        facts = study.patient
        shown = (facts.name, facts.patient_id, facts.birth_date, facts.accession) if facts else ("",) * len(columns)
        counts = (_count(study.series_count), _count(study.instance_count))
        when = f"{study.date} {study.time[:4]}".strip()
        rows.append((when, "/".join(study.modalities), *counts, study.description, *shown, study.study_uid))
    print_rows(("date", "modality", "series", "instances", "description", *columns, "study UID"), rows)


def show_series(found: Sequence["SeriesMatch"]) -> None:
    """Print a table of series; of several studies, each says of which."""
    several = len({series.study_uid for series in found}) > 1
    rows = [
        (
            *(_count(series.number), series.modality, _count(series.instance_count), series.description),
            *(series.series_uid, *((series.study_uid,) if several else ())),
        )
        for series in found
    ]
    columns = ("number", "modality", "instances", "description", "series UID", *(("study UID",) if several else ()))
    print_rows(columns, rows)


def show_instances(found: Sequence["InstanceMatch"]) -> None:
    """Print a table of instances."""
    from pydicom.uid import UID

    kinds = (UID(instance.sop_class_uid).name if instance.sop_class_uid else "" for instance in found)
    rows = [(_count(instance.number), kind, instance.sop_uid) for instance, kind in zip(found, kinds, strict=True)]
    print_rows(("number", "kind", "instance UID"), rows)


def _count(number: int | None) -> str:
    return "" if number is None else str(number)


def report_pull(pulled: Sequence["PulledSeries"], shortfalls: Sequence[str]) -> int:
    """Say what came and what did not, by series; returns the exit status."""
    for result in pulled:
        here = f", {result.present} were here already" if result.present else ""
        lacks = f", {result.lacking} MISSING" if result.lacking else ""
        out_console.print(f"{result.series.modality}: {result.fetched} fetched{here}{lacks}")
        out_console.print(f"  {result.folder}")
        for remark in result.remarks:
            out_console.print(f"  {remark}")
    missing = sum(result.lacking for result in pulled)
    if missing:
        of = _counted(sum(bool(result.lacking) for result in pulled), "series", "series")
        what = f"{_counted(missing, 'instance', 'instances')} of {of} did not arrive"
    else:
        what = "the server counts more than it gave, or did not answer to the end"
    whole = all(result.complete for result in pulled) and not shortfalls
    return OK if whole else report_incomplete([*shortfalls, f"{what}; run the same command again to fetch the rest"])


def report_incomplete(shortfalls: Sequence[str]) -> int:
    """Say on stderr what an archive did not give; returns the exit status."""
    for text in shortfalls:
        err_console.print(f"acutefindings: incomplete: {text}.")
    return INCOMPLETE if shortfalls else OK


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def report_push(found: "ToSend", answers: Sequence["StoreAnswer"]) -> None:
    """Say what became of each file."""

    def same(answer: "StoreAnswer") -> tuple[str, ...]:
        return answer.file.series_uid, answer.file.modality, answer.state, answer.code, answer.text

    for (series_uid, modality, state, _, text), grouped in groupby(answers, key=same):
        group = list(grouped)
        many = len(group) > _LINES_A_SERIES and state != "refused"
        for answer in group[:1] if many else group:
            what = f"{len(group)} instances of series {series_uid}" if many else answer.file.sop_uid
            code = f" ({answer.code})" if answer.code else ""
            said = "" if text == state else f": {text}"
            out_console.print(f"{state}{code}  {modality} {what}{said}")
            if not answer.stored and not many:
                out_console.print(f"  {answer.file.path}")
    for path in found.damaged:
        out_console.print(f"not sent  {path}: cut short, or without what identifies an instance")
    if found.others:
        several = len(found.others) > 1
        what = "files that are not DICOM objects were" if several else "file that is not a DICOM object was"
        out_console.print(f"{len(found.others)} {what} left out.")
    stored = sum(answer.stored for answer in answers)
    failed = len(answers) - stored + len(found.damaged)
    total = _counted(stored + failed, "instance is", "instances are")
    out_console.print(f"{stored} of {total} stored.")
    if failed:
        not_stored = _counted(failed, "instance is", "instances are")
        err_console.print(f"acutefindings: {not_stored} NOT stored; run the same command again to send the rest.")


def push_as_json(found: "ToSend", answers: Sequence["StoreAnswer"]) -> dict[str, Any]:
    """Return what became of each file, for programs."""
    instances = [
        {
            "file": str(answer.file.path),
            "sop_instance_uid": answer.file.sop_uid,
            "state": answer.state,
            "code": answer.code,
            "text": answer.text,
        }
        for answer in answers
    ]
    return {
        "instances": instances,
        "damaged": [str(path) for path in found.damaged],
        "left_out": [str(path) for path in found.others],
    }
