"""TorchXRayVision: its 18-finding DenseNet121 for pneumothorax and the chest findings, its PSPNet for lungs."""

import importlib.metadata
import io
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from AcuteFindingsLib.detectors.pneumothorax.kind import KIND
from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.models.files import file_sha256
from AcuteFindingsLib.models.metadata import Label, OperatingPoint
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.providers.provided import ModelFacts, provided_package
from AcuteFindingsLib.providers.terms import Terms, read_terms
from AcuteFindingsLib.providers.torchxrayvision.weights_check import prove_harmless

if TYPE_CHECKING:
    from types import ModuleType

WEIGHTS = "densenet121-res224-all"

# The package's own scale: 0..1 becomes -1024..1024 (torchxrayvision.utils.normalize).
_SCALE = {"mean": 0.5, "std": 1 / 2048, "flip": False, "equalise": False}

_MAIN = KIND.task.labels[0]

# The package's name of each finding, ours, what it means, SNOMED CT where there is one concept for it.
FINDINGS = (
    ("Atelectasis", "atelectasis", "Atelectasis", "46621007"),
    ("Consolidation", "consolidation", "Consolidation", "95436008"),
    ("Infiltration", "infiltration", "Infiltration", ""),
    ("Pneumothorax", _MAIN.name, _MAIN.meaning, _MAIN.code),
    ("Edema", "edema", "Pulmonary edema", "19242006"),
    ("Emphysema", "emphysema", "Pulmonary emphysema", "87433001"),
    ("Fibrosis", "fibrosis", "Pulmonary fibrosis", "51615001"),
    ("Effusion", "effusion", "Pleural effusion", "60046008"),
    ("Pneumonia", "pneumonia", "Pneumonia", "233604007"),
    ("Pleural_Thickening", "pleural_thickening", "Pleural thickening", ""),
    ("Cardiomegaly", "cardiomegaly", "Cardiomegaly", "8186001"),
    ("Nodule", "nodule", "Lung nodule", ""),
    ("Mass", "mass", "Lung mass", ""),
    ("Hernia", "hernia", "Hiatal hernia", "84089009"),
    ("Lung Lesion", "lung_lesion", "Lung lesion", ""),
    ("Fracture", "fracture", "Fracture", "125605004"),
    ("Lung Opacity", "lung_opacity", "Lung opacity", ""),
    ("Enlarged Cardiomediastinum", "enlarged_cardiomediastinum", "Enlarged cardiomediastinum", ""),
)

_CHOSEN = "the package's own operating point, to which it normalizes its output (op_norm); not calibrated here"

CHEST_FACTS = ModelFacts(
    network=f"torchxrayvision.models.DenseNet, {WEIGHTS}",
    labels=tuple(Label(name=name, meaning=meaning, code=code) for _, name, meaning, code in FINDINGS),
    points=tuple(
        OperatingPoint(level="study", label=name, threshold=0.5, chosen=_CHOSEN) for _, name, _, _ in FINDINGS
    ),
    preprocessing={"size": 224, **_SCALE},
    limitations="It detects a pneumothorax but draws no outline. Pictures that are not square are padded, so that "
    "nothing is cut off; its authors cropped them. Infants and lateral views were not in its training data as such.",
    rule={},
)

LUNG_FACTS = ModelFacts(
    network="torchxrayvision.baseline_models.chestx_det.PSPNet",
    labels=(Label(name="lungs", meaning="Lungs", code="39607008"),),
    points=(
        OperatingPoint(level="mask", label="lungs", threshold=0.5, chosen="sigmoid of its output; not calibrated"),
    ),
    preprocessing={"size": 512, **_SCALE},
    limitations="The parts of the lungs behind heart and diaphragm are left out.",
    rule={},
)


class ChestFindings(nn.Module):
    """The package's DenseNet, giving logits by name as our chest models do."""

    gradcam_layer = "network.features"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        order = [str(name) for name in network.targets]  # type: ignore[union-attr]
        known = [theirs for theirs, *_ in FINDINGS]
        if sorted(order) != sorted(known):
            raise ProviderError(f"TorchXRayVision's findings are {order}, expected {known}; install {_requirement()}.")
        self.order = [order.index(theirs) for theirs in known]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"pathologies": (n, 18)}``: logits of the package's probabilities, 0 at its operating points."""
        probability = self.network(images)[:, self.order]
        return {"pathologies": probability.clamp(1e-6, 1 - 1e-6).logit()}


class LungFields(nn.Module):
    """The package's PSPNet, giving one mask of both lungs as our lung models do."""

    gradcam_layer = "network.model"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        order = [str(name) for name in network.targets]  # type: ignore[union-attr]
        self.sides = [order.index("Left Lung"), order.index("Right Lung")]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{"mask": (n, 1, 512, 512)}``: logits of either lung."""
        return {"mask": self.network(images)[:, self.sides].amax(1, keepdim=True)}


def load_chest(
    *,
    device: str = "auto",
    cache: Path | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> TorchPredictor:
    """Return the 18-finding DenseNet121 as a `Predictor`; its package fetches the weights where they are not there.

    Parameters
    ----------
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    cache
        Folder of the weights; the package's own (``~/.torchxrayvision/models_data``) when None.

    Raises
    ------
    ProviderError
        The package is missing, or its weights cannot be fetched, are damaged, or hold more than weights.
    """
    xrv = _package()
    place = str(cache) if cache is not None else None
    with _fetching("the chest findings", progress, cancelled):
        file = Path(xrv.models.get_weights(WEIGHTS, place))
    prove_harmless(file, modules=_network_modules(xrv))
    with _opening(file):
        network = xrv.models.DenseNet(weights=WEIGHTS, cache_dir=place)
    return _predictor(ChestFindings(network), task="chest", file=file, device=device)


def load_lungs(
    *,
    device: str = "auto",
    cache: Path | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> TorchPredictor:
    """Return the PSPNet's lung fields as a `Predictor`; see `load_chest`."""
    xrv = _package()
    import torchxrayvision.baseline_models.chestx_det as chestx_det

    with _fetching("the lungs", progress, cancelled):
        try:
            network = chestx_det.PSPNet(cache_dir=str(cache) if cache is not None else None)
        except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
            raise ProviderError(
                f"The lung weights of TorchXRayVision in {cache or xrv.utils.get_cache_dir()} are damaged "
                f"({str(error)[:120]}); delete them, so that they are fetched again."
            ) from error
    file = Path(network.weights_filename_local)
    return _predictor(LungFields(network), task="lungs", file=file, device=device)


def package_of(*, task: str, version: str, sha256: str) -> ModelPackage:
    """Return the package that stands for the PSPNet (task ``"lungs"``) or else for the DenseNet."""
    facts = LUNG_FACTS if task == "lungs" else CHEST_FACTS
    title = "TorchXRayVision PSPNet, lungs" if task == "lungs" else "TorchXRayVision DenseNet121, 18 findings"
    return provided_package(terms(), facts, task=task, version=version, sha256=sha256, title=title)


def terms() -> Terms:
    """Return what a person has to know of TorchXRayVision."""
    return read_terms(Path(__file__).with_name("terms.json"))


def _predictor(network: nn.Module, *, task: str, file: Path, device: str) -> TorchPredictor:
    version = importlib.metadata.version("torchxrayvision")
    package = package_of(task=task, version=version, sha256=file_sha256(file))
    return TorchPredictor(
        network, card=package.card, version=version, sha256=package.sha256, device=choose_device(device)
    )


def _package() -> "ModuleType":
    try:
        import torchxrayvision
    except ImportError as error:
        raise ProviderError(
            f"The package torchxrayvision is not installed: run `pip install '{_requirement()}'` or "
            f"`acutefindings providers install {terms().id}`."
        ) from error
    return torchxrayvision


def _requirement() -> str:
    return terms().requirement


def _network_modules(xrv: "ModuleType") -> list[Any]:
    import torchvision.models.densenet

    # Networks saved by the package's own training script are of its classes; older ones of torchvision's.
    return [xrv.models, torchvision.models.densenet]


class _Told(io.StringIO):
    """What the package prints, read for the bar that it draws while it downloads."""

    def __init__(self, what: str, progress: Progress, cancelled: Cancelled) -> None:
        super().__init__()
        self._what, self._progress, self._cancelled = what, progress, cancelled

    def write(self, text: str) -> int:
        stop_if(self._cancelled, left="what was fetched is kept and the rest fetched next time")
        bar = re.search(r"\[(█*)", text)
        if bar or "Downloading" in text:
            share = len(bar[1]) / 50 if bar else 0.0
            self._progress(f"Fetching the weights of TorchXRayVision for {self._what}: {100 * share:.0f} %", share)
        return len(text)


@contextmanager
def _fetching(what: str, progress: Progress, cancelled: Cancelled) -> Iterator[None]:
    import requests

    try:
        with redirect_stdout(_Told(what, progress, cancelled)):
            yield
    except (requests.RequestException, OSError) as error:
        raise ProviderError(
            f"The weights of TorchXRayVision for {what} could not be fetched ({type(error).__name__}): check the "
            "connection and the proxy, or copy ~/.torchxrayvision/models_data from a computer that has them."
        ) from error


@contextmanager
def _opening(file: Path) -> Iterator[None]:
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except (RuntimeError, AttributeError, KeyError, EOFError) as error:
        raise ProviderError(
            f"{file} does not fit TorchXRayVision's network ({str(error)[:120]}); "
            "delete it, so that it is fetched again."
        ) from error
