"""A model package made ready to answer, by the runtime that its weights need."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.device import choose_device, only_torch_has
from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.runtime.program import is_program, load_program_predictor
from AcuteFindingsLib.packages import torch_missing

Runtime = Literal["auto", "onnx", "torch"]


@dataclass
class PredictorCache:
    """Loaded predictors, so that each model is verified and loaded once for each device.

    The caller owns it and decides how long the networks stay in memory.
    """

    predictors: dict[tuple[str, ...], Predictor] = field(default_factory=dict)

    def clear(self) -> None:
        """Let go of every network."""
        self.predictors.clear()


def load_predictor(
    package: ModelPackage,
    *,
    device: str = "auto",
    cache: PredictorCache | None = None,
    build: BuildNetwork | None = None,
    runtime: Runtime = "auto",
    threads: int | None = None,
) -> Predictor:
    """Verify a package and load it onto a device, into what runs it.

    Parameters
    ----------
    package
        As `read_package` or `find_package` gives it.
    device
        One of `models.device.DEVICES`; with ``"auto"`` the best that the runtime has.
    cache
        Where a predictor of the same metadata, files, device and runtime is taken from, or kept; None loads anew.
    build
        Makes the network from its name and arguments; `AcuteFindingsLib.networks.build_network` when None.
    runtime
        ``"onnx"`` runs the package's graphs by ONNX Runtime, ``"torch"`` its network by PyTorch; ``"auto"`` takes the
        graphs where it has some, except on a CUDA card that only PyTorch can use. A package of programs is run by what
        these are made for.
    threads
        How many compute in ONNX Runtime; as many as it sees fit when None.

    Raises
    ------
    ModelError
        When anything about the package is wrong, the device is not there, or what runs it is not installed.
    """
    program = is_program(package.card.network)
    by_graphs = not program and _by_graphs(package, runtime, device)
    # ONNX Runtime has devices of its own.
    chosen = device if program or by_graphs else _torch_device(package, device)
    files = ",".join(f"{name}={sum_}" for name, sum_ in package.checksums.items() if name.startswith("models/"))
    key = (files, package.metadata.model_dump_json(), chosen, "onnx" if by_graphs else "torch", str(threads))
    # One whose device failed is loaded anew: the device may be there again.
    if cache is not None and key in cache.predictors and not _failed(cache.predictors[key]):
        return cache.predictors[key]
    predictor: Predictor
    if program:
        predictor = load_program_predictor(package, device=device)
    elif by_graphs:
        from AcuteFindingsLib.models.runtime.graph_predictor import load_graph_predictor

        predictor = load_graph_predictor(package, device=device, threads=threads)
    else:
        predictor = _load_torch(package, chosen, build)
    if cache is not None:
        cache.predictors[key] = predictor
    return predictor


def _failed(predictor: Predictor) -> bool:
    return any(notice.severity == "warn" for notice in predictor.notices)


def _by_graphs(package: ModelPackage, runtime: Runtime, device: str) -> bool:
    graphs = package.card.graphs
    if graphs is None or not graphs.parts:
        if runtime == "onnx":
            reason = f": {graphs.reason}" if graphs is not None and graphs.reason else ""
            raise ModelError(f"The model {package.id!r} has no graphs for ONNX Runtime{reason}; choose PyTorch.")
        return False
    if runtime == "auto":
        # As long as PyTorch does, a missing ONNX Runtime is no reason to refuse.
        if find_spec("torch") is None:
            return True
        return find_spec("onnxruntime") is not None and not only_torch_has(device)
    return runtime == "onnx"


def _torch_device(package: ModelPackage, device: str) -> str:
    if find_spec("torch") is None:
        graphs = package.card.graphs is not None and package.card.graphs.parts
        told = "run as asked," if graphs else "which has no graphs for ONNX Runtime,"
        missing = torch_missing(what=f"The model {package.id!r}, {told}")
        assert missing is not None
        raise missing
    return choose_device(device)


def _load_torch(package: ModelPackage, device: str, build: BuildNetwork | None) -> Predictor:
    from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
    from AcuteFindingsLib.models.runtime.torch_weights import load_network

    return TorchPredictor(
        load_network(package, build=build),
        card=package.card,
        version=package.version,
        sha256=package.sha256,
        device=device,
    )
