"""A phantom as the study that reading its DICOM would give, without the detour over files."""

import numpy as np

from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.study.study import PHANTOM_MANUFACTURER, DicomFacts, SourceSlice, Study


def phantom_study(phantom: Phantom) -> Study:
    """Return the phantom as a `Study` centered on the origin of the patient's coordinates."""
    dz, dy, dx = phantom.spacing
    nz, ny, nx = phantom.array.shape
    ijk_to_ras = np.diag([-dx, -dy, dz, 1.0])
    center = np.array([nx - 1, ny - 1, nz - 1]) / 2
    ijk_to_ras[:3, 3] = -(ijk_to_ras[:3, :3] @ center)
    radiograph = phantom.kind == "chest-xray"
    sources = tuple(
        SourceSlice(
            index=k,
            file=None,
            frame=0,
            sop_instance_uid="",
            position_ras=(0.0, 0.0, float((k - center[2]) * dz)),
            k=float(k),
            thickness_mm=None if radiograph else dz,
        )
        for k in range(nz)
    )
    return Study(
        array=phantom.array,
        ijk_to_ras=ijk_to_ras,
        modality="DX" if radiograph else "CT",
        intensity="unit" if radiograph else "HU",
        orientation="projection" if radiograph else "axial",
        sources=sources,
        dicom=DicomFacts(
            manufacturer=PHANTOM_MANUFACTURER,
            view_position=("AP" if phantom.study_labels.get("view_ap") else "PA") if radiograph else "",
        ),
        source_name=f"{phantom.kind} phantom {phantom.seed}",
    )
