"""A finding as one file that Slicer opens: `scene.mrb`."""

import gzip
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.errors import SceneError, StudyError
from AcuteFindingsLib.files import ZIP_FAILS, replace_when_written, sweep_abandoned
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.scene.application import load_slicer, new_scene
from AcuteFindingsLib.scene.nodes import ROLE, FindingNodes, show_finding, stored_kind
from AcuteFindingsLib.scene.views import arrange_views
from AcuteFindingsLib.scene.voxel_files import Voxels, pack_bundle, set_aside
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.study.volume_file import check_whole

_UNWRITTEN = "Slicer could not write the scene; see that the disk has space and is writable."


def write_scene(
    finding: Finding, study: Study, path: Path | None, *, meanwhile: Callable[[FindingNodes], None] | None = None
) -> tuple[Path | None, FindingNodes]:
    """Show a finding in a scene of its own, its most suspicious slice in the views, and save that scene.

    Parameters
    ----------
    finding, study
        What is shown; the scene uses the study's own voxels and holds no copy of them.
    path
        File of the saved scene; None where it is needed for pictures only.
    meanwhile
        Called with the nodes while the file is written in the background. What it raises ends the writing; `path` is
        then as it was.

    Returns
    -------
    tuple
        `path` and the nodes, which live as long as their scene is kept.

    Raises
    ------
    SceneError
        When Slicer's libraries are not installed, or the file cannot be written.
    """
    nodes = show_finding(finding, study, scene=new_scene(), shared=True)
    arrange_views(nodes, finding, study)
    if path is None:
        if meanwhile is not None:
            meanwhile(nodes)
        return None, nodes
    volumes = [Voxels(nodes.volume, study.array, stored_kind(study), study.ijk_to_ras)]
    if finding.heatmap is not None:
        heat = finding.heatmap
        volumes.append(Voxels(nodes.heatmap, heat.array, np.dtype(np.uint8), heat.ijk_to_ras))
    with _folder_beside(path) as folder, replace_when_written(path) as partial:
        written = folder / path.stem
        written.mkdir()
        with set_aside(volumes):
            done = nodes.scene.SaveSceneToSlicerDataBundleDirectory(str(written.resolve()))
        if not done:
            raise SceneError(f"{path}: {_UNWRITTEN}")
        stopped = Event()
        with ThreadPoolExecutor(1) as background:
            packing = background.submit(pack_bundle, written, volumes, partial, stop=stopped.is_set)
            try:
                if meanwhile is not None:
                    meanwhile(nodes)
            except BaseException:
                stopped.set()
                raise
        try:
            packing.result()
        except OSError as error:
            raise SceneError(f"{path}: {_UNWRITTEN}") from error
    return path, nodes


def save_bundle(scene: Any, path: Path) -> Path:
    """Save a scene with all its data as a Slicer data bundle (a zip with relative paths).

    Raises
    ------
    SceneError
        When Slicer could not write it; an earlier file of that name is then left as it was.
    """
    # Slicer names the folder inside the bundle after the file it writes, so that name has to be the final one.
    with _folder_beside(path) as folder:
        written = folder / path.name
        if not scene.WriteToMRB(str(written.resolve())):
            raise SceneError(f"{path}: {_UNWRITTEN}")
        with replace_when_written(path) as partial:
            shutil.move(written, partial)
    return path


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Yield a folder beside a file that is going to be written; it lasts as long as the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_abandoned(path.parent, r"\.scene-[a-z0-9_]{8}")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".scene-") as folder:
        yield Path(folder)


def load_bundle(path: Path) -> Any:
    """Read a data bundle into a new scene.

    Raises
    ------
    SceneError
        When the file is no bundle, or holds something that cannot be read.
    """
    slicer, _ = load_slicer()
    scene = new_scene()
    with temporary_folder() as folder:
        mrml = unpack_bundle(path, folder)
        scene.SetURL(str(mrml))
        messages = slicer.vtkMRMLMessageCollection()
        if not scene.Import(messages):
            raise SceneError(f"{path}: {' '.join(messages.GetAllMessagesAsString().split())}")
    return scene


def unpack_bundle(path: Path, folder: Path) -> Path:
    """Unpack a data bundle into a folder and return its scene file; its images are whole.

    Raises
    ------
    SceneError
        When the file is no bundle, or holds something that cannot be read.
    """
    # Slicer's own unpacking stays in the folder it unpacks to when the file is damaged, which is then no more.
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive, path)
            archive.extractall(folder)
    except ZIP_FAILS as error:
        raise SceneError(f"{path} cannot be opened as a Slicer data bundle (.mrb): {error}") from error
    mrml = next(folder.glob("*/*.mrml"), None)
    if mrml is None:
        raise SceneError(f"{path} holds no scene (.mrml); expected a Slicer data bundle.")
    # Slicer's own reader ends the process on some of what is damaged.
    for image in folder.rglob("*.nrrd"):
        try:
            check_whole(image)
        except StudyError as error:
            raise SceneError(f"{path} holds an image that is damaged ({image.name}).") from error
    return mrml


def scene_volume(path: Path, folder: Path) -> Path:
    """Unpack the volume that was read out of a data bundle that `write_scene` wrote, and return its file; needs no VTK.

    Raises
    ------
    SceneError
        When the file is no such bundle, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive, path)
            mrml = next((name for name in archive.namelist() if name.endswith(".mrml")), "")
            tree = ElementTree.fromstring(archive.read(mrml))
            volume = next(node for node in tree.iter("Volume") if f"{ROLE}:volume" in node.get("attributes", ""))
            stored = dict(one.split(":", 1) for one in volume.get("references", "").split(";") if ":" in one)["storage"]
            file = next(node.get("fileName", "") for node in tree if node.get("id") == stored)
            target = folder / "volume.nrrd"
            with archive.open(f"{mrml.rpartition('/')[0]}/{unquote(file)}") as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 2**20)
    except (*ZIP_FAILS, ElementTree.ParseError, KeyError, StopIteration) as error:
        raise SceneError(f"{path} is not a scene of a finding, or it is damaged.") from error
    return target


def store_raw(image: Path) -> None:
    """Write a NRRD file without compression, so that whoever reads it next need not wait for that; others stay."""
    with image.open("rb") as stream:
        header = []
        for line in stream:
            header.append(line)
            if not line.strip():
                break
        packed = next((place for place, line in enumerate(header) if line.strip() == b"encoding: gzip"), None)
        if packed is None:
            return
        header[packed] = b"encoding: raw\n"
        with replace_when_written(image) as partial, partial.open("wb") as raw, gzip.GzipFile(fileobj=stream) as data:
            raw.writelines(header)
            shutil.copyfileobj(data, raw, 2**20)


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Hold what a bundle states to unpack to against the budgets; zipfile unpacks no more than is stated."""
    limits, members = budgets(), archive.infolist()
    if len(members) > limits.archive_members or sum(one.file_size for one in members) > limits.archive_bytes:
        raise SceneError(f"{path} unpacks to more than a scene needs; it was not opened.")
