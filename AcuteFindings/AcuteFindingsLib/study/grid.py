"""Where a grid of voxels lies in the patient: RAS matrices here, LPS in ITK."""

import numpy as np
import SimpleITK as sitk

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def place_image(image: sitk.Image, ijk_to_ras: np.ndarray) -> None:
    """Give an ITK image the place that a 4×4 RAS matrix describes; the matrix's axes must be orthogonal."""
    ijk_to_lps = _LPS_TO_RAS @ np.asarray(ijk_to_ras, float)
    spacing = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())


def image_ijk_to_ras(image: sitk.Image) -> np.ndarray:
    """Return the 4×4 matrix that maps an ITK image's voxel indices to RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return _LPS_TO_RAS @ matrix
