"""One study through a model of a package, in a process of its own: times, peak memory and estimate as JSON.

``python Testing/Benchmarks/public_run.py STUDY DETECTOR MODEL``; `public_models` starts it.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from AcuteFindingsLib.detectors import volume_scorer
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from run_once import PeakMemory


@dataclass
class Estimates:
    """What a volume's reading was said to take before it began, in seconds; the last estimate counts."""

    said: list[float] = field(default_factory=list)

    def listen(self) -> None:
        """Keep what `VolumeScorer.estimate` says before each reading from now on; its pace is measured once."""
        original = volume_scorer.VolumeScorer.infer

        def infer(scorer: volume_scorer.VolumeScorer, volume: volume_scorer.VolumeInput, **named: Any) -> Any:
            self.said.append(scorer.estimate(volume))
            return original(scorer, volume, **named)

        volume_scorer.VolumeScorer.infer = infer  # type: ignore[method-assign]


def main(study: str, detector: str, model: str) -> None:
    """Run and print."""
    memory, estimates = PeakMemory(), Estimates()
    estimates.listen()
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as out:
        request = StudyRequest(
            source=Path(study), out=Path(out) / "results", detector=detector, model=model, device="cpu", force=True
        )
        clock = perf_counter()
        finding = run_study(request, progress=memory.progress).finding
        seconds = perf_counter() - clock
    answer = {
        "slices": len(finding.slices),
        "seconds": seconds,
        "timings": finding.timings,
        "estimate": estimates.said[-1] if estimates.said else None,
        "peak_bytes": memory.total(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
