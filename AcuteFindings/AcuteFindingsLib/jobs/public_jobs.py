"""What the worker process does about public models: lists what descriptions tell of them, and imports one."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.jobs.messages import Request
from AcuteFindingsLib.jobs.tools import Tools

if TYPE_CHECKING:
    from AcuteFindingsLib.models.public.description import ImportDescription

_PAGE = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_TREE = re.compile(r"/(?:tree|blob|resolve)/([^/?#]+).*")


def hub_address(text: str) -> str:
    """Return ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION`` of what a person typed or copied out of a browser.

    Anything else is returned as it is; reading it then says what is wrong.
    """
    address = text.strip()
    page = _PAGE.match(address)
    if page is not None:
        address = "hf:" + re.split(r"[?#]", _TREE.sub(r"@\1", address[page.end() :]))[0].rstrip("/")
    elif re.fullmatch(r"[\w.-]+/[\w.-]+(?:@[\w.-]+)?", address):
        address = f"hf:{address}"
    return address


def public_models(request: Request, _tools: "Tools") -> dict[str, Any]:
    """List public models: those of the descriptions that ship, or the one of an address or of a user's description."""
    from AcuteFindingsLib.models.public.recommended import find_description, read_description, shipped_descriptions

    address, file = request.optional_text("address"), request.optional_text("description")
    if file:
        return {"models": [_offer(read_description(Path(file)), description=file)]}
    if address:
        whole = hub_address(address)
        name, at, _revision = whole.partition("@")
        return {"models": [_offer(find_description(name), address=whole if at else "")]}
    return {"models": [_offer(one) for one in shipped_descriptions()]}


def import_public(request: Request, tools: "Tools") -> dict[str, Any]:
    """Import a public model; stopped, it keeps what has come for the next time."""
    from AcuteFindingsLib.models.public.import_public import import_public as import_it

    tools.at("Starting the import", 0.0)
    file = request.optional_text("description")
    package = import_it(
        request.text("address"),
        description=Path(file) if file else None,
        agreed=request.flag("agreed"),
        progress=tools.progress,
        cancelled=tools.cancelled,
    )
    return {"folder": str(package.folder), "id": package.id}


def _offer(one: "ImportDescription", *, address: str = "", description: str = "") -> dict[str, Any]:
    """Return what a list shows of a public model; `address` is what an import takes, the id where it is empty."""
    from AcuteFindingsLib.models.evidence import published_figures
    from AcuteFindingsLib.models.public.consent import needs_consent

    figures = published_figures({"published": [figure.model_dump(mode="json") for figure in one.published]})
    return {
        "id": one.id,
        "address": address or (one.address if description else one.id),
        "source": one.address,
        "description": description,
        "task": one.task,
        "title": one.title,
        "told": one.told,
        "megabytes": one.megabytes,
        "license": one.license.name,
        "commercial": one.license.commercial,
        "license_text": one.license.text,
        "license_address": one.license.address,
        "needs_consent": needs_consent(one),
        "needs": one.needs,
        "torch": one.torch,
        "recommended": one.recommended,
        "trained_on": one.training_data.summary,
        "phantoms_only": one.training_data.phantoms_only,
        "limitations": one.limitations,
        "figures": [text for text, _source in figures],
        "figures_from": list(dict.fromkeys(source for _text, source in figures)),
    }
