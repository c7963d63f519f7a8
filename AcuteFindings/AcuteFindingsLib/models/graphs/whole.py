"""A package's graphs with their weights, as ONNX files for other programs."""

from pathlib import Path

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.graphs.fill import StoredTensors, fill_graph
from AcuteFindingsLib.models.package import ModelPackage


def write_whole(package: ModelPackage, out: Path) -> list[Path]:
    """Write each part of a package's network as an ONNX file that needs no other.

    They take what the card's preprocessing makes of an image and give logits, single precision.

    Parameters
    ----------
    package
        With graphs; it is verified.
    out
        Folder; made where there is none.

    Returns
    -------
    list of Path
        The files, one a part: ``ID-PART.onnx``, ``ID.onnx`` for a network of one part.

    Raises
    ------
    ModelError
        The package is damaged or has no graphs, or a file is there already.
    """
    package.verify_files()
    graphs = package.card.graphs
    if graphs is None or not graphs.parts:
        why = f" ({graphs.reason})" if graphs is not None and graphs.reason else ""
        raise ModelError(f"The model {package.id!r} has no graphs for ONNX Runtime{why}, so there is none to write.")
    files = {part: out / f"{package.id}{f'-{part}' if part else ''}.onnx" for part in graphs.parts}
    there = [file for file in files.values() if file.exists()]
    if there:
        raise ModelError(f"{there[0]} exists already; choose another folder.")
    tensors = StoredTensors(package.folder / package.weights)
    whole = {
        files[part]: fill_graph(package.file(stated.file).read_bytes(), tensors, name=f"The graph {stated.file}")
        for part, stated in graphs.parts.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    for file, content in whole.items():
        with replace_when_written(file) as partial:
            partial.write_bytes(content)
    return list(whole)
