"""Repositories as a description names them, with random weights of the exact names and shapes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from AcuteFindingsLib.models.public.description import ImportDescription


def write_random_repository(
    description: ImportDescription,
    folder: Path,
    *,
    state: Mapping[str, np.ndarray] | None = None,
    source_name: Callable[[str], str] | None = None,
    extra: Mapping[str, Mapping[str, tuple[int, ...]]] | None = None,
    seed: int = 23,
) -> Path:
    """Write the files of a repository, ``folder/OWNER/NAME``, for `hub_server.serve_hub` or by hand.

    Parameters
    ----------
    state
        Tensors as they are named in the package; those of the description's network with random weights
        (`random_weights.random_network`) when None.
    source_name
        What a tensor of the package is called in its file, where the description renames; what stands behind the file's
        prefix when None.
    extra
        Further tensors by file key, name in the file and shape: those that the description leaves `unused`.

    Returns
    -------
    Path
        The repository's folder.
    """
    raise NotImplementedError
