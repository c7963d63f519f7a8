"""The inside of the skull on head CT, and where the middle of the head is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.sparse import csr_array

from AcuteFindingsLib.preprocessing.binary import filled
from AcuteFindingsLib.preprocessing.resample import axis_weights, resize_in_plane, weigh_plane
from AcuteFindingsLib.threads import side_by_side


@dataclass(frozen=True)
class BrainSettings:
    """Numbers of the intracranial mask. None is published; all are anatomy and were looked at on real heads.

    Attributes
    ----------
    bone_hu
        From here up a voxel of the working grid is skull; clotted blood stays below 100 HU.
    tissue_hu
        Brain, CSF and blood lie between; fat and air below, bone above.
    working_mm
        In-plane pixel of the working grid; slices are kept as they are.
    close_gaps_mm
        Gaps in the skull narrower than this (sutures, foramina, thin bone lost to partial volume) count as closed.
    opening_mm
        Bridges of tissue narrower than twice this (orbital fissures, optic canals) are cut.
    least_mm2
        Smaller parts of a slice are left out.
    """

    bone_hu: float = 200.0
    tissue_hu: tuple[float, float] = (-30.0, 150.0)
    working_mm: float = 1.5
    close_gaps_mm: float = 20.0
    opening_mm: float = 5.0
    least_mm2: float = 150.0


ADULT = BrainSettings()


def brain_mask(
    array: np.ndarray, spacing: tuple[float, float, float], *, settings: BrainSettings = ADULT
) -> np.ndarray:
    """Mask what lies inside the skull: brain, CSF spaces and any blood.

    Works slice by slice in plane and by connection across slices, so slices may be 1 to 10 mm thick and tilted.

    Parameters
    ----------
    array
        ``(z, y, x)`` HU, slices about axial.
    spacing
        ``(z, y, x)`` mm.

    Returns
    -------
    bool ``(z, y, x)``; all False where no skull encloses anything.
    """
    shape = array.shape[1:]
    small = (
        max(8, round(shape[0] * spacing[1] / settings.working_mm)),
        max(8, round(shape[1] * spacing[2] / settings.working_mm)),
    )
    hu = resize_in_plane(array, small)
    bone = hu > settings.bone_hu
    tissue = ~bone & (hu > settings.tissue_hu[0]) & (hu < settings.tissue_hu[1])
    radius = settings.close_gaps_mm / settings.working_mm / 2
    enclosed = np.stack(side_by_side(lambda plane: _enclosed(plane, radius), list(bone)))

    core = _disk(tissue & enclosed, settings.opening_mm / settings.working_mm, sitk.BinaryErode)
    labels, count = ndimage.label(core)
    if not count:
        return np.zeros(array.shape, bool)
    # The largest enclosed region is the cranial cavity; eye sockets and sinuses are smaller.
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    core = labels == sizes.argmax()
    reach = _disk(core, (settings.opening_mm + settings.working_mm) / settings.working_mm, sitk.BinaryDilate)
    mask = reach & enclosed & ~bone
    least = settings.least_mm2 / settings.working_mm**2
    for plane in mask:
        plane[...] = filled(_largest_parts(plane, least))
    return _enlarge(mask, array, settings)


def _enclosed(bone: np.ndarray, radius: float) -> np.ndarray:
    """Return what a ring of bone with its gaps closed surrounds, without the bone."""
    reach = int(np.ceil(radius))
    padded = np.pad(bone, reach + 1)
    away = ndimage.distance_transform_edt(~padded) if bone.any() else np.full(padded.shape, np.inf)
    thick = away <= radius
    back = ndimage.distance_transform_edt(filled(thick)) > radius
    return (back | padded)[reach + 1 : -reach - 1, reach + 1 : -reach - 1] & ~bone


def _disk(mask: np.ndarray, radius: float, operation: Callable[..., sitk.Image]) -> np.ndarray:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    pixels = max(1, round(radius))
    return np.asarray(sitk.GetArrayFromImage(operation(image, [pixels, pixels, 0], sitk.sitkBall)) > 0)


def _largest_parts(plane: np.ndarray, least: float) -> np.ndarray:
    labels, count = ndimage.label(plane)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    keep = areas >= least
    keep[0] = False
    return keep[labels]


def _enlarge(mask: np.ndarray, array: np.ndarray, settings: BrainSettings) -> np.ndarray:
    """Bring the mask to the array's pixels: to the bone itself, which a coarse pixel at its face counts whole."""
    out = np.zeros(array.shape, bool)
    along_y, along_x = (
        csr_array(axis_weights(small, (np.arange(full) + 0.5) * small / full - 0.5, small / full))
        for small, full in zip(mask.shape[1:], array.shape[1:], strict=True)
    )

    def enlarge(k: int) -> None:
        smooth = weigh_plane(mask[k], along_y, along_x)
        out[k] = filled((smooth >= 0.1) & (array[k] < settings.bone_hu))

    side_by_side(enlarge, np.flatnonzero(mask.any(axis=(1, 2))).tolist())
    return out
