"""Runs panel tests (`Testing/Python/panel`) in the application, and ends it with pytest's exit status.

    ACUTEFINDINGS_PANEL_TESTS=test_chart_link.py PYTEST_ADDOPTS="-v -k jumps" Slicer --no-splash \
        --additional-module-paths AcuteFindings PEDetect HemorrhageDetect PneumothoraxSeg \
        --python-script Testing/Slicer/run_panel_tests.py

Without the variable all of them run. The last line says ``N passed, N failed, N skipped``. Options reach pytest through
its own variable, since the application keeps the command line's for itself.
"""

import os
import sys
import traceback
from pathlib import Path

# Mesa's software renderer and Triton each bring an LLVM, and the process dies of the second; torch does without Triton.
sys.modules["triton"] = None

import pytest  # noqa: E402
import slicer  # noqa: E402

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


def main():
    """Run the tests; returns the exit status."""
    counter = Counter()
    chosen = ROOT / "Testing" / "Python" / "panel" / os.environ.get("ACUTEFINDINGS_PANEL_TESTS", "")
    options = ["--rootdir", str(ROOT), "-p", "no:cacheprovider", "--durations=10", "-q", "--timeout=120"]
    status = pytest.main([*options, str(chosen)], [counter])
    print(f"{counter.passed} passed, {counter.failed} failed, {counter.skipped} skipped", flush=True)
    return int(status)


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    slicer.util.exit(status)
