"""Repositories as a description names them, with random weights of the exact names and shapes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from AcuteFindingsLib.models.graphs.check import FLOAT, check_graph
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.models.public.tensors import package_name, prefix_of


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

    Each file is written under the first of its paths: safetensors, or what `torch.save` writes.

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
    if state is None:
        state = random_state(description, seed=seed)
    numbers = np.random.default_rng(seed)
    files: dict[str, dict[str, np.ndarray]] = {key: {} for key in description.files}
    for name, value in state.items():
        key = _file_of(description, name)
        prefix = prefix_of(key, description.files[key])
        there = source_name(name) if source_name else name.removeprefix(prefix)
        again = package_name(key, description.files[key], there)
        assert again == name, f"{there} of the file {key} becomes {again}, not {name}"
        files[key][there] = np.ascontiguousarray(value).reshape(value.shape)
    for key, shapes in (extra or {}).items():
        files[key] |= {name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    repository = folder / description.address.removeprefix("hf:")
    for key, tensors in files.items():
        _write(repository / description.files[key].path[0], tensors)
    (repository / "README.md").write_text(f"---\nlicense: {description.license.name.lower()}\n---\n# Random weights\n")
    return repository


def random_state(description: ImportDescription, *, seed: int = 23) -> dict[str, np.ndarray]:
    """Return the tensors of a description's network with random weights, as they are named in the package."""
    import torch
    from random_weights import random_network

    network, image = description.network, description.image
    assert network is not None
    assert image is not None
    low, high = image.value_range
    noise = np.random.default_rng(seed).uniform(low, high, (2, image.channels, *image.shape)).astype(np.float32)
    made = random_network(network.name, network.arguments, torch.from_numpy(noise), seed=seed)
    return {name: value.numpy() for name, value in made.state_dict().items()}


def graph_state(
    description: ImportDescription, graphs: Mapping[str, bytes], *, seed: int = 23
) -> dict[str, np.ndarray]:
    """Return random tensors of the names and shapes that a description's graphs ask for; needs no torch.

    Good for what does not compute with them: they are small, and variances are one.
    """
    numbers = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}
    for data in graphs.values():
        for name, (shape, kind) in check_graph(data, name=description.id).lacking.items():
            if kind != FLOAT:
                state[name] = np.zeros(shape, np.int64)
            elif name.endswith("running_var"):
                state[name] = np.ones(shape, np.float32)
            else:
                state[name] = 0.02 * numbers.standard_normal(shape, np.float32)
    return state


def _file_of(description: ImportDescription, name: str) -> str:
    """Return the key of the file that a tensor of the package comes from: of the longest prefix that fits."""
    fitting = [key for key, file in description.files.items() if name.startswith(prefix_of(key, file))]
    assert fitting, f"no file of {description.id} has {name}"
    return max(fitting, key=lambda key: len(prefix_of(key, description.files[key])))


def _write(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, path, metadata={"format": "pt"})
        return
    import torch

    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, path)
