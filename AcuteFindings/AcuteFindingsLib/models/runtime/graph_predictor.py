"""A model package that answers through ONNX Runtime, by its graphs; torch is not needed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import CancelledError, ModelError
from AcuteFindingsLib.last_resort import out_of_memory
from AcuteFindingsLib.models.device import choose_onnx_device
from AcuteFindingsLib.models.files import METADATA
from AcuteFindingsLib.models.graphs.check import check_graph
from AcuteFindingsLib.models.graphs.fill import StoredTensors, fill_graph
from AcuteFindingsLib.models.heat import explain_batch
from AcuteFindingsLib.models.metadata import Card, Graphs
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Explained
from AcuteFindingsLib.models.runtime.occlusion import OCCLUSION, explain_by_covering
from AcuteFindingsLib.models.runtime.session import (
    Session,
    devices_of,
    line_of,
    notices_of,
    onnxruntime_version,
    open_session,
)
from AcuteFindingsLib.models.task import VOLUME_MASK
from AcuteFindingsLib.progress import Cancelled
from AcuteFindingsLib.study.notice import Notice


class GraphPredictor:
    """The `Predictor` of a verified package with graphs.

    A graph is opened when it is first asked: a detector that always explains never needs the part's plain graph.

    Attributes
    ----------
    card, version, sha256
        Of the package; `sha256` is that of its weights file.
    one_pass, explanation
        Whether a graph says where the network looked, and how that is found.
    sessions
        The graphs that are open, by their file in the package.
    """

    def __init__(self, open_graph: Callable[[str], Session], *, card: Card, version: str, sha256: str, device: str):
        """Open nothing yet; `open_graph` opens a file of the package, on the device asked for."""
        self.card = card
        self.version = version
        self.sha256 = sha256
        self.sessions: dict[str, Session] = {}
        self._graphs = graphs_of(card)
        self.one_pass = self._graphs.explaining is not None
        self.explanation = self._graphs.explaining.method if self._graphs.explaining else OCCLUSION
        self._open_graph, self._asked = open_graph, device

    @property
    def device(self) -> str:
        """Where the graphs compute now."""
        return devices_of(list(self.sessions.values())) or choose_onnx_device(self._asked)

    @property
    def runtime(self) -> str:
        """What computes, with its version."""
        return onnxruntime_version()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the device has to say of itself."""
        return notices_of(list(self.sessions.values()))

    def predict(self, batch: np.ndarray, *, part: str = "") -> dict[str, np.ndarray]:
        """Run a part of the network on one batch; see `Predictor.predict`, and `predict_until` for what is raised."""
        return self.predict_until(batch, part=part)

    def predict_until(
        self, batch: np.ndarray, *, part: str = "", cancelled: Cancelled | None = None
    ) -> dict[str, np.ndarray]:
        """Do what `predict` does, and stop within it where asked to; see `predictor.Stoppable`.

        Raises
        ------
        ModelError
            When there is no such part, it does not take a batch of this shape, or the memory does not suffice.
        """
        parts = self._graphs.parts
        if part not in parts:
            raise ModelError(f"The model {self.card.id!r} has no part {part!r}; it has {sorted(parts)}.")
        names = parts[part].outputs
        session = self.open(parts[part].file)
        return dict(zip(names, run_graph(session, names, batch, cancelled=cancelled), strict=True))

    def predict_explained(
        self, batch: np.ndarray, *, outputs: Sequence[str], part: str = "", then: str = ""
    ) -> Explained:
        """Run the graph that answers and explains; see `Predictor.predict_explained`.

        Without such a graph the picture is covered square after square (`occlusion.explain_by_covering`).

        Raises
        ------
        ModelError
            As `predict`, and when the graph does not explain these outputs.
        """
        stated = self._graphs.explaining
        if stated is None:
            return explain_by_covering(self, batch, outputs=outputs, part=part, then=then)
        outputs = [name for name in outputs if name in stated.explains]
        if not outputs or (part, then) != (stated.part, stated.then):
            raise ModelError(
                f"The graphs of model {self.card.id!r} explain {', '.join(stated.explains)} of the part "
                f"{(stated.then or stated.part)!r} and nothing else; load it with PyTorch."
            )
        names = [*stated.outputs, *map(map_name, outputs)]
        values = run_graph(self.open(stated.file), names, batch)
        count = len(stated.outputs)
        return Explained(
            dict(zip(stated.outputs, values[:count], strict=True)), dict(zip(outputs, values[count:], strict=True))
        )

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return Grad-CAM of one output number for each item; see `models.heat.explain_batch`."""
        return explain_batch(self, batch, output=output, index=index, part=part, then=then)

    def open(self, file: str) -> Session:
        """Return the graph of a file, opened if it is not; raises `ModelError` where it does not fit its weights."""
        if file not in self.sessions:
            self.sessions[file] = self._open_graph(file)
        return self.sessions[file]


def map_name(output: str) -> str:
    """Return what a graph calls the maps of an output."""
    return f"looked_{output}"


def run_graph(
    session: Session, names: Sequence[str], batch: np.ndarray, *, cancelled: Cancelled | None = None
) -> list[np.ndarray]:
    """Return what a graph gives for one batch, by the names of its outputs; `cancelled` is asked while it runs.

    Raises
    ------
    ModelError
        It takes no batch of this shape, or the memory does not suffice.
    """
    try:
        feeds = {session.inputs[0].name: np.ascontiguousarray(batch, dtype=np.float32)}
        return session.run(names, feeds, cancelled=cancelled)
    except CancelledError:
        raise
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


def load_graph_predictor(package: ModelPackage, *, device: str = "auto", threads: int | None = None) -> GraphPredictor:
    """Verify a package with graphs.

    Parameters
    ----------
    package
        As `read_package` gives it.
    device, threads
        As `session.open_session` takes them.

    Raises
    ------
    ModelError
        Whatever is wrong with the package, before anything of it is run, or the device is not there.
    """
    package.verify_once()
    choose_onnx_device(device)
    card = package.card
    weights = package.file(package.weights)
    if weights.suffix != ".safetensors":
        raise ModelError(f"{package.folder / METADATA} states graphs, but the weights are not safetensors.")
    stored, files = StoredTensors(weights), {}
    for file, outputs in graph_files(card).items():
        files[file] = package.file(file).read_bytes()
        name = _name(package, file)
        found = check_graph(files[file], name=name)
        missing = [output for output in outputs if output not in found.outputs]
        if missing or len(found.inputs) != 1:
            raise ModelError(f"{name} does not give {', '.join(missing) or 'answers to one batch'}, as its card says.")
        for tensor, (shape, _) in found.lacking.items():
            there = stored.shape(tensor) if tensor in stored else None
            if there != shape:
                told = "missing there" if there is None else f"{there} there, expected {shape}"
                raise ModelError(f"{name} does not fit its weights: {tensor} is {told}.")

    def open_graph(file: str) -> Session:
        name = _name(package, file)
        # The weights are read again for each graph, so that they are not held beside the sessions.
        model = fill_graph(files[file], StoredTensors(weights), name=name)
        # A block of a volume takes gigabytes, and most of them only for a moment.
        keeps_memory = card.form != VOLUME_MASK
        return open_session(model, device=device, threads=threads, name=name, keeps_memory=keeps_memory)

    return GraphPredictor(open_graph, card=card, version=package.version, sha256=package.sha256, device=device)


def graph_files(card: Card) -> dict[str, list[str]]:
    """Return the outputs of each graph of a card by its file."""
    graphs = graphs_of(card)
    files = {part.file: list(part.outputs) for part in graphs.parts.values()}
    if graphs.explaining is not None:
        files[graphs.explaining.file] = [*graphs.explaining.outputs, *map(map_name, graphs.explaining.explains)]
    return files


def _name(package: ModelPackage, file: str) -> str:
    return f"The model {package.id!r} ({Path(file).name})"
