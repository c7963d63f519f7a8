"""What the DICOM and the truth of a phantom must agree on: names, UIDs and geometry."""

import hashlib

import numpy as np
from pydicom.uid import generate_uid

from AcuteFindingsLib.phantoms.phantom import Phantom


def phantom_name(phantom: Phantom) -> str:
    """Kind and seed, ``head-ct-0007``: the study's folder and its patient ID."""
    return f"{phantom.kind}-{phantom.seed:04d}"


def first_voxel_lps(phantom: Phantom) -> tuple[float, float, float]:
    """Center of voxel (0, 0, 0) in LPS mm; CT is centered on the origin, a radiograph has no place in the patient."""
    if phantom.kind == "chest-xray":
        return 0.0, 0.0, 0.0
    x, y, z = (-(n - 1) / 2 * step for n, step in zip(phantom.array.shape[::-1], phantom.spacing[::-1], strict=True))
    return x, y, z


class PhantomUids:
    """UIDs that depend on the phantom alone.

    Kind and seed do not tell a phantom from its twin of another matrix or without the lesion, so the pixels count too.
    """

    def __init__(self, phantom: Phantom) -> None:
        """Take the phantom's fingerprint."""
        digest = hashlib.sha256(np.ascontiguousarray(phantom.array, dtype=np.float32).tobytes()).hexdigest()
        self._entropy = ["AcuteFindings phantom", phantom.kind, str(phantom.seed), str(phantom.spacing), digest]

    def make(self, what: str) -> str:
        """UID of something that the study has once."""
        return str(generate_uid(entropy_srcs=[*self._entropy, what]))

    def image(self, index: int) -> str:
        """SOP Instance UID of slice `index`."""
        return self.make(f"image {index}")


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5, VR DS)."""
    return f"{float(value):.8g}"
