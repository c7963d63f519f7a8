"""A model taken off the list: its files deleted where they were downloaded, else only its folder forgotten."""

import shutil
from typing import Any

import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.widgets.models.rows import ModelRow, set_user_folders, user_folders


def remove_model(row: ModelRow, settings: Any, parent: Any = None) -> bool:
    """Delete a package, or take its folder off the list, after asking; return whether that was done.

    Parameters
    ----------
    row
        What the list shows of it; not one that came with the extension.
    settings
        The application's settings, a `QSettings`: keep the user's folders.
    parent
        Widget that the question belongs to.

    Raises
    ------
    ModelError
        Its files could not be deleted.
    """
    folders = user_folders(settings)
    listed = [folder for folder in folders if folder in (row.folder, row.folder.parent)]
    if row.place == "downloaded":
        question = _("Delete the model {model} with its files in {folder}?")
    else:
        question = _("Take the folder {folder} off the list? Its files, the model {model} among them, stay.")
    where = row.folder if row.place == "downloaded" or not listed else listed[0]
    text = question.format(model=row.id, folder=where)
    if not slicer.util.confirmOkCancelDisplay(text, windowTitle=_("Delete model"), parent=parent):
        return False
    if row.place != "downloaded":
        set_user_folders(settings, [folder for folder in folders if folder not in listed])
        return True
    try:
        shutil.rmtree(row.folder)
    except OSError as error:
        text = _("{folder} could not be deleted: {error}.")
        raise ModelError(text.format(folder=row.folder, error=error)) from error
    return True
