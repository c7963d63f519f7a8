"""What a data set is read for: the task whose kind names its layout, or another that its labels serve as well."""

from collections.abc import Collection

from AcuteFindingsLib.detectors.registry import find_task, model_tasks
from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.task import ModelTask


def task_of(layout: str, asked: Task | None, labels: Collection[str] = ()) -> ModelTask:
    """Return the task that a layout is read for.

    Parameters
    ----------
    layout
        One of `training.data.KINDS`.
    asked
        Taken where its main label is among the `labels` of the data set; else, and where None, the layout's own is.

    Raises
    ------
    DataError
        Where no detector reads this layout.
    """
    if asked and find_task(asked).main_label in labels:
        return find_task(asked)
    for task in model_tasks().values():
        if layout in task.data_sets:
            return task
    raise DataError(f"No detector reads data sets of the layout {layout}; name the task that it is for.")
