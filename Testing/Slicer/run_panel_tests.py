"""Runs the panel tests of `Testing/Python/panel` in the application, and ends it with pytest's exit status.

    Slicer --no-splash --additional-module-paths AcuteFindings PEDetect HemorrhageDetect PneumothoraxSeg \
        --python-script Testing/Slicer/run_panel_tests.py [PYTEST ARGUMENTS]

The last line says ``N passed, N failed``.
"""

import sys
import traceback
from pathlib import Path

import pytest
import slicer

ROOT = Path(__file__).resolve().parents[2]


class Counter:
    """Counts as pytest does, for the closing line."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def pytest_runtest_logreport(self, report):
        """Count a test's outcome: its call, or what went wrong or was skipped before and after it."""
        if report.failed:
            self.failed += 1
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1

    def pytest_collectreport(self, report):
        """A file that cannot be read counts as failed."""
        self.failed += report.failed


def main(arguments):
    """Run the tests; returns the exit status."""
    counter = Counter()
    chosen = []
    options = arguments
    paths = chosen or [str(ROOT / "Testing" / "Python" / "panel")]
    status = pytest.main(["--rootdir", str(ROOT), "-p", "no:cacheprovider", "--durations=10", *options, *paths], [counter])
    print(f"{counter.passed} passed, {counter.failed} failed, {counter.skipped} skipped", flush=True)
    return int(status)


if __name__ == "__main__":
    status = 1
    try:
        status = main(sys.argv[1:])
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    slicer.util.exit(status)
