"""Files of what is loaded, and of the series that are chosen in Slicer's DICOM database."""

from typing import Any

import slicer

UIDS = "DICOM.instanceUIDs"


def files_of_loaded_volumes() -> tuple[list[str], list[str]]:
    """Return the files of the scene's volumes, and the names of volumes that have none.

    Those of the DICOM database by their instances, others by the file that they were loaded from.
    """
    files: list[str] = []
    without: list[str] = []
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if node.GetHideFromEditors() or node.IsA("vtkMRMLLabelMapVolumeNode") or node.GetImageData() is None:
            continue
        own = _of_instances((node.GetAttribute(UIDS) or "").split()) or _of_storage(node)
        files += own
        if not own:
            without.append(node.GetName())
    return list(dict.fromkeys(files)), without


def files_of_chosen_series() -> list[str]:
    """Return the files of the series that are chosen in the DICOM module; none before that module was opened."""
    widget = getattr(slicer.modules, "DICOMWidget", None)
    browser = None if widget is None else getattr(widget, "browserWidget", None)
    return [str(file) for files in getattr(browser, "fileLists", None) or [] for file in files]


def _of_instances(uids: list[str]) -> list[str]:
    database = getattr(slicer, "dicomDatabase", None)
    if database is None:
        return []
    return [file for file in (database.fileForInstance(uid) for uid in uids) if file]


def _of_storage(node: Any) -> list[str]:
    storage = node.GetStorageNode()
    name = "" if storage is None else storage.GetFullNameFromFileName() or ""
    return [name] if name else []
