"""A model package that answers through ONNX Runtime, by its graphs; torch is not needed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.last_resort import out_of_memory
from AcuteFindingsLib.models.files import METADATA, require_plain_file
from AcuteFindingsLib.models.graphs.fill import StoredTensors, fill_graph
from AcuteFindingsLib.models.metadata import Card, Graphs
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.runtime.session import Session, devices_of, line_of, notices_of, open_session
from AcuteFindingsLib.study.notice import Notice


class GraphPredictor:
    """The `Predictor` of a verified package with graphs.

    Attributes
    ----------
    card, version, sha256
        Of the package; `sha256` is that of its weights file.
    device
        Where ONNX Runtime computes.
    sessions
        The parts, ready to run.
    """

    explanation = "Grad-CAM"

    def __init__(
        self,
        sessions: Mapping[str, Session],
        *,
        card: Card,
        version: str,
        sha256: str,
        explainer: Callable[[], Predictor] | None = None,
    ) -> None:
        self.card = card
        self.version = version
        self.sha256 = sha256
        self.sessions = dict(sessions)
        self._graphs = graphs_of(card)
        self._explainer = explainer

    @property
    def device(self) -> str:
        """Where the parts compute now."""
        return devices_of(list(self.sessions.values()))

    @property
    def runtime(self) -> str:
        """What computes, with its version."""
        return next(iter(self.sessions.values())).runtime

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the device has to say of itself."""
        return notices_of(list(self.sessions.values()))

    def predict(self, batch: np.ndarray, *, part: str = "") -> dict[str, np.ndarray]:
        """Run a part of the network on one batch; see `Predictor.predict`.

        Raises
        ------
        ModelError
            When there is no such part, it does not take a batch of this shape, or the memory does not suffice.
        """
        if part not in self.sessions:
            raise ModelError(f"The model {self.card.id!r} has no part {part!r}; it has {sorted(self.sessions)}.")
        session, names = self.sessions[part], self._graphs.parts[part].outputs
        return dict(zip(names, run_graph(session, names, batch), strict=True))

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return where the network looked; see `Predictor.explain`."""
        if self._explainer is None:
            raise ModelError(f"The model {self.card.id!r} was loaded without what explains it.")
        return self._explainer().explain(batch, output=output, index=index, part=part, then=then)


def run_graph(session: Session, names: Sequence[str], batch: np.ndarray) -> list[np.ndarray]:
    """Return what a graph gives for one batch, by the names of its outputs.

    Raises
    ------
    ModelError
        It takes no batch of this shape, or the memory does not suffice.
    """
    try:
        return session.run(names, {session.inputs[0].name: np.ascontiguousarray(batch, dtype=np.float32)})
    except Exception as error:  # ONNX Runtime's own classes have no common base but this.
        if out_of_memory(error):
            raise ModelError(
                f"{session.name} needs more memory than there is left for {len(batch)} images at once; close other "
                "programs that use it."
            ) from error
        raise ModelError(
            f"{session.name} could not process a batch of shape {batch.shape}; it takes {session.inputs[0].shape}: "
            f"{line_of(error)}."
        ) from error


def graphs_of(card: Card) -> Graphs:
    """Return the graphs of a card; raises `ModelError` where it has none."""
    if card.graphs is None or not card.graphs.parts:
        raise ModelError(f"The model {card.id!r} has no graphs for ONNX Runtime.")
    return card.graphs


def load_graph_predictor(
    package: ModelPackage,
    *,
    device: str = "auto",
    threads: int | None = None,
    explainer: Callable[[], Predictor] | None = None,
) -> GraphPredictor:
    """Verify a package with graphs and make them ready to run.

    Parameters
    ----------
    package
        As `read_package` gives it.
    device, threads
        As `session.open_session` takes them.
    explainer
        Gives what explains the answers; None where nobody asks.

    Raises
    ------
    ModelError
        Whatever is wrong with the package, before anything of it is run, or the device is not there.
    """
    package.verify_files()
    card = package.card
    weights = package.folder / package.weights
    if weights.suffix != ".safetensors":
        raise ModelError(f"{package.folder / METADATA} states graphs, but the weights are not safetensors.")
    require_plain_file(weights, inside=package.folder)
    sessions = {}
    tensors = StoredTensors(weights)
    for part, stated in graphs_of(card).parts.items():
        if stated.file not in package.checksums:
            raise ModelError(f"{package.folder / stated.file} is named by the card but not in the model package.")
        name = f"The model {package.id!r} ({Path(stated.file).name})"
        model = fill_graph((package.folder / stated.file).read_bytes(), tensors, name=name)
        session = sessions[part] = open_session(model, device=device, threads=threads, name=name)
        del model
        given = [output.name for output in session.outputs]
        missing = [output for output in stated.outputs if output not in given]
        if missing or len(session.inputs) != 1:
            raise ModelError(f"{name} does not give {', '.join(missing) or 'answers to one batch'}, as its card says.")
    return GraphPredictor(sessions, card=card, version=package.version, sha256=package.sha256, explainer=explainer)
