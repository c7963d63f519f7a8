"""The main job in a process of its own, with its times and its peak memory as JSON on standard output.

``python Testing/Benchmarks/run_once.py STUDY DETECTOR OUT``; `measure.measure_run` starts it.
"""

import json
import resource
import sys
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study

# Which of a detector's own timings make a stage; what none of them names (checking the study, loading the model) is
# the rest of the total.
STAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "pe": {"preprocess": ("preprocess",), "network": ("network",), "postprocess": ("heatmap",)},
    "hemorrhage": {"preprocess": ("preprocess",), "network": ("network",), "postprocess": ("postprocess",)},
    "pneumothorax": {"preprocess": ("lungs",), "network": ("network", "chest"), "postprocess": ("explain",)},
}

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass
class PeakMemory:
    """The most memory this process held, in bytes: altogether, and while each thing the job tells of was done.

    Linux forgets the peak on request (proc(5), clear_refs), so that each part has its own. Elsewhere, only the peak of
    the whole run is known.
    """

    parts: dict[str, int] = field(default_factory=dict)
    current: str = "Start"

    def progress(self, text: str, fraction: float) -> None:
        """Take the job's word for what it is doing; the peak until now belongs to what it did before."""
        text = text.partition(":")[0]  # "Reading headers: 20 of 150 files" and the next twenty are one thing
        if text == self.current:
            return
        self._close_part()
        self.current = text

    def total(self) -> int:
        """Return the peak of the whole run."""
        self._close_part()
        return max([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _unit(), *self.parts.values()])

    def _close_part(self) -> None:
        if not _CLEAR.exists():
            return
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        self.parts[self.current] = max(self.parts.get(self.current, 0), int(peak.split()[1]) * 1024)
        _CLEAR.write_text("5")


def stage_times(finding: Finding, wall: float) -> dict[str, float]:
    """Return seconds by stage; they sum to ``total``, the wall time of the whole job."""
    timings = finding.timings
    stages = {"read": timings["read"]}
    stages |= {
        stage: sum(timings.get(name, 0.0) for name in names) for stage, names in STAGES[finding.detector].items()
    }
    stages["check and load"] = timings["total"] - sum(stages.values())
    stages["write"] = wall - timings["total"]
    return {**stages, "total": wall}


def main() -> None:
    """Run and print."""
    parser = ArgumentParser(description="Run one study and print times and memory as JSON.")
    parser.add_argument("study", type=Path)
    parser.add_argument("detector", choices=STAGES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--models-folder", type=Path, action="append", default=[])
    asked = parser.parse_args()
    request = StudyRequest(
        source=asked.study,
        out=asked.out,
        detector=asked.detector,
        device="cpu",
        force=True,
        model_folders=tuple(asked.models_folder),
    )
    memory, rounds = PeakMemory(), []
    for _ in range(asked.rounds):
        clock = perf_counter()
        result = run_study(request, progress=memory.progress)
        rounds.append(stage_times(result.finding, perf_counter() - clock))
    finding = result.finding
    answer = {
        "detector": finding.detector,
        "model": f"{finding.model.id} {finding.model.version}",
        "slices": len(finding.slices),
        "rounds": rounds,
        "peak_bytes": memory.total(),
        "peak_bytes_by_part": memory.parts,
    }
    print(json.dumps(answer))


def _unit() -> int:
    """Return what `ru_maxrss` counts in: bytes on macOS, kilobytes elsewhere."""
    return 1 if sys.platform == "darwin" else 1024


if __name__ == "__main__":
    main()
