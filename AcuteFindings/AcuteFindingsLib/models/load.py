"""A model package made ready to answer, by the runtime that its weights need."""

from dataclasses import dataclass, field

from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.runtime.program import is_program, load_program_predictor


@dataclass
class PredictorCache:
    """Loaded predictors, so that each model is verified and loaded once for each device.

    The caller owns it and decides how long the networks stay in memory.
    """

    predictors: dict[tuple[str, str, str], Predictor] = field(default_factory=dict)

    def clear(self) -> None:
        """Let go of every network."""
        self.predictors.clear()


def load_predictor(
    package: ModelPackage,
    *,
    device: str = "auto",
    cache: PredictorCache | None = None,
    build: BuildNetwork | None = None,
) -> Predictor:
    """Verify a package and load it onto a device; one of programs (TorchScript, ONNX) into what runs those.

    Parameters
    ----------
    package
        As `read_package` or `find_package` gives it.
    device
        ``"auto"`` (a CUDA graphics card where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    cache
        Where a predictor of the same metadata, weights and device is taken from, or kept; None loads anew.
    build
        Makes the network from its name and arguments; `AcuteFindingsLib.networks.build_network` when None.

    Raises
    ------
    ModelError
        When anything about the package is wrong, or the device is not there.
    """
    program = is_program(package.card.network)
    # ONNX Runtime has devices of its own.
    chosen = device if program else choose_device(device)
    key = (package.sha256, package.metadata.model_dump_json(), chosen)
    if cache is not None and key in cache.predictors:
        return cache.predictors[key]
    predictor: Predictor
    if program:
        predictor = load_program_predictor(package, device=device)
    else:
        from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
        from AcuteFindingsLib.models.runtime.torch_weights import load_network

        predictor = TorchPredictor(
            load_network(package, build=build),
            card=package.card,
            version=package.version,
            sha256=package.sha256,
            device=chosen,
        )
    if cache is not None:
        cache.predictors[key] = predictor
    return predictor
