"""A provider's model in the form in which detectors, reports and lists know models."""

from dataclasses import dataclass
from typing import Any, cast

from AcuteFindingsLib.models.metadata import Card, Label, Metadata, Network, OperatingPoint, Origin, Task, TrainingData
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.providers.terms import Terms
from AcuteFindingsLib.study.notice import Notice


@dataclass(frozen=True)
class ModelFacts:
    """What is known of one model of a provider before its weights are there.

    Attributes
    ----------
    network
        Its name in the provider's package.
    labels, points, preprocessing, rule
        As in a model package's card.
    limitations
        What it does not do, in words.
    """

    network: str
    labels: tuple[Label, ...]
    points: tuple[OperatingPoint, ...]
    preprocessing: dict[str, Any]
    limitations: str
    rule: dict[str, Any]


def provided_package(
    provider: Terms, facts: ModelFacts, *, task: str, version: str, sha256: str, title: str = ""
) -> ModelPackage:
    """Return a model package that stands for a provider's model: its card is complete, its weights lie elsewhere.

    Parameters
    ----------
    version
        Of the provider's package.
    sha256
        Of the weights file that the provider's package fetched.
    """
    card = Card(
        id=provider.id,
        task=cast(Task, task),
        title=title or provider.title,
        network=Network(name=facts.network),
        preprocessing=facts.preprocessing,
        labels=list(facts.labels),
        operating_points=list(facts.points),
        rule=facts.rule,
        training_data=TrainingData(
            summary=provider.trained_on, phantoms_only=False, count="see the publications", restriction=provider.license
        ),
        evaluation=[],
        license=provider.license,
        intended_use="Research, as its authors publish it. Not for patients.",
        limitations=facts.limitations,
        sources=[*provider.citations, provider.source],
        # Measured by its authors, so all its labels are reported.
        origin=Origin(file=provider.source, sha256=sha256, form=f"{provider.package}, run by itself"),
    )
    metadata = Metadata(
        version=version,
        changelog={version: "as published"},
        monai_version="",
        pytorch_version="",
        numpy_version="",
        required_packages_version={provider.package: version},
        task=provider.title,
        description=provider.title,
        authors=provider.source,
        copyright=provider.license,
        network_data_format={},
        acutefindings=card,
    )
    return ModelPackage(provider.file.parent, metadata, {"models/model.pt": sha256})


def provider_notices(provider: Terms, version: str) -> tuple[Notice, ...]:
    """Say with every result whose model it is, and that nobody has chosen its operating point here."""
    return (
        Notice(
            "provider-model",
            "info",
            f"The model is {provider.package} {version} by its own authors ({provider.source}); "
            f"please cite: {provider.citations[0]}",
        ),
        not_calibrated(provider.id),
    )


def not_calibrated(model: str) -> Notice:
    """Say that nobody has chosen a model's operating point here."""
    return Notice(
        "operating-point-not-calibrated",
        "warn",
        f"The operating point of {model} was not chosen on data of this project or of your site: where it "
        "separates yes from no is untested here.",
    )
