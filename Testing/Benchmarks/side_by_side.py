"""How much a second process slows a first one down: PyTorch, and ONNX Runtime with threads that turn or sleep.

    python Testing/Benchmarks/side_by_side.py [SECONDS]

Each process outlines the lungs of one batch after the other with the package that ships, on as many threads as there
are cores. The table has the median time for a batch and the processor's time for it, alone and with a second process
that does the same.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WAYS = {
    "PyTorch": ("torch", "0"),
    "ONNX Runtime, waiting threads turn": ("onnx", "1"),
    "ONNX Runtime, waiting threads sleep": ("onnx", "0"),
}
BATCH = (4, 1, 192, 192)
SECONDS = 6.0


def measure(seconds: float = SECONDS) -> dict[str, dict[str, float]]:
    """Return milliseconds a batch by way: `alone`, `beside`, and the processor's `alone_cpu`, `beside_cpu`."""
    table = {}
    for way, arguments in WAYS.items():
        (alone,) = _run(1, arguments, seconds)
        beside = _run(2, arguments, seconds)
        table[way] = {
            "alone": alone["wall"],
            "beside": statistics.mean(one["wall"] for one in beside),
            "alone_cpu": alone["cpu"],
            "beside_cpu": statistics.mean(one["cpu"] for one in beside),
        }
    return table


def rows(table: dict[str, dict[str, float]]) -> list[str]:
    """Return the table as Markdown."""
    head = [
        "| way | alone, ms | two at once, ms | times | processor alone, ms | two at once, ms |",
        "|---|---|---|---|---|---|",
    ]
    return head + [
        f"| {way} | {value['alone']:.0f} | {value['beside']:.0f} | {value['beside'] / value['alone']:.2f} | "
        f"{value['alone_cpu']:.0f} | {value['beside_cpu']:.0f} |"
        for way, value in table.items()
    ]


def _run(count: int, arguments: tuple[str, str], seconds: float) -> list[dict[str, float]]:
    command = [sys.executable, __file__, "--worker", *arguments, str(seconds)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # It is ready.
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in processes]


def _worker(runtime: str, spin: str, seconds: float) -> None:
    sys.path.insert(0, str(ROOT / "AcuteFindings"))
    from AcuteFindingsLib.models.load import load_predictor
    from AcuteFindingsLib.models.package import read_package
    from AcuteFindingsLib.models.runtime import session

    session._SPIN = spin
    package = read_package(ROOT / "Resources" / "Models" / "lungs-unet-small")
    predictor = load_predictor(package, device="cpu", runtime=runtime)  # type: ignore[arg-type]
    batch = np.random.default_rng(0).random(BATCH, dtype=np.float32)
    for _ in range(2):
        predictor.predict(batch)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.perf_counter() + seconds
    wall, cpu = [], time.process_time()
    while time.perf_counter() < end:
        start = time.perf_counter()
        predictor.predict(batch)
        wall.append(1000 * (time.perf_counter() - start))
    print(json.dumps({"wall": statistics.median(wall), "cpu": 1000 * (time.process_time() - cpu) / len(wall)}))


if __name__ == "__main__":
    if "--worker" in sys.argv:
        _worker(*sys.argv[2:4], float(sys.argv[4]))
    else:
        print("\n".join(rows(measure(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))))
