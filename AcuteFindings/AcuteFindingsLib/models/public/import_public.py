"""A public model as a package here: downloaded, renamed, checked against its graphs, compared and written."""

from pathlib import Path

from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.models.public.hub import Hub
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress


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
    raise NotImplementedError
