"""The proof that a model package is what it says."""

from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage
from AcuteFindingsLib.models.runtime.program import is_program, load_program_predictor


def verify_package(package: ModelPackage, *, build: BuildNetwork | None = None) -> None:
    """Prove the whole package: checksums, then names, shapes and finite values of all tensors.

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
    from AcuteFindingsLib.models.runtime.torch_weights import load_network

    load_network(package, build=build)
