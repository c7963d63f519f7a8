"""A public model that can be had: what a panel shows of it before it is there."""

from dataclasses import dataclass, fields
from typing import Any

from slicer.i18n import tr as _

_SHOWN_FIGURES = 4


@dataclass(frozen=True)
class PublicOffer:
    """One public model, as the worker's `public_models` lists it.

    Attributes
    ----------
    address
        What an import takes.
    source
        Where the model is published.
    description
        File of a description of the user's own; ``""`` for those that ship.
    needs_consent
        Whether the license has to be agreed to before the import.
    needs
        Why it cannot be imported today; empty where it can.
    torch
        Whether it needs PyTorch.
    figures, figures_from
        What its authors published, in words, and where.
    """

    id: str
    address: str
    source: str
    task: str
    title: str
    told: str
    megabytes: float
    license: str
    commercial: bool
    license_text: str
    needs_consent: bool
    needs: str
    torch: bool
    recommended: bool
    trained_on: str
    phantoms_only: bool
    limitations: str
    figures: tuple[str, ...]
    figures_from: tuple[str, ...]
    license_address: str = ""
    description: str = ""

    @property
    def size_text(self) -> str:
        """What is downloaded, for a list."""
        if not self.megabytes:
            return _("size unknown")
        return _("{size} MB").format(size=f"{self.megabytes:.0f}")

    @property
    def license_line(self) -> str:
        """The license in one line, with what it forbids."""
        return self.license if self.commercial else _("{license} (not for commercial use)").format(license=self.license)


def offer_of(values: dict[str, Any]) -> PublicOffer:
    """Return what the worker says of a model; what this version does not know is left out."""
    known: dict[str, Any] = {field.name: values[field.name] for field in fields(PublicOffer) if field.name in values}
    for name in ("figures", "figures_from"):
        known[name] = tuple(known[name])
    return PublicOffer(**known)


def facts(offer: PublicOffer) -> str:
    """Return what is told of a model below the list: plain text, a line a fact."""
    lines = [offer.title, offer.told, _("Published at {address}.").format(address=offer.source)]
    if offer.needs:
        lines.append(_("Cannot be imported today: {reason}").format(reason=offer.needs))
    if offer.torch:
        lines.append(_("Needs PyTorch."))
    lines.append(_("Trained on: {data}").format(data=offer.trained_on))
    if offer.figures:
        lines.append(_("Published by its authors ({source}):").format(source="; ".join(offer.figures_from)))
    lines += [f"• {figure}" for figure in offer.figures[:_SHOWN_FIGURES]]
    further = len(offer.figures) - _SHOWN_FIGURES
    if further > 0:
        lines.append(_("• {count} further figures: on its model card.").format(count=further))
    lines.append(_("Limitations: {limitations}").format(limitations=offer.limitations))
    lines.append(
        _("License: {license}. Size: {size}.").format(license=offer.license_line, size=offer.size_text)
        + (f" {offer.license_address}" if offer.license_address else "")
    )
    return "\n".join(line for line in lines if line)
