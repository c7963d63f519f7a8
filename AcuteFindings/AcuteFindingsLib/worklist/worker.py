"""The worker process with the jobs of the worklist beside those of `jobs.worker_jobs`.

Examinations that were found stay in a file, a line each: the application knows their number and place, not the hundred
thousand names of files that a department's folder holds.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.jobs import worker
from AcuteFindingsLib.jobs.messages import MessageError, Request
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS

if TYPE_CHECKING:
    from AcuteFindingsLib.worklist.exams import Exam
    from AcuteFindingsLib.worklist.item import WorklistItem
    from AcuteFindingsLib.worklist.store import Store


def find_exams(request: Request, tools: Tools) -> dict[str, Any]:
    """Find the examinations of a folder or table (`source`) or of named files (`files`), and write them to `out`."""
    from pydantic import TypeAdapter

    from AcuteFindingsLib.files import replace_when_written
    from AcuteFindingsLib.worklist import exams
    from AcuteFindingsLib.worklist.records import now

    tools.at("Looking for studies", 0.0)
    source = request.optional_text("source")
    if source:
        found = exams.find_exams(Path(source), progress=tools.progress, cancelled=tools.cancelled)
    else:
        found = exams.exams_of(request.folders("files"), progress=tools.progress, cancelled=tools.cancelled)
    adapter, places, when = TypeAdapter(exams.Exam), [], now()
    out = request.path("out")
    with replace_when_written(out) as partial, partial.open("wb") as stream:
        for exam in found.exams:
            places.append([stream.tell(), exam.study_uid])
            stream.write(adapter.dump_json(exam) + b"\n")
    return {
        "exams": places,
        "arrived": when,
        "others": found.others,
        "unreadable": len(found.unreadable),
        "missing": len(found.missing),
    }


def read_exam(request: Request, tools: Tools) -> dict[str, Any]:
    """Read one of the examinations that were found; networks stay in memory for the next one."""
    from AcuteFindingsLib.worklist.reading import Reader, ReadSettings

    settings = ReadSettings(
        out=request.path("results"),
        detector=request.text("detector"),
        model=request.optional_text("model"),
        device=request.optional_text("device") or "auto",
        model_folders=tuple(folder for folder in request.folders() if folder.is_dir()),
        retry_failed=request.flag("retry_failed"),
    )
    tools.at("Reading the study", 0.0)
    outcomes = Reader(settings, tools.models).read(_exam(request), progress=tools.at, cancelled=tools.cancelled)
    return {"outcomes": [{"record": asdict(one.record), "skipped": one.skipped} for one in outcomes]}


def worklist_items(request: Request, tools: Tools) -> dict[str, Any]:
    """Return the rows of a folder of results in the order in which they are to be looked at.

    ``records`` are written to the list before; with ``rebuild`` it is made anew from the folder.
    """
    from pydantic import TypeAdapter

    from AcuteFindingsLib.worklist.item import by_urgency
    from AcuteFindingsLib.worklist.records import Record

    tools.at("Reading the list", 0.0)
    store = _store(request)
    try:
        if request.flag("rebuild"):
            store.rebuild()
        for record in TypeAdapter(list[Record]).validate_python(request.fields.get("records") or []):
            store.put(record)
        return {"items": [_row(item) for item in by_urgency(store.items(), store.settings)]}
    finally:
        store.close()


def worklist_answer(request: Request, _tools: Tools) -> dict[str, Any]:
    """Keep what a reader says of a verdict."""
    store = _store(request)
    try:
        store.answer(request.text("key"), request.text("answer"), reader=request.optional_text("reader") or "")
    finally:
        store.close()
    return {}


def worklist_labels(request: Request, tools: Tools) -> dict[str, Any]:
    """Write readers' answers as labels for ``evaluate --truth``."""
    from AcuteFindingsLib.worklist.answer_labels import write_labels

    tools.at("Writing the labels", 0.0)
    store = _store(request)
    try:
        written = write_labels(store.items(), request.path("results"), request.path("out"))
    finally:
        store.close()
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(written).items()}


def worklist_scene(request: Request, tools: Tools) -> dict[str, Any]:
    """Unpack the scene of a study below `out`, ready to be read at once."""
    from AcuteFindingsLib.errors import WorklistError
    from AcuteFindingsLib.scene.bundle import store_raw, unpack_bundle

    tools.at("Unpacking the study", 0.0)
    bundle = request.path("results") / request.text("key") / "scene.mrb"
    if not bundle.is_file():
        raise WorklistError("This study has no scene in its results; its report is all that there is.")
    mrml = unpack_bundle(bundle, request.path("out"))
    for image in mrml.parent.rglob("*.nrrd"):
        tools.at("Unpacking the study", 0.5)
        store_raw(image)
    return {"scene": str(mrml)}


WORKLIST_JOBS: dict[str, Callable[[Request, Tools], dict[str, Any]]] = {
    job.__name__: job
    for job in (find_exams, read_exam, worklist_items, worklist_answer, worklist_labels, worklist_scene)
}


def main() -> int:
    """Serve as `jobs.worker` does; return the exit status."""
    return worker.main({**JOBS, **WORKLIST_JOBS})


def _exam(request: Request) -> "Exam":
    from pydantic import TypeAdapter, ValidationError

    from AcuteFindingsLib.worklist.exams import Exam

    place = request.fields.get("place")
    if not isinstance(place, int) or place < 0:
        raise MessageError("A study to read needs its place in the file of those that were found.")
    try:
        with request.path("exams").open("rb") as stream:
            stream.seek(place)
            return TypeAdapter(Exam).validate_json(stream.readline())
    except (OSError, ValidationError) as error:
        raise MessageError("The list of studies that were found is gone; add them again.") from error


def _store(request: Request) -> "Store":
    from AcuteFindingsLib.worklist.store import Store

    return Store(request.path("results"))


def _row(item: "WorklistItem") -> dict[str, Any]:
    names = ("key", "detector", "state", "arrived", "verdict", "probability", "urgency", "said", "answer", "answered")
    return {name: getattr(item, name) for name in names}


if __name__ == "__main__":
    sys.exit(main())
