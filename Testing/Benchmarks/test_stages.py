"""How long each stage of each detector takes, from DICOM to report: ``make benchmark``."""

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from measure import SAMPLES, STAGES, Measured


class StageClock:
    """A clock that goes on by what a run said that a stage took.

    A detector times its own stages. Read by pytest-benchmark instead of the system's clock, this one brings those times
    into its tables, comparisons and files.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


CLOCK = StageClock()


@pytest.mark.timeout(1800)
@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("detector", SAMPLES)
def test_stage(detector: str, stage: str, measured: Callable[[str], Measured], benchmark: BenchmarkFixture) -> None:
    found = measured(detector)
    rounds = iter(found.rounds)
    benchmark.group = detector
    benchmark.extra_info |= {"model": found.model, "slices": found.slices, "peak_mb": round(found.peak_bytes / 1e6)}
    benchmark.pedantic(lambda: CLOCK.go_on(next(rounds)[stage]), rounds=len(found.rounds))
