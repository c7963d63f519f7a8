"""Writes results into a folder again and again, killed at its n-th touch of the disk, and says what each kill left.

Run as a program: ``kill_at_every_write.py FOLDER KIND``. Prints one JSON object a kill.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, ModelIdentity, Verdict, load_finding
from AcuteFindingsLib.jobs import results_folder as module

TOUCHES = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "shutil.copyfile",
    "shutil.rmtree", "shutil.move", "os.chmod", "ctypes.dlsym",
}  # fmt: skip


def finding(number: int) -> Finding:
    code = Code("SCT", "1", "x")
    return Finding(
        detector="hemorrhage",
        model=ModelIdentity(f"run-{number}", "1", "0" * 64, "nothing"),
        verdict=Verdict("positive", 0.9, 0.5, "rule", "why"),
        slices=(),
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=np.eye(4),
        display_window=(40.0, 80.0),
        masks=tuple(Mask(name, np.full((2, 3, 4), number, np.uint8), code, code, None, (1, 0, 0)) for name in "ab"),
    )


def write(out: Path, number: int) -> None:
    with module.results_folder(out) as work:
        finding(number).save(work)
        (work / "report.html").write_text(f"run-{number}")


def state(out: Path) -> str:
    """Say which run's result is whole in `out`: "1", "2", "none", or what is wrong with it."""
    if not (out / "finding.json").is_file():
        return "none"
    found = load_finding(out / "finding.json")
    number = found.model.id.removeprefix("run-")
    parts = [mask.array.max() == mask.array.min() == int(number) for mask in found.masks]
    whole = all(parts) and (out / "report.html").read_text() == f"run-{number}"
    return number if whole else "a mix"


def killed(out: Path, number: int, at: int) -> bool:
    """Write in a process of its own that dies at its touch number `at`; False where it came to its end before."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal count
            if event not in TOUCHES:
                return
            if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                return
            count += 1
            if count > at:
                os._exit(9)

        sys.addaudithook(hook)
        try:
            write(out, number)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(7)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, 9):
        raise SystemExit(f"the run ended with {status}")
    return status == 9


def prepare(kind: str, place: Path) -> None:
    """Make the folder that the run to be killed finds: after a first run, shared with another's files, or new."""
    shutil.rmtree(place, ignore_errors=True)
    out = place / "out"
    place.mkdir(parents=True)
    (place / "neighbor.txt").write_text("theirs")
    if kind in ("first-shared", "second-shared"):
        out.mkdir()
        (out / "IM0001.dcm").write_text("theirs")
    if kind in ("second", "second-shared", "second-no-exchange"):
        write(out, 1)
    if kind == "second-no-exchange":
        module.exchange = lambda first, second: False


def main() -> None:
    place, kind = Path(sys.argv[1]), sys.argv[2]
    out = place / "out"
    at = 0
    while True:
        prepare(kind, place)
        died = killed(out, 2, at)
        left = state(out)
        theirs = (place / "neighbor.txt").read_text() == "theirs"
        if kind.endswith("shared"):
            theirs = theirs and (out / "IM0001.dcm").read_text() == "theirs"
        write(out, 3)
        after = state(out)
        names = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
        names = [name for name in names if ".partial." not in name or ".earlier." in name]
        print(json.dumps({"at": at, "died": died, "left": left, "theirs": theirs, "after": after, "names": names}))
        if not died:
            return
        at += 1


if __name__ == "__main__":
    main()
