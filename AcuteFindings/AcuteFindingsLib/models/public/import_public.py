"""A public model as a package here: downloaded, renamed, checked against its graphs, compared and written."""

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import file_sha256
from AcuteFindingsLib.models.find import shipped_versions
from AcuteFindingsLib.models.metadata import Origin
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.public.card import card_of, data_format_of
from AcuteFindingsLib.models.public.consent import give_consent, require_consent
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.models.public.hub import SHA256, Found, Hub, require_room
from AcuteFindingsLib.models.public.hub_fetch import fetch
from AcuteFindingsLib.models.public.hub_look_up import look_up
from AcuteFindingsLib.models.public.proof import NOT_COMPARED, compare_graphs
from AcuteFindingsLib.models.public.recommended import find_description, graph_bytes, read_description
from AcuteFindingsLib.models.public.tensors import read_tensors, require_fit
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.packages import torch_missing
from AcuteFindingsLib.places import models_cache
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if

# By name, because the detectors lie above the models.
_TASKS = "AcuteFindingsLib.detectors.registry:model_tasks"
_BY_IMPORTER = "AcuteFindingsLib.detectors.public_importing:import_files"
_DOWNLOADED = 0.7


def import_public(
    address: str | ImportDescription,
    *,
    out: Path | None = None,
    description: Path | None = None,
    agreed: bool = False,
    compare: bool = True,
    replace: bool = False,
    hub: Hub | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> ModelPackage:
    """Import a public model that a description tells how to read; nothing of its repository is run.

    Parameters
    ----------
    address
        ``hf:OWNER/NAME``, with ``@REVISION`` behind it where it is to be another than the description's; the id of a
        description; or a description itself (`recommended.recommended`).
    out
        The package's own folder; the one of downloaded models, by the description's id, when None.
    description
        A description of the user's own, a YAML file; one of those that ship when None.
    agreed
        The user agrees to the license, which is kept (`consent.give_consent`). Asked for where the weights may not be
        used commercially and the user has not agreed before.
    compare
        Compare with torch where there is one.
    replace
        Put the new package in the place of an old one.
    hub
        Where models are downloaded from and kept; as huggingface_hub is set up (endpoint, token, cache, offline mode
        and proxy) when None.
    progress
        Called with what is being done and the share that is done, 0..1.
    cancelled
        Asked between pieces; True stops. What has arrived is kept, and the next import goes on there.

    Returns
    -------
    ModelPackage
        The package as written.

    Raises
    ------
    ModelError
        There is no description, it cannot be imported (`ImportDescription.needs`), the tensors do not fit the graphs,
        or the answers differ from torch's.
    ConsentError
        The license has to be agreed to first.
    DownloadError
        A file could not be downloaded, or is not the one that the hub states: says why and what to do.
    CancelledError
        `cancelled` answered True.
    """
    address, revision = _parts(address) if isinstance(address, str) else (address, "")
    chosen = _chosen(address, description)
    if chosen.needs:
        raise ModelError(f"{chosen.title} cannot be imported today: {chosen.needs.rstrip('.')}.")
    missing = torch_missing(what=f"Importing {chosen.title}")
    if chosen.torch and missing is not None and find_spec("torch") is None:
        raise missing
    if chosen.id in shipped_versions():
        raise ModelError(f"A model with the id {chosen.id} came with AcuteFindings; give the description another one.")
    out = models_cache() / chosen.id if out is None else out
    if out.exists() and not replace:
        raise ModelError(f"{out} exists already: delete that model first, or ask to replace it (--replace).")
    if agreed:
        give_consent(chosen)
    require_consent(chosen)
    found, files = _download(chosen, revision, out=out, hub=hub, agreed=agreed, progress=progress, cancelled=cancelled)
    origin = _origin(chosen, found, files)

    def at(text: str, fraction: float) -> None:
        stop_if(cancelled, left="what has been downloaded is kept, nothing was written")
        progress(text, fraction)

    if chosen.importer:
        at("Importing the model", _DOWNLOADED)
        package: ModelPackage = load_reference(_BY_IMPORTER)(
            chosen, files, out=out, origin=origin, compare=compare, replace=replace
        )
        at("Done", 1.0)
        return package
    at("Reading the weights", _DOWNLOADED)
    tensors = read_tensors(chosen, files)
    graphs = graph_bytes(chosen, beside=description)
    require_fit(tensors, graphs, source=chosen.address)
    card = card_of(chosen, origin=origin)
    at("Comparing with PyTorch", 0.75)
    remark = f"{NOT_COMPARED}: skipped on request."
    if compare:
        stated, remark = compare_graphs(chosen, card, tensors, graphs)
        proof = {"compared_with": "the network in PyTorch", "largest_difference": stated.largest_difference}
        origin = origin.model_copy(update={} if remark else proof)
        card = card.model_copy(update={"graphs": stated})
    origin = origin.model_copy(update={"remark": f"{remark} {origin.remark}".strip()})
    at("Writing the package", 0.85)
    task = load_reference(_TASKS)().get(chosen.task)
    package = write_package(
        out,
        state_dict=tensors,
        card=card.model_copy(update={"origin": origin}),
        version="1.0.0",
        changelog={"1.0.0": f"imported from {chosen.address} at {found.commit}"},
        description=f"{chosen.told} Research use only.",
        authors=f"the authors of {chosen.address}",
        copyright="The copyright of the weights is with their authors.",
        network_data_format=data_format_of(chosen, modality=task.modality if task else ""),
        card_text="",
        license_text=chosen.license.text,
        ready=graphs,
        replace=replace,
    )
    at("Done", 1.0)
    return package


def _parts(address: str) -> tuple[str, str]:
    """Return an address, and the revision behind it."""
    name, _, revision = address.strip().partition("@")
    return name, revision


def _chosen(address: str | ImportDescription, description: Path | None) -> ImportDescription:
    if isinstance(address, ImportDescription):
        return address
    if description is None:
        return find_description(address)
    chosen = read_description(description)
    if address.casefold() not in ("", chosen.id, chosen.address.casefold()):
        raise ModelError(f"{description.name} describes {chosen.address}, not {address}; correct one of them.")
    return chosen


def _download(
    chosen: ImportDescription,
    revision: str,
    *,
    out: Path,
    hub: Hub | None,
    agreed: bool,
    progress: Progress,
    cancelled: Cancelled,
) -> tuple[Found, dict[str, Path]]:
    """Return what the repository holds, and its files on this computer by their keys."""
    if not chosen.address.startswith("hf:"):
        raise ModelError(
            f"{chosen.title} is not on the Hugging Face hub: fetch it at {chosen.address} and import the file with "
            "`acutefindings models import FILE --as ...`."
        )
    stop_if(cancelled)
    progress("Asking the hub", 0.0)
    paths = {key: stated.path for key, stated in chosen.files.items()}
    found = look_up(chosen.address.removeprefix("hf:"), paths, revision=revision or chosen.revision, hub=hub)
    if agreed:
        give_consent(chosen, stated=found.license)
    require_consent(chosen, stated=found.license)
    require_room(found, out, hub)
    total = max(1, sum(file.size for file in found.files.values()))
    text = f"Downloading {chosen.id} ({found.missing_bytes / 1e6:.0f} of {total / 1e6:.0f} MB)"
    files, before = {}, 0
    for key, file in found.files.items():
        start = before

        def told(have: int, start: int = start) -> None:
            progress(text, _DOWNLOADED * min(1.0, (start + have) / total))

        files[key] = fetch(found, key, hub=hub, told=told, cancelled=cancelled)
        before += file.size
    return found, files


def _origin(chosen: ImportDescription, found: Found, files: Mapping[str, Path]) -> Origin:
    sums = {
        found.files[key].path: stated if SHA256.fullmatch(stated := found.files[key].blob) else file_sha256(path)
        for key, path in files.items()
    }
    listed = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(sums.items()))
    told = [f"The hub states the license {found.license}."] if found.license else []
    told += ["Taken from the hub's cache on this computer; the hub was not asked."] if found.offline else []
    return Origin(
        file=chosen.address,
        sha256=hashlib.sha256(listed.encode()).hexdigest(),
        form="a repository of the Hugging Face hub",
        revision=found.commit,
        files=sums,
        remark=" ".join(told),
    )
