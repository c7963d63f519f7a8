"""What `make demo` installs: megabytes downloaded and on the disk, and seconds, in a new environment, without a cache.

``python Testing/Benchmarks/install.py [CHECKOUT] [--extras scene] [--python python3.11]``; any commit's checkout.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
DOWNLOADED = re.compile(r"Downloading (\S+) \(([\d.]+) (bytes|kB|MB|GB)\)")
FROM_DISK = re.compile(r"Processing (/\S+\.whl)")


def measure(checkout: Path, extras: str, python: str, environment: Path) -> dict[str, float]:
    """Install as the Makefile does; return the megabytes and seconds it took.

    A package that the index has on a local disk counts as downloaded, and under ``local`` too, with its file's size.
    """
    started = time.perf_counter()
    subprocess.run([python, "-m", "venv", environment], check=True)
    seconds = time.perf_counter() - started
    packages = next(environment.glob("lib/python*/site-packages"))
    before = size_mb(packages)
    started = time.perf_counter()
    target = f"{checkout}[{extras}]" if extras else str(checkout)
    pip = [environment / "bin/python", "-m", "pip", "install", "--no-cache-dir", "--progress-bar", "off"]
    told = subprocess.run([*pip, "--editable", target], check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds += time.perf_counter() - started
    web = sum(float(number) * UNITS[unit] for _, number, unit in DOWNLOADED.findall(told))
    disk = sum(Path(path).stat().st_size / 1e6 for path in set(FROM_DISK.findall(told)))
    return {"downloaded": web + disk, "local": disk, "seconds": seconds, "installed": size_mb(packages) - before}


def size_mb(folder: Path) -> float:
    """Return what the files of a folder take, in megabytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--extras", default="scene")
    parser.add_argument("--python", default=sys.executable)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acutefindings-install-") as folder:
        found = measure(chosen.checkout.resolve(), chosen.extras, chosen.python, Path(folder) / "venv")
    print(
        f"{found['downloaded']:.0f} MB downloaded ({found['local']:.0f} MB of them from a local index), "
        f"{found['seconds']:.0f} s, {found['installed']:.0f} MB on disk"
    )


if __name__ == "__main__":
    main()
