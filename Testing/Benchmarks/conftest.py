"""One measured run of each detector, shared by the benchmarks of its stages."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from measure import Measured, measure_run, write_sample

ROUNDS = 3


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Measured]:
    """Give what a detector's own sample took, in `ROUNDS` rounds; measured when first asked for."""

    @cache
    def run(detector: str) -> Measured:
        sample = write_sample(detector, tmp_path_factory.mktemp(detector))
        return measure_run(sample, detector, rounds=ROUNDS)

    return run
