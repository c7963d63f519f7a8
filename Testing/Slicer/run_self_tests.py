"""Runs the self-tests of every module in the application, and ends it with the right exit status.

    Slicer --testing --no-splash --no-main-window \
        --additional-module-paths AcuteFindings PEDetect HemorrhageDetect PneumothoraxSeg \
        --python-script Testing/Slicer/run_self_tests.py [--modules NAME ...]

Without ``--no-main-window`` the tests also look at the views; ``--screenshots DIR`` keeps a picture of each panel. The
last line says ``N passed, N failed``.
"""

import argparse
import importlib
import sys
import time
import traceback
import unittest
from pathlib import Path

import slicer

MODULES = ("AcuteFindings", "PEDetect", "HemorrhageDetect", "PneumothoraxSeg")


class Result(unittest.TestResult):
    """Prints a line a test as soon as it is done: a test that hangs is known by its name."""

    def __init__(self):
        super().__init__()
        self.passed = 0

    @property
    def failed(self):
        """How many tests did not pass, for whatever reason."""
        return len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses)

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()
        say(f"RUN    {test.id()}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        say(f"PASSED {test.id()} ({time.monotonic() - self._started:.1f} s)")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._tell(test, err)

    def addSkip(self, test, reason):
        # Nothing here is allowed to be skipped in silence.
        super().addSkip(test, reason)
        say(f"SKIPPED {test.id()}: {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell(subtest, err)

    def _tell(self, test, err):
        say("".join(traceback.format_exception(*err)))
        say(f"FAILED {test.id()}: {err[1]}")


def say(text):
    """Print at once: what is buffered is lost with an application that crashes."""
    print(text)
    sys.stdout.flush()


def run(modules, screenshots=None):
    """Run the modules' tests; returns how many passed and how many failed.

    A module that did not load, or has no test, counts as a failure.
    """
    result, broken = Result(), 0
    for name in modules:
        try:
            if not hasattr(slicer.modules, name.lower()):
                raise RuntimeError(f"the module {name} was not loaded; is its folder in --additional-module-paths?")
            case = getattr(importlib.import_module(name), f"{name}Test")
            case.screenshots = screenshots
            suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
            if not suite.countTestCases():
                raise RuntimeError(f"{name}Test has no tests")
        except Exception as error:  # whatever it is, the other modules' tests are to run
            traceback.print_exc(file=sys.stdout)
            say(f"FAILED {name}: {error}")
            broken += 1
            continue
        suite.run(result)
    return result.passed, result.failed + broken


def main(arguments):
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the self-tests of the AcuteFindings modules.")
    parser.add_argument("--modules", nargs="+", default=list(MODULES), help="names of modules; all by default")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the panels")
    options, _others = parser.parse_known_args(arguments)
    passed, failed = run(options.modules, options.screenshots)
    say(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    status = 1
    try:
        status = main(sys.argv[1:])
    except BaseException:  # argparse ends with SystemExit; the application has to hear of everything
        traceback.print_exc(file=sys.stdout)
    slicer.util.exit(status)
