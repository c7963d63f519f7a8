"""Reading a data set in the layout in which people have it."""

from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.training.data.table import DataTable

# Kind to the module that reads it and the words for a person; in the order in which a folder is tried.
_READERS = MappingProxyType(
    {
        "rsna-pe": ("rsna_pe", "RSNA STR PE: train.csv with 17 columns"),
        "pe-study": ("pe_study", "the PE study's train.csv with files under Study/Series"),
        "rsna-hemorrhage": ("rsna_hemorrhage", "RSNA intracranial hemorrhage: stage_2_train.csv with ID, Label"),
        "siim": ("siim", "SIIM-ACR pneumothorax: train-rle.csv or stage_2_train.csv with ImageId, EncodedPixels"),
        "nih": ("nih", "NIH ChestX-ray14: Data_Entry*.csv"),
        "padchest": ("padchest", "PadChest: PADCHEST_chest_x_ray_images_labels*.csv"),
        "corrections": ("corrections", "corrections saved by the modules: correction.json in folders"),
        "phantoms": ("phantoms", "studies written by `acutefindings phantom`"),
        "head-slices": ("head_slices", "single head CT slices: labels.csv with image, hemorrhage"),
        "lung-masks": ("lung_masks", "radiographs with lung masks: index.csv, images/, masks/"),
    }
)

KINDS = tuple(_READERS)


def read_data(
    kind: str | None,
    folder: Path | str,
    *,
    task: Task | None = None,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> DataTable:
    """Read a data set and check it.

    Parameters
    ----------
    kind
        One of `KINDS`; None looks at what lies there (`detect_kind`).
    folder
        The data set's own folder.
    task
        Which part to read where a folder holds several (phantoms, corrections), or what to read it for where its
        images serve two (``"nih"`` and ``"padchest"``). None takes the first.
    cache
        Folder in which header facts are kept, so that the headers of a large data set are read once; None keeps none.
    progress
        Called with what is being done and the share done, 0..1.

    Returns
    -------
    DataTable
        With `problems` for everything that is missing or wrong; see `DataTable.require_usable`.

    Raises
    ------
    DataError
        Where the folder, its table or a column is not there at all.
    """
    folder = Path(folder)
    kind = kind or detect_kind(folder)
    if kind not in _READERS:
        raise DataError(f"{kind!r} is not a kind of data set; expected one of {', '.join(KINDS)}.")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder of the data set.")
    table: DataTable = _reader(kind).read(folder, task=task, cache=cache, progress=progress)
    return table


def detect_kind(folder: Path | str) -> str:
    """Return the kind of the data set in a folder.

    Raises
    ------
    DataError
        Where it is none that is known, or could be several; the message lists them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder of the data set.")
    fitting = [kind for kind in _READERS if _reader(kind).fits(folder)]
    if len(fitting) > 1:
        raise DataError(f"{folder.name} could be a data set of {' or '.join(fitting)}. Name it with --kind.")
    if fitting:
        return fitting[0]
    known = "; ".join(f"{kind}: {text}" for kind, (_, text) in _READERS.items())
    raise DataError(f"{folder.name} is not a data set in a known layout ({known}). Name it with --kind.")


def _reader(kind: str) -> ModuleType:
    return import_module(f"AcuteFindingsLib.training.data.readers.{_READERS[kind][0]}")
