"""Which pictures show a finding, and what is on each: decided once, drawn by whatever can draw on this machine."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.detectors.finding import Finding, SliceResult
from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.scene.naming import slice_number, verdict_line
from AcuteFindingsLib.study.study import Study

Kind = Literal["slice", "reformat", "image", "mask", "heatmap", "chart"]
Plane = Literal["Axial", "Sagittal", "Coronal"]

PNG_LEVEL = 3
"""zlib's level of pictures: those of 800 × 800 pixels are smaller than at 5 or 6, in two thirds of the time or less."""

HEATMAP_OPACITY = 0.45
MOST_SLICES = 6
SLICES_WHEN_NEGATIVE = 3


@dataclass(frozen=True)
class PlannedPicture:
    """One picture.

    Attributes
    ----------
    kind
        ``"slice"`` and ``"reformat"`` of a stack; ``"image"``, ``"mask"`` and ``"heatmap"`` of a single image (a heat
        map also of a stack); ``"chart"``.
    plane, position_ras
        The plane and a point on it (RAS, mm). A chart has neither use for them.
    masks
        ``"none"``, ``"outline"``, or ``"filled"``.
    title, place
        What stands in the upper corners: the verdict, and where this is.
    letters
        Which of the patient's sides are named at the edges; ``"sides"`` is R and L alone: a radiograph lies in a plane
        by convention only.
    ruler
        Whether a length may be shown: not where the size of a pixel is not known.
    """

    file_name: str
    kind: Kind
    caption: str
    plane: Plane
    position_ras: tuple[float, float, float]
    masks: Literal["none", "outline", "filled"]
    heatmap: bool
    title: str
    place: str
    letters: Literal["all", "sides"] = "all"
    ruler: bool = True

    @property
    def note(self) -> str:
        """What stands at the bottom of every picture."""
        return RESEARCH_USE_ONLY


@dataclass(frozen=True)
class Picture:
    """A PNG file, what it shows in one sentence, and of which kind it is."""

    path: Path
    caption: str
    kind: Kind


def plan_pictures(finding: Finding, study: Study) -> tuple[PlannedPicture, ...]:
    """Plan the pictures of a finding.

    A stack gets up to six slices in their order (the most probable one, the others spread over what is positive; three
    where the verdict is negative), two reformats through the suspicious point, the heat map at the most probable slice
    where the slices show masks, and the chart. A single image gets itself, its masks and its heat map.
    """
    plans: tuple[PlannedPicture, ...]
    if study.array.shape[0] == 1:
        plans = _plan_image(finding, study)
    else:
        plans = (*_plan_slices(finding, study), *_plan_reformats(finding, study), *_plan_chart(finding, study))
    return tuple(replace(plan, ruler=study.pixel_spacing_known) for plan in plans)


def as_pictures(plans: tuple[PlannedPicture, ...], folder: Path) -> tuple[Picture, ...]:
    """Return the drawn files of a plan."""
    return tuple(Picture(folder / plan.file_name, plan.caption, plan.kind) for plan in plans)


def main_plane(study: Study) -> Plane:
    """Return the standard plane nearest to the source slices, told by the normal of the study's grid.

    A radiograph lies in the axial plane, as Slicer loads it, whatever its projection.
    """
    normal = np.abs(np.asarray(study.ijk_to_ras, float)[:3, 2])
    planes: tuple[Plane, ...] = ("Sagittal", "Coronal", "Axial")
    return planes[int(np.argmax(normal))]


def suspicious_point(finding: Finding, study: Study) -> tuple[float, float, float]:
    """Return the point (RAS, mm) that views are moved to.

    On the most probable slice: the center of what the masks mark there, else of the hottest tenth of the heat map, else
    of the grid. Masks without a voxel on that slice are taken as a whole.
    """
    ijk_to_ras = np.asarray(study.ijk_to_ras, float)
    depth, height, width = study.array.shape
    best = key_slices(finding, study)[0]
    k = float(np.clip(best.k, 0, depth - 1))
    center = np.array([(width - 1) / 2, (height - 1) / 2, k])
    plane = np.any([mask.array[round(k)] for mask in finding.masks], axis=0) if finding.masks else np.zeros(1)
    if plane.any():
        center[:2] = _middle(plane)[::-1]
    elif marked := [mask for mask in finding.masks if mask.voxels]:
        center = _middle(max(marked, key=lambda mask: mask.voxels).array)[::-1]
    elif finding.heatmap is not None and finding.heatmap.array.any():
        return _hottest(finding, (ijk_to_ras @ [*center, 1.0])[:3])
    point = (ijk_to_ras @ [*center, 1.0])[:3]
    return float(point[0]), float(point[1]), float(point[2])


def key_slices(finding: Finding, study: Study, *, most: int = MOST_SLICES) -> tuple[SliceResult, ...]:
    """Return the slices to show: the most probable first, then others in order, spread over what is positive."""
    results = finding.slices
    main = [result.probabilities[finding.main_label] for result in results]
    depth = study.array.shape[0]

    def area(place: int) -> int:
        k = int(np.clip(round(results[place].k), 0, depth - 1))
        return sum(int(np.count_nonzero(mask.array[k])) for mask in finding.masks)

    # Of equally probable ones that with the largest mask; areas of others are not counted.
    best = max((n for n, value in enumerate(main) if value == max(main)), key=area)
    if finding.verdict.label == "negative":
        candidates, most = list(range(len(results))), min(most, SLICES_WHEN_NEGATIVE)
        # A quarter at either end of the stack is neck and vertex, or neck and abdomen.
        candidates = candidates[len(results) // 4 : len(results) - len(results) // 4] or candidates
    else:
        runs = finding.positive_runs
        in_run = [n for n, item in enumerate(results) if any(a <= item.index <= b for a, b in runs)]
        candidates = in_run or [n for n, value in enumerate(main) if value >= finding.slice_threshold]
    others = [n for n in candidates if n != best]
    if len(others) > most - 1:
        others = [others[round(place)] for place in np.linspace(0, len(others) - 1, most - 1)]
    return tuple(results[n] for n in (best, *others))


def _plan_slices(finding: Finding, study: Study) -> list[PlannedPicture]:
    plane = main_plane(study)
    has_masks = any(mask.voxels for mask in finding.masks)
    pictures = []
    best, *others = key_slices(finding, study)
    # As on a workstation: in the order of the series.
    for place, result in enumerate(sorted((best, *others), key=lambda item: item.index), start=1):
        probability = result.probabilities[finding.main_label]
        number = f"slice {slice_number(result)} of {len(finding.slices)}"
        where = coordinate(plane, result.position_ras)
        shown = _shown(finding, has_masks)
        pictures.append(
            PlannedPicture(
                file_name=f"{place:02d}-{plane.lower()}-slice-{slice_number(result):04d}.png",
                kind="slice",
                caption=f"{plane} {number}, {where}: {finding.main_label} {probability:.2f} "
                f"(threshold {finding.slice_threshold:.2f}){', the highest' if result is best else ''}{shown}.",
                plane=plane,
                position_ras=result.position_ras,
                masks="filled" if has_masks else "none",
                heatmap=not has_masks and finding.heatmap is not None,
                title=verdict_line(finding),
                place=f"{number.capitalize()}\n{where}\n{finding.main_label}: {probability:.2f}",
            )
        )
    if has_masks and finding.heatmap is not None:
        of_best = next(picture for picture in pictures if picture.position_ras == best.position_ras)
        pictures.append(_heatmap_picture(finding, of_best))
    return pictures


def _heatmap_picture(finding: Finding, of: PlannedPicture) -> PlannedPicture:
    assert finding.heatmap is not None
    return PlannedPicture(
        file_name=f"heat-map-{of.file_name[3:]}",
        kind="heatmap",
        caption=f"{of.caption.split(':')[0]}: {finding.heatmap.name}.",
        plane=of.plane,
        position_ras=of.position_ras,
        masks="none",
        heatmap=True,
        title=of.title,
        place=of.place,
    )


def _plan_reformats(finding: Finding, study: Study) -> list[PlannedPicture]:
    point = suspicious_point(finding, study)
    has_masks = any(mask.voxels for mask in finding.masks)
    planes: tuple[Plane, ...] = ("Axial", "Sagittal", "Coronal")
    return [
        PlannedPicture(
            file_name=f"{plane.lower()}-reformat.png",
            kind="reformat",
            caption=f"{plane} reformat, {coordinate(plane, point)}{_shown(finding, has_masks)}.",
            plane=plane,
            position_ras=point,
            masks="filled" if has_masks else "none",
            heatmap=not has_masks and finding.heatmap is not None,
            title=verdict_line(finding),
            place=f"{plane} reformat\n{coordinate(plane, point)}",
        )
        for plane in planes
        if plane != main_plane(study)
    ]


def _plan_chart(finding: Finding, study: Study) -> list[PlannedPicture]:
    if len(finding.slices) < 2:
        return []
    runs = ", ".join(f"slices {first + 1} to {last + 1}" for first, last in finding.positive_runs)
    marked = f"; positive runs shaded: {runs}" if runs else ""
    return [
        PlannedPicture(
            file_name="chart.png",
            kind="chart",
            caption=f"Probability of each slice, threshold {finding.slice_threshold:.2f} dashed{marked}.",
            plane=main_plane(study),
            position_ras=suspicious_point(finding, study),
            masks="none",
            heatmap=False,
            title=verdict_line(finding),
            place="",
        )
    ]


def _plan_image(finding: Finding, study: Study) -> tuple[PlannedPicture, ...]:
    plane, point = main_plane(study), suspicious_point(finding, study)
    title, study_name = verdict_line(finding), names_of(finding.detector).study
    names = ", ".join(mask.name for mask in finding.masks if mask.voxels)
    letters: Literal["all", "sides"] = "sides" if study.orientation == "projection" else "all"

    def picture(name: str, kind: Kind, caption: str, *, masks: bool = False, heatmap: bool = False) -> PlannedPicture:
        style: Literal["outline", "none"] = "outline" if masks else "none"
        return PlannedPicture(name, kind, caption, plane, point, style, heatmap, title, "", letters)

    pictures = [picture("01-image.png", "image", f"{study_name} as it was read.")]
    if names:
        pictures.insert(0, picture("02-mask.png", "mask", f"Outlined: {names}.", masks=True))
    if finding.heatmap is not None:
        pictures.append(picture("03-heat-map.png", "heatmap", f"{finding.heatmap.name}.", heatmap=True))
    return tuple(pictures)


def coordinate(plane: Plane, position_ras: tuple[float, float, float]) -> str:
    """Return where a plane cuts the patient, by the side it lies on: ``"S 12.5 mm"``, ``"L 30.0 mm"``."""
    axis, sides = {"Sagittal": (0, "RL"), "Coronal": (1, "AP"), "Axial": (2, "SI")}[plane]
    value = round(position_ras[axis], 1)
    return f"{sides[0] if value >= 0 else sides[1]} {abs(value):.1f} mm"


def _shown(finding: Finding, has_masks: bool) -> str:
    if has_masks:
        return "; marked: " + ", ".join(mask.name for mask in finding.masks if mask.voxels)
    return f"; {finding.heatmap.name}" if finding.heatmap is not None else ""


def _middle(array: np.ndarray) -> np.ndarray:
    """Return the set voxel nearest to the centroid of the set voxels: a point inside, also of a crescent."""
    places = np.argwhere(array)
    return places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))].astype(float)


def _hottest(finding: Finding, near: np.ndarray) -> tuple[float, float, float]:
    """Return the middle of the hottest tenth of the heat map on its plane nearest to a point."""
    assert finding.heatmap is not None
    array, ijk_to_ras = finding.heatmap.array, np.asarray(finding.heatmap.ijk_to_ras, float)
    k = round(float((np.linalg.inv(ijk_to_ras) @ [*near, 1.0])[2]))
    k = int(np.clip(k, 0, array.shape[0] - 1))
    plane = array[k] if array[k].any() else array.max(axis=0)
    y, x = _middle(plane >= 0.9 * plane.max())
    point = (ijk_to_ras @ [x, y, k, 1.0])[:3]
    return float(point[0]), float(point[1]), float(point[2])
