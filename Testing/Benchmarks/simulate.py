"""A batch on many workers, simulated: what workers wait for is the start, the driver and the shared disk."""

import heapq
from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """What one study takes, in seconds, each by itself.

    Attributes
    ----------
    start
        Of a worker until it reads its first study: process, imports, networks.
    study
        Of a worker that has its networks, files at hand.
    driver
        Of the driver, which does one thing at a time.
    share
        Of the shared disk, which hands files to one worker at a time.
    """

    start: float
    study: float
    driver: float
    share: float

    @property
    def alone(self) -> float:
        """What a study takes a worker that never waits."""
        return self.driver + self.share + self.study


def simulated_seconds(costs: Costs, workers: int, studies: int) -> float:
    """Return when the last study is answered, all workers being started at once.

    A worker asks the driver for a study, the disk for its files, reads, and asks again; driver and disk serve who came
    first. What the driver does with an answer and with the next question is one piece of its work.
    """
    asks = [costs.start] * workers
    driver = share = last = 0.0
    # A worker's next question comes after all of its own before it; the earliest question is always the next served,
    # and the disk is asked in the order in which the driver answered.
    for _ in range(studies):
        driver = max(driver, heapq.heappop(asks)) + costs.driver
        share = max(share, driver) + costs.share
        heapq.heappush(asks, share + costs.study)
        last = max(last, share + costs.study)
    return last
