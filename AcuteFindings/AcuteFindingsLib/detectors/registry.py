"""Every detector there is: those of this library, and those that other packages bring.

A package brings one with an entry point of the group `GROUP` whose value is ``"module:name"`` of a `DetectorKind`. The
library's own are read in the same way from `BUILT_IN`, for inside Slicer, and in a source tree, nothing is installed
that could have entry points.
"""

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points

from AcuteFindingsLib.detectors.kind import DetectorKind, Importer
from AcuteFindingsLib.errors import DetectionError
from AcuteFindingsLib.models.task import ModelTask, load_reference
from AcuteFindingsLib.study.requirements import Requirements

GROUP = "acutefindings.detectors"

BUILT_IN = (
    "AcuteFindingsLib.detectors.pe.kind:KIND",
    "AcuteFindingsLib.detectors.hemorrhage.kind:KIND",
    "AcuteFindingsLib.detectors.pneumothorax.kind:KIND",
)
"""The detectors of this library, in the order in which lists show them."""

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def kinds() -> tuple[DetectorKind, ...]:
    """Return every detector: this library's own first, then those of other packages in the order of their names.

    A detector of another package that cannot be imported, or that uses a name of one before it for itself, a task,
    an importer or its phantoms, is named in a warning and left out: the others work without it.
    """
    return collect_kinds(BUILT_IN, ((point.name, point.value) for point in entry_points(group=GROUP)))


def collect_kinds(built_in: Iterable[str], brought: Iterable[tuple[str, str]]) -> tuple[DetectorKind, ...]:
    """Return the kinds behind references; see `kinds`.

    Parameters
    ----------
    built_in
        References (``"module:name"``) that must be there.
    brought
        Name and reference of the entry points. One that repeats a reference adds nothing.
    """
    found: dict[str, DetectorKind] = {reference: load_reference(reference) for reference in built_in}
    owner = {name: reference for reference, kind in found.items() for name in _names(kind)}
    for name, reference in sorted(brought):
        if reference in found:
            continue
        try:
            kind = _brought_kind(reference, owner)
        # The code of another package may fail in any way; the other detectors work without it.
        except Exception as error:
            told = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
            _log.warning("The detector %r of another package (%s) was left out: %s.", name, reference, told)
            continue
        found[reference] = kind
        owner.update(dict.fromkeys(_names(kind), reference))
    return tuple(found.values())


def find_kind(name: str) -> DetectorKind:
    """Return the detector of a name.

    Raises
    ------
    DetectionError
        There is none; names those that there are.
    """
    if (kind := known_kind(name)) is not None:
        return kind
    raise DetectionError(f"There is no detector {name!r}; choose one of {', '.join(detector_ids())}.")


def known_kind(name: str) -> DetectorKind | None:
    """Return the detector of a name that a scene or a finding holds; None where it is not installed here."""
    return next((kind for kind in kinds() if kind.id == name), None)


def detector_ids() -> tuple[str, ...]:
    """Return the names of all detectors."""
    return tuple(kind.id for kind in kinds())


def requirements_by_detector() -> dict[str, Requirements]:
    """Return what every detector asks of a study, by its name."""
    return {kind.id: kind.requirements for kind in kinds()}


def model_tasks() -> dict[str, ModelTask]:
    """Return the tasks of all models, by name: each detector's own task, and after all of these their companions."""
    own = {kind.id: kind.task for kind in kinds()}
    return own | {task.id: task for kind in kinds() for task in kind.companions}


def find_task(name: str) -> ModelTask:
    """Return the task of a name; raises `DetectionError` as `find_kind` does."""
    tasks = model_tasks()
    if name not in tasks:
        raise DetectionError(f"There is no task {name!r}; choose one of {', '.join(tasks)}.")
    return tasks[name]


def kind_of_task(name: str) -> DetectorKind:
    """Return the detector whose model, or whose companion, has a task; raises `DetectionError` as `find_task`."""
    find_task(name)
    return next(kind for kind in kinds() if name in [task.id for task in kind.tasks])


def importers() -> tuple[Importer, ...]:
    """Return the forms of model files that only one detector has."""
    return tuple(importer for kind in kinds() for importer in kind.importers)


def importer_names() -> tuple[str, ...]:
    """Return the names of `importers`."""
    return tuple(importer.name for importer in importers())


def finding_words() -> tuple[str, ...]:
    """Return what the detectors look for, as in the middle of a sentence."""
    return tuple(kind.finding[:1].lower() + kind.finding[1:] for kind in kinds())


def image_tasks() -> tuple[str, ...]:
    """Return the tasks whose models answer for single images."""
    return tuple(name for name, task in model_tasks().items() if task.single_images)


def explained_tasks() -> tuple[str, ...]:
    """Return the tasks whose models answer with probabilities, so that it can be shown what these rest on."""
    return tuple(name for name, task in model_tasks().items() if task.probabilities)


def _names(kind: DetectorKind) -> tuple[str, ...]:
    """Return the names by which people and files speak of what a kind brings: tasks, importers, phantoms of its own."""
    phantoms = () if kind.phantoms is None else (kind.phantoms.generator,)
    return (*(task.id for task in kind.tasks), *(importer.name for importer in kind.importers), *phantoms)


def _brought_kind(reference: str, owner: Mapping[str, str]) -> DetectorKind:
    """Return the kind behind a reference; `owner` says which reference uses a name already."""
    kind = load_reference(reference)
    if not isinstance(kind, DetectorKind):
        raise TypeError(f"it is not a DetectorKind but a {type(kind).__name__}")
    for name in _names(kind):
        if name in owner:
            raise ValueError(f"the name {name!r} is that of {owner[name]}; uninstall the package of one of them")
    return kind
