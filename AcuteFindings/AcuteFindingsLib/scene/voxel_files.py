"""The volumes of a scene in its file, written by several threads: Slicer's own writer takes most of a run's last part.

Slicer writes the scene with volumes of one voxel each; their files are put in place of those.
"""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.study.nrrd_writer import nrrd_pieces

# Above it, what a file has when it is written may be more than a zip's old form has room for.
_LONG = 2**30


@dataclass(frozen=True)
class Voxels:
    """What the file of a volume node holds: ``(z, y, x)`` voxels, the type they are written in, and their place."""

    node: Any
    array: np.ndarray
    kind: np.dtype
    ijk_to_ras: np.ndarray


@contextmanager
def set_aside(volumes: Sequence[Voxels]) -> Iterator[None]:
    """Leave a single voxel of its type in each volume node while the block runs."""
    _, vtk = load_slicer()
    from vtkmodules.util.numpy_support import get_vtk_array_type

    images = [voxels.node.GetImageData() for voxels in volumes]
    try:
        for voxels in volumes:
            single = vtk.vtkImageData()
            single.SetDimensions(1, 1, 1)
            single.AllocateScalars(get_vtk_array_type(voxels.kind), 1)
            single.GetPointData().GetScalars().Fill(0)
            voxels.node.SetAndObserveImageData(single)
        yield
    finally:
        for voxels, image in zip(volumes, images, strict=True):
            voxels.node.SetAndObserveImageData(image)


def pack_bundle(folder: Path, volumes: Sequence[Voxels], target: Path, *, stop: Callable[[], bool]) -> None:
    """Pack the folder of a scene into a data bundle, with the volumes that were `set_aside` when Slicer wrote it.

    Parameters
    ----------
    folder
        What Slicer wrote; its name is that of the folder in the bundle.
    volumes
        What belongs into their files.
    target
        The bundle.
    stop
        Asked between parts; where it answers True, `target` is left unfinished.

    Raises
    ------
    SceneError
        The scene does not say where a volume's voxels are.
    OSError
        `target` cannot be written.
    """
    places = _places(folder, volumes)
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix())
            voxels = places.get(file)
            if voxels is None:
                archive.writestr(entry, file.read_bytes())
                continue
            shape, kind = voxels.array.shape, voxels.kind
            with archive.open(entry, "w", force_zip64=voxels.array.size * kind.itemsize > _LONG) as stream:
                for piece in nrrd_pieces(voxels.array, shape, kind, voxels.ijk_to_ras, compressed=True):
                    if stop():
                        return
                    stream.write(piece)


def _places(folder: Path, volumes: Sequence[Voxels]) -> dict[Path, Voxels]:
    """Return the volumes by their files, as the scene in a folder states them."""
    try:
        scene = ElementTree.parse(next(folder.glob("*.mrml"))).getroot()
    except (StopIteration, ElementTree.ParseError) as error:
        raise SceneError("Slicer wrote a scene that cannot be read.") from error
    nodes = {node.get("id"): node for node in scene}
    found = {}
    for voxels in volumes:
        node = nodes.get(voxels.node.GetID())
        pairs = (pair.partition(":") for pair in ("" if node is None else node.get("references", "")).split(";"))
        storage = nodes.get(next((target for role, _, target in pairs if role == "storage"), ""))
        file = folder / unquote("" if storage is None else storage.get("fileName", ""))
        if not file.is_file():
            raise SceneError("Slicer wrote a scene that does not say where the voxels of a volume are.")
        found[file] = voxels
    return found
