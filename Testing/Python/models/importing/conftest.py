"""Models that Keras itself wrote, once a session."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

KERAS = Path(__file__).resolve().parents[3] / "Keras"
SIZE = 75
"""Pixels a side: the least that Keras lets InceptionResNetV2 read."""


@pytest.fixture(scope="session")
def keras_python() -> Path:
    """An interpreter that has Keras; made where there is none."""
    spec = importlib.util.spec_from_file_location("make_environment", KERAS / "make_environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.keras_python()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"an environment with Keras could not be made: {error}")


@pytest.fixture(scope="session")
def keras_models(keras_python, tmp_path_factory) -> Path:
    """The folder that `Testing/Keras/write_models.py` fills."""
    folder = tmp_path_factory.mktemp("keras")
    command = [str(keras_python), str(KERAS / "write_models.py"), str(folder), str(SIZE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    yield folder
    # A gigabyte.
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def answers(keras_models) -> dict[str, np.ndarray]:
    with np.load(keras_models / "answers.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def rename_as_keras_2():
    """`rename_as_keras_2(source, target, whole=True)`."""
    return _rename_as_keras_2


def _rename_as_keras_2(source: Path, target: Path, *, whole: bool = True) -> None:
    """Write a file of Keras 3 again with the names that Keras 2 gave.

    Keras 2 names weights as TensorFlow names variables, ``conv2d_7/kernel:0``, those of an LSTM
    ``bidirectional/forward_lstm/lstm_cell/kernel:0``; lists them as bytes in ``weight_names``; splits lists beyond
    64 kB; wrote ``Lambda`` where Keras 3 has ``CustomScaleLayer``. As seen in files of tf-keras 2.21 and in
    `tensorflow/python/keras/saving/hdf5_format.py`.
    """
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        group = new.create_group("model_weights") if whole else new
        layers = old["model_weights"]
        group.attrs["keras_version"] = b"2.8.0"
        group.attrs["backend"] = b"tensorflow"
        names = [name.encode() if isinstance(name, str) else name for name in layers.attrs["layer_names"]]
        for number, part in enumerate(np.array_split(np.asarray(names), 3)):
            group.attrs[f"layer_names{number}"] = part
        for name in (name.decode() for name in names):
            made = group.create_group(name)
            weights = []
            for weight in layers[name].attrs["weight_names"]:
                plain = weight.decode() if isinstance(weight, bytes) else weight
                leaf = plain.rsplit("/", 1)[-1]
                between = "/".join(plain.split("/")[1:-1])
                path = "/".join(part for part in (name, between, f"{leaf}:0") if part)
                made.create_dataset(path, data=np.asarray(layers[name][weight]))
                weights.append(path.encode())
            made.attrs["weight_names"] = weights
        if whole:
            text = old.attrs["model_config"]
            text = text.decode() if isinstance(text, bytes) else text
            new.attrs["model_config"] = text.encode()
            new.attrs["keras_version"] = b"2.8.0"
