"""Make a Python environment that has Keras, beside the project's own and sharing its torch.

Keras is no part of AcuteFindings: models written by it are read without it. The tests of the import write such models
with the real Keras, and compare what it answers.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

PACKAGES = ("keras>=3.5",)


def keras_python() -> Path:
    """Return the environment's interpreter, and make the environment where there is none.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        It could not be made, mostly because no package index was reached.
    """
    return python_with("keras", PACKAGES, share=True)


def python_with(name: str, packages: tuple[str, ...], *, share: bool) -> Path:
    """Return the interpreter of an environment with packages of its own, and make it where there is none.

    It is kept inside the project's own, so that it goes when that goes. With `share` it sees the project's packages.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        It could not be made, mostly because no package index was reached.
    """
    folder = Path(sys.prefix) / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = folder / ".done"
    stamp = f"{sys.version} {' '.join(packages)}"
    if not done.is_file() or done.read_text() != stamp:
        venv.create(folder, clear=True, with_pip=False)
        if share:
            _share_packages(python)
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *packages]
        subprocess.run(install, check=True, timeout=600)
        done.write_text(stamp)
    return python


def _share_packages(python: Path) -> None:
    """Let the environment see torch, numpy and h5py of the project's own."""
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([str(python), "-c", question], check=True, capture_output=True, text=True, timeout=120)
    Path(answer.stdout.strip(), "project.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(keras_python())
