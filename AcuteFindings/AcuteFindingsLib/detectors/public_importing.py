"""Public models whose files one of the importers reads: converted with what their description says of them."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from AcuteFindingsLib.detectors.import_proof import detector_difference
from AcuteFindingsLib.detectors.importing import import_model
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.import_model import Identity
from AcuteFindingsLib.models.metadata import Card, Origin
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.public.description import ImportDescription


def import_files(
    description: ImportDescription,
    files: Mapping[str, Path],
    *,
    out: Path,
    origin: Origin,
    compare: bool = True,
    replace: bool = False,
) -> ModelPackage:
    """Import downloaded files by the importer that their description names; needs PyTorch.

    Parameters
    ----------
    files
        By the keys of the description. The first is the model; the others are further parts (`Options.also`) by key.
    origin
        Where the files come from; what the importer compares is added to it.

    Raises
    ------
    ModelError
        As `detectors.importing.import_model`.
    """
    known = {field.name for field in fields(Options)} - {"task", "tasks", "also"}
    unknown = [name for name in description.options if name not in known]
    if unknown:
        raise ModelError(
            f"The import description {description.id} states the option {unknown[0]!r}, which no importer has; choose "
            f"{', '.join(sorted(known))}."
        )
    main, *others = files
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in description.options.items()
    }

    def described(card: Card) -> Card:
        """Say of the model what its description says; what the importer found out stays."""
        own = card.origin or origin
        stated = {
            "companions": dict(description.companions),
            "training_data": description.training_data,
            "published": list(description.published),
            "intended_use": description.intended_use,
            "limitations": description.limitations,
            "sources": list(dict.fromkeys((*description.sources, *card.sources))),
            "rule": dict(description.rule) or card.rule,
            "labels": list(description.labels) or card.labels,
            "operating_points": list(description.operating_points) or card.operating_points,
            "preprocessing": {**card.preprocessing, **description.preprocessing},
            "origin": origin.model_copy(
                update={
                    "form": own.form,
                    "compared_with": own.compared_with,
                    "largest_difference": own.largest_difference,
                    "detector_difference": own.detector_difference,
                    "remark": f"{own.remark} {origin.remark}".strip(),
                }
            ),
        }
        return card.model_copy(update=stated)

    return import_model(
        files[main],
        architecture=description.importer,
        out=out,
        options=Options(task=description.task, also={key: files[key] for key in others}, **options),
        identity=Identity(
            id=description.id,
            title=description.title,
            license=description.license.name,
            license_text=description.license.text,
            trained_on=description.training_data.summary,
        ),
        prove=compare,
        say=detector_difference,
        replace=replace,
        described=described,
    )
