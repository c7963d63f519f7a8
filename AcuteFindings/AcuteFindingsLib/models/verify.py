"""The proof that a model package is what it says."""

from importlib.util import find_spec

from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage
from AcuteFindingsLib.models.runtime.program import is_program, load_program_predictor


def verify_package(package: ModelPackage, *, build: BuildNetwork | None = None) -> None:
    """Prove the whole package: checksums, then that graphs and weights fit and can be run, then every tensor.

    Tensors are held against the network that the card names where torch is installed; where it is not, those that the
    graphs ask for are held against what the graphs say of them.

    Parameters
    ----------
    package
        As `read_package` gives it.
    build
        Makes the network from its name and arguments; `AcuteFindingsLib.networks.build_network` when None.

    Raises
    ------
    ModelError
        Names the file, field or tensors at fault.
    """
    package.verify_files()
    if is_program(package.card.network):
        load_program_predictor(package, device="cpu")
        return
    graphs = package.card.graphs
    if graphs is not None and graphs.parts:
        from AcuteFindingsLib.models.runtime.graph_predictor import graph_files, load_graph_predictor

        predictor = load_graph_predictor(package, device="cpu")
        for file in graph_files(package.card):
            predictor.open(file)
        if find_spec("torch") is None:
            return
    from AcuteFindingsLib.models.runtime.torch_weights import load_network

    load_network(package, build=build)
