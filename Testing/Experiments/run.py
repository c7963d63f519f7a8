"""Repeat a comparison of the source papers on phantoms: `python Testing/Experiments/run.py NAME`."""

import argparse
import logging
import os
import shlex
import warnings
from importlib import import_module
from pathlib import Path

import torch
from comparisons.arms import Place

HERE = Path(__file__).resolve().parent
NAMES = ("hemorrhage", "pe", "segmenters", "shortcut")


def main(arguments: list[str] | None = None) -> None:
    """Train the arms that are not trained yet, measure them, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=(*NAMES, "all"), help="which comparison")
    parser.add_argument("--quick", action="store_true", help="two steps on a handful of phantoms: does it run?")
    parser.add_argument("--out", type=Path, help="folder for table and picture; left out: results/ beside this file")
    parser.add_argument("--work", type=Path, help="folder for phantoms and trained arms; left out: in your cache")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="left out: all")
    given = parser.parse_args(arguments)
    work = given.work or Path.home() / ".cache" / "acutefindings" / "experiments"
    # Quick numbers never take the place of real ones.
    results = given.out or (work / "quick" if given.quick else HERE / "results")
    torch.set_num_threads(given.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    for name in NAMES if given.name == "all" else (given.name,):
        command = shlex.join(
            ["python", "Testing/Experiments/run.py", name, *(["--quick"] if given.quick else [])],
        )
        place = Place(
            results=results, work=work, quick=given.quick, command=command, workers=0 if given.quick else given.threads
        )
        import_module(f"comparisons.{name}").run(place)


if __name__ == "__main__":
    main()
