"""Networks timed in every runtime that there is here, by turns, beside what their matrix products take at least."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from AcuteFindingsLib.models.graphs.fill import StoredTensors, fill_graph
from AcuteFindingsLib.models.package import ModelPackage, read_package
from environments import Missing, environment
from roof import count_work
from rounds import Child, ChildError, Turns, interleave, largest_difference

TORCH, ONNX, OPENVINO, CUDA, KERAS = "PyTorch", "ONNX Runtime", "ONNX Runtime, OpenVINO", "ONNX Runtime, CUDA", "Keras"
PRODUCTS = {"numpy": "products by numpy", "onnxruntime": "products by ONNX Runtime", "torch": "products by PyTorch"}
MODELS = Path(__file__).parents[2] / "Resources" / "Models"
# As many images at once as the detectors ask: a card's batch, a radiograph and its mirror image, a whole series.
SHIPPED = (
    ("pe-sequence-small", "encode", (4, 5, 384, 384)),
    ("pe-sequence-small", "sequence", (1, 96, 64)),
    ("hemorrhage-radnet-small", "features", (16, 1, 200, 200)),
    ("pneumothorax-unet-small", "", (2, 1, 256, 256)),
    ("lungs-unet-small", "", (2, 1, 192, 192)),
    ("chest-findings-small", "", (2, 1, 256, 256)),
    ("chest-nih14-64", "", (1, 1, 128, 128)),
)
SOURCE_BATCH, SOURCE_SLICES, KERAS_BATCH = 8, 96, 32


@dataclass
class NetworkTimes:
    """What one part of a network took.

    Attributes
    ----------
    network, part, shape
        Which, and its batch.
    multiply_adds
        For a batch.
    seconds
        Of each round, for a batch of `shape`, by runtime.
    runtimes
        What each says that it is.
    differences
        Largest difference to PyTorch's answers after the sigmoid, by runtime.
    missing
        Why a runtime has no times.
    """

    network: str
    part: str
    shape: tuple[int, ...]
    multiply_adds: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    runtimes: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def median(self, runtime: str) -> float | None:
        """Return a runtime's median, None where it has none."""
        return median(self.seconds[runtime]) if runtime in self.seconds else None


def filled_model(package: ModelPackage, part: str, folder: Path) -> Path:
    """Write a part of a package as a model file of its own."""
    assert package.card.graphs is not None, f"{package.id} has no graphs"
    graph = (package.folder / package.card.graphs.parts[part].file).read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "model.onnx"
    target.write_bytes(fill_graph(graph, StoredTensors(package.folder / package.weights), name=package.id))
    return target


def time_network(
    package: Path,
    part: str,
    shape: Sequence[int],
    folder: Path,
    *,
    rounds: int,
    keras: Path | None = None,
    roof: bool = False,
) -> NetworkTimes:
    """Time a part of a package in all runtimes by turns.

    Parameters
    ----------
    package, part, shape
        Which part, and the shape of its batch.
    folder
        For files in between.
    rounds
        How often each runtime answers; `keras` in a batch of its own as often as gives the same number of images.
    keras
        The slice model as a file of Keras.
    roof
        Also compute the matrix products, by every library.
    """
    read = read_package(package)
    times = NetworkTimes(read.id, part, tuple(shape))
    rng = np.random.default_rng(1)
    batch, large = folder / "batch.npy", folder / "large.npy"
    folder.mkdir(parents=True, exist_ok=True)
    low, high = (-1, 1) if part != "" else (0, 1)
    images = rng.uniform(low, high, (KERAS_BATCH if keras else shape[0], *shape[1:])).astype(np.float32)
    np.save(batch, images[: shape[0]])
    np.save(large, images)
    model = filled_model(read, part, folder)
    work = count_work(model, tuple(shape))
    times.multiply_adds = work.multiply_adds
    assert read.card.graphs is not None
    outputs = read.card.graphs.parts[part].outputs
    base = {"package": str(package), "part": part, "model": str(model), "input": str(batch), "outputs": outputs}
    specs: dict[str, tuple[dict[str, object], str]] = {
        TORCH: ({**base, "runtime": "torch"}, ""),
        ONNX: ({**base, "runtime": "onnx"}, ""),
        OPENVINO: ({**base, "runtime": "openvino"}, "openvino"),
    }
    if _has_cuda():
        specs[CUDA] = ({**base, "runtime": "onnx", "device": "cuda"}, "")
    if keras is not None:
        own = {"runtime": "keras", "model": str(keras), "input": str(large), "outputs": ["encoding"]}
        specs[KERAS] = (own, "tensorflow")
    if roof:
        for library, name in PRODUCTS.items():
            specs[name] = ({"runtime": "products", "library": library, "products": work.products}, "")
    with ExitStack() as stack:
        turns = {}
        for number, (name, (spec, where)) in enumerate(specs.items()):
            python = environment(where) if where else None
            if isinstance(python, Missing):
                times.missing[name] = python.reason
                continue
            if "products" not in spec:
                spec["answers"] = str(folder / f"{number}.npz")
            try:
                child = stack.enter_context(Child(spec, folder / f"{number}", python=python))
            except ChildError as error:
                times.missing[name] = f"it did not run here: {error}"
                continue
            turns[name] = Turns(child, every=KERAS_BATCH // shape[0] if name == KERAS else 1)
            times.runtimes[name] = child.runtime
            if name != TORCH and "answers" in spec:
                shared = ["encoding"] if name == KERAS else outputs
                times.differences[name] = largest_difference(folder / "0.npz", Path(str(spec["answers"])), shared)
        times.seconds = interleave(turns, rounds)
    if KERAS in times.seconds:
        times.seconds[KERAS] = [seconds * shape[0] / KERAS_BATCH for seconds in times.seconds[KERAS]]
    return times


def crowding(package: Path, shape: Sequence[int], folder: Path, *, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Time a network alone and while a second process does the same: seconds by runtime, ``"alone"`` and ``"two"``."""
    folder.mkdir(parents=True, exist_ok=True)
    batch = folder / "crowd.npy"
    np.save(batch, np.random.default_rng(1).uniform(0, 1, shape).astype(np.float32))
    found: dict[str, dict[str, list[float]]] = {}
    for name, runtime in ((TORCH, "torch"), (ONNX, "onnx")):
        spec = {"runtime": runtime, "package": str(package), "part": "", "input": str(batch)}
        with Child(spec, folder / "a") as one, Child(spec, folder / "b") as other:
            seconds: dict[str, list[float]] = {"alone": [], "two": []}
            for _ in range(rounds):
                seconds["alone"].append(one.round())
                one.start()
                other.start()
                seconds["two"].append(max(one.finish(), other.finish()))
        found[name] = seconds
    return found


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
