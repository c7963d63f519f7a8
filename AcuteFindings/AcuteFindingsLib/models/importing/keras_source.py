"""Ask Keras itself what a file of its own answers, in a process of its own."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import SourceMissingError
from AcuteFindingsLib.places import temporary_folder

_PROGRAM = Path(__file__).with_name("keras_program.py")
_SECONDS = 900


def ask_keras(path: Path, spec: Mapping[str, Any], batch: np.ndarray, python: Path | None) -> dict[str, np.ndarray]:
    """Let Keras build the network, load the file and answer.

    Parameters
    ----------
    path
        The file.
    spec
        Which network, for `keras_program`.
    batch
        Its input, channels last.
    python
        Interpreter that has Keras; this one when None.

    Raises
    ------
    SourceMissingError
        When this interpreter has no Keras and no other was named, or Keras itself cannot load a file so laid out.
    ModelError
        When the interpreter that was named cannot answer.
    """
    if python is None and find_spec("keras") is None:
        raise SourceMissingError("Keras is not installed here (pip install keras, or name an interpreter that has it)")
    with temporary_folder() as work:
        (work / "spec.json").write_text(json.dumps({**spec, "file": str(_for_keras(path, work))}), encoding="utf-8")
        np.save(work / "input.npy", np.ascontiguousarray(batch))
        names = ("spec.json", "input.npy", "answers.npz")
        command = [str(python or sys.executable), str(_PROGRAM), *(str(work / name) for name in names)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(f"{python or 'Keras'} could not be asked what {path.name} answers: {error}.") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ModelError(
                f"Keras did not read {path.name} ({last[:300]}), so the import cannot be proven; leave the "
                "comparison out with --unproven if you trust the file's layout."
            )
        with np.load(work / "answers.npz") as answers:
            return {name: answers[name] for name in answers.files if name != "version"}


def _for_keras(path: Path, work: Path) -> Path:
    """Give the file the name by which Keras knows its layout."""
    import h5py

    if zipfile.is_zipfile(path):
        ending = ".keras"
    else:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            legacy = "layer_names" in group.attrs or "layer_names0" in group.attrs
        ending = ".h5" if legacy else ".weights.h5"
    if ending == ".keras":
        # Only its weights: the configuration could name classes to be imported.
        with zipfile.ZipFile(path) as archive:
            target = work / "model.weights.h5"
            target.write_bytes(archive.read("model.weights.h5"))
        return target
    if path.name.endswith(ending) and (ending == ".weights.h5" or not path.name.endswith(".weights.h5")):
        return path.resolve()
    link = work / f"model{ending}"
    link.symlink_to(path.resolve())
    return link
