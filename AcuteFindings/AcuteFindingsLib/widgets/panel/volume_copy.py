"""A study's voxels copied for the worker process, in parts, while the window stays alive."""

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from AcuteFindingsLib.jobs.arrays import StudyWriter
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.widgets.stepper import Stepper

PART_BYTES = 8 * 2**20
"""Most voxels read in one step: some 10 ms on a slow disk."""


def stored_type(array: np.ndarray) -> DTypeLike:
    """Return the type in which voxels are kept on the disk: int16 where it holds every value, else float32."""
    return np.int16 if np.can_cast(array.dtype, np.int16, "safe") else np.float32


def copy_steps(study: Study, folder: Path) -> Generator[float, None, Path]:
    """Write a study for the worker, at most `PART_BYTES` (or one plane) a step; yield the share that is written.

    Parameters
    ----------
    study
        Its `array` ``(z, y, x)`` may be a view of a volume node's own voxels.
    folder
        Where it goes; what was written is removed where the generator is closed early.

    Raises
    ------
    StudyError
        When the disk is full.
    """
    array = study.array
    kind = np.dtype(stored_type(array))
    plane = max(array[:1].size * max(array.itemsize, kind.itemsize), 1)
    # Planes that are computed, or decoded, as they are asked for take 20 ms each.
    planes = max(1, PART_BYTES // plane) if isinstance(array, np.ndarray) else 1
    with StudyWriter(folder, study, shape=array.shape, dtype=kind) as writer:
        for start in range(0, len(array), planes):
            part = array[start : start + planes]
            writer.write_planes(start, part)
            yield (start + len(part)) / len(array)
    return folder


class VolumeCopy:
    """A copy under way; `stop` ends it early and leaves no files.

    Parameters
    ----------
    study, folder
        As for `copy_steps`.
    done
        Called with `folder` when all of it is written.
    failed
        Called with the error where it cannot be written.
    progress
        Called with the share that is written, 0..1.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        *,
        done: Callable[[Path], None],
        failed: Callable[[Exception], None],
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._stepper = Stepper(copy_steps(study, folder), done=done, failed=failed, progress=progress)

    @property
    def running(self) -> bool:
        """Whether it is still copying."""
        return self._stepper.running

    def start(self) -> None:
        """Begin with the next turn of the event loop."""
        self._stepper.start()

    def stop(self) -> None:
        """Stop copying; nothing more is called."""
        self._stepper.stop()
