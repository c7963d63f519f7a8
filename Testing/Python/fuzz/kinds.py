"""Which kind of input each number is: by shares, so that the same number is the same kind in every run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuzz import dicom_inputs, other_inputs, volume_inputs
from fuzz.trial import Trial

Kind = Callable[[np.random.Generator, Path], Trial]

SHARES: dict[Kind, int] = {
    dicom_inputs.changed_series: 24,
    dicom_inputs.equal_series: 5,
    dicom_inputs.encoded_series: 4,
    dicom_inputs.damaged_series: 5,
    dicom_inputs.damaged_file: 14,
    dicom_inputs.enhanced: 4,
    dicom_inputs.radiograph: 4,
    dicom_inputs.packed: 4,
    volume_inputs.whole_volume: 2,
    volume_inputs.damaged_volume: 12,
    volume_inputs.changed_nifti: 9,
    volume_inputs.changed_text_header: 8,
    volume_inputs.changed_line: 3,
    volume_inputs.changed_values: 4,
    volume_inputs.damaged_picture: 8,
    volume_inputs.picture: 4,
    **other_inputs.SHARES,
}
_ORDER = [kind for kind, share in SHARES.items() for _ in range(share)]
_ORDER = [_ORDER[int(k)] for k in np.random.default_rng(0).permutation(len(_ORDER))]


def kind_of(number: int) -> Kind:
    """Return the kind of an input."""
    return _ORDER[number % len(_ORDER)]
