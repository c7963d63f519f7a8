"""The model card that a person reads, made from the one that a program reads."""

from collections.abc import Iterable

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.models.metadata import Card, Graphs, Metadata, Origin

_RUNTIME = "## Runtime"


def render_card(metadata: Metadata, text: str = "") -> str:
    """Return the model card in Markdown.

    Parameters
    ----------
    metadata
        What `configs/metadata.json` says.
    text
        Anything more to tell, Markdown; stands before the tables.
    """
    card = metadata.acutefindings
    data = card.training_data
    phantoms = ["**Trained on computer-made phantoms only: it has never seen a patient's image.**"]
    unseen = [f"**Demonstration model: it never saw {card.never_saw}.**"] if card.never_saw else []
    parts = [
        f"# {card.title}",
        f"Model `{card.id}`, version {metadata.version}. {metadata.description}",
        f"**{RESEARCH_USE_ONLY}**",
        *(phantoms if data.phantoms_only else unseen),
        *([text.strip()] if text.strip() else []),
        "## Intended use",
        card.intended_use,
        "## Limitations",
        card.limitations,
        "## Training data",
        f"{data.summary}\n\nCount: {data.count}",
        *([f"Restriction: {data.restriction}"] if data.restriction else []),
        "## Evaluation",
        _table(
            ("Metric", "Value", "95 % interval", "Cases", "Data", "Command"),
            (
                (i.metric, f"{i.value:.3f}", f"{i.low:.3f} to {i.high:.3f}", str(i.count), i.data, f"`{i.command}`")
                for i in card.evaluation
            ),
            empty="Not evaluated.",
        ),
        *(["## Published figures", _published(card)] if card.published else []),
        *(f"![{_one_line(picture.caption)}]({picture.file})\n\n{picture.caption}" for picture in card.pictures),
        "## Operating points",
        _table(
            ("Level", "Label", "Threshold", "How it was chosen"),
            ((p.level, p.label, f"{p.threshold:g}", p.chosen) for p in card.operating_points),
            empty="None stated.",
        ),
        "## Outputs",
        _table(
            ("Label", "Meaning", "SNOMED CT"),
            ((label.name, label.meaning, label.code or "none") for label in card.labels),
            empty="None stated.",
        ),
        "## License and sources",
        f"License: {card.license} (full text in `LICENSE`). {metadata.copyright}",
        f"Authors: {metadata.authors}",
        *([_list(card.sources)] if card.sources else []),
        *(["## Import", _import(card.origin)] if card.origin else []),
        *([_RUNTIME, runtime_sentence(card.graphs)] if card.graphs else []),
        "## Versions",
        _list(f"{version}: {change}" for version, change in metadata.changelog.items()),
    ]
    return "\n\n".join(parts) + "\n"


def runtime_sentence(graphs: Graphs) -> str:
    """Return what runs a model, and how its graphs were proven."""
    if not graphs.parts:
        return f"Needs PyTorch: it has no graphs for ONNX Runtime. The reason: {graphs.reason or 'not stated'}."
    parts = ", ".join(part or "forward" for part in graphs.parts)
    proof = "not compared with PyTorch"
    if graphs.largest_difference is not None:
        proof = (
            f"largest difference to PyTorch {graphs.largest_difference:.1e} after the sigmoid, on {graphs.compared_on}"
        )
    told = f"Runs in ONNX Runtime without PyTorch: graphs of {parts} (operator set {graphs.opset}); {proof}."
    if graphs.unexplained:
        told += f" Its heat maps are occlusion maps there, for its gradient is not a graph: {graphs.unexplained}."
    return told


def with_runtime(text: str, graphs: Graphs) -> str:
    """Return a model card that is there already with what is said of its graphs today."""
    told = f"{_RUNTIME}\n\n{runtime_sentence(graphs)}\n\n"
    before, found, after = text.partition(f"{_RUNTIME}\n")
    if found:
        return before + told + after[after.find("## ") :] if "## " in after else before + told.rstrip("\n") + "\n"
    before, found, after = text.rpartition("## Versions\n")
    return before + told + found + after


def _published(card: Card) -> str:
    """Return what the authors state of their model; nothing of it was measured here."""
    told = "As its authors state; not measured with this package.\n\n"
    return told + _table(
        ("Metric", "Label", "Value", "95 % interval", "Cases", "Data", "Source"),
        (
            (
                one.metric,
                one.label or "all",
                f"{one.value:.3f}" if abs(one.value) <= 1 else f"{one.value:g}",
                "not stated" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}",
                one.count,
                one.data,
                one.source,
            )
            for one in card.published
        ),
        empty="None.",
    )


def _import(origin: Origin) -> str:
    proof = "**Not compared with its source.**"
    if origin.largest_difference is not None:
        proof = f"Compared with {origin.compared_with}: {differences(origin)}."
    revision = f", revision `{origin.revision}`" if origin.revision else ""
    told = f"From `{origin.file}`{revision} ({origin.form}), SHA-256 `{origin.sha256}`. {proof}"
    files = _list(f"`{path}`: SHA-256 `{sha256}`" for path, sha256 in origin.files.items())
    return "\n\n".join(part for part in (f"{told} {origin.remark}".strip(), files) if part)


def differences(origin: Origin) -> str:
    """Return how far import and source differ, in words; `largest_difference` must be known."""
    told = f"largest difference {origin.largest_difference:.1e} in the network's outputs on the same input"
    if origin.detector_difference is None:
        return told
    return f"{told}, {origin.detector_difference:.1e} in the detector's answers for a phantom (probabilities and masks)"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, empty: str) -> str:
    lines = [_row(row) for row in rows]
    return "\n".join([_row(head), _row(("---",) * len(head)), *lines]) if lines else empty


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in cells) + " |"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
