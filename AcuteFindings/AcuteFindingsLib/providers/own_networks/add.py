"""Adding a network of the user's own: its folder is read, its terms are written, and it is a provider from then on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.detectors.registry import find_kind, kinds, model_tasks
from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.find import list_packages
from AcuteFindingsLib.models.task import VOLUME_MASK
from AcuteFindingsLib.names import model_id
from AcuteFindingsLib.providers.own_networks.bundle_folder import read_bundle_folder
from AcuteFindingsLib.providers.own_networks.folder import NetworkFolder
from AcuteFindingsLib.providers.own_networks.nnunet_folder import read_nnunet_folder
from AcuteFindingsLib.providers.own_networks.provider import networks_folder
from AcuteFindingsLib.providers.own_networks.record import Form, Record, checksums, write_record
from AcuteFindingsLib.providers.registry import find_terms, list_terms
from AcuteFindingsLib.providers.terms import Terms

FORMS: dict[Form, str] = {
    "nnunet": "a trained nnU-Net (version 2), the folder with plans.json",
    "monai-bundle-3d": "a MONAI bundle with a 3-D network, unpacked",
}

_NOT_STATED = "not stated"

_PACKAGES: dict[Form, dict[str, Any]] = {
    "nnunet": {
        "package": "nnunetv2",
        "requirement": "nnunetv2>=2.5,<3",
        "package_mb": 450,
        # TotalSegmentator brings nnU-Net.
        "environments": ["nnunet", "totalsegmentator"],
        "citations": [
            "Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a self-configuring method for deep "
            "learning-based biomedical image segmentation. Nature Methods 2021;18:203-211. "
            "https://doi.org/10.1038/s41592-020-01008-z"
        ],
    },
    "monai-bundle-3d": {
        "package": "monai",
        "requirement": "monai[nibabel,einops]>=1.4,<2",
        "package_mb": 20,
        "also": ["nibabel", "einops"],
        "environments": ["monai-3d"],
        "citations": [
            "Cardoso MJ, Li W, Brown R, et al. MONAI: an open-source framework for deep learning in healthcare. 2022. "
            "https://doi.org/10.48550/arXiv.2211.02701"
        ],
    },
}


def volume_tasks() -> tuple[str, ...]:
    """Return the detectors whose finding a mask in a CT volume is (`detectors.volume_finding`)."""
    return tuple(kind.id for kind in kinds() if any(form.id == VOLUME_MASK for form in kind.task.forms))


@dataclass(frozen=True)
class Said:
    """What the user says of a network; nothing of it is in its folder.

    Attributes
    ----------
    title
        In one line; made of the name where empty.
    license
        Of the weights.
    trained_on, source
        What the weights were fitted to, and where they are from: an address or a paper.
    """

    title: str = ""
    license: str = _NOT_STATED
    trained_on: str = _NOT_STATED
    source: str = _NOT_STATED


def add_own_network(
    folder: Path,
    *,
    form: str,
    name: str,
    task: str,
    said: Said | None = None,
    labels: Sequence[str] = (),
    rule: Mapping[str, float] | None = None,
    orientation: str = "LPS",
    mirroring: bool = False,
    head: str | None = None,
    roi: Sequence[int] = (),
) -> Terms:
    """Add a network and return its terms, which nobody has agreed to yet.

    Parameters
    ----------
    folder
        Where it lies; it is used there, not copied.
    form
        One of `FORMS`.
    name
        By which it is chosen as a model.
    task
        One of `volume_tasks`.
    labels
        Which of its classes are the finding; needed where it draws several.
    rule
        When a study is positive: numbers of the task's rule on volumes that are not its defaults.
    orientation
        Where columns, rows and slices run in the images that the network was trained on, where it does not turn them
        itself: ``"LPS"`` as in DICOM, ``"LAS"`` in most NIfTI files, ``"RAS"`` in those that were turned.
    mirroring
        Whether an nnU-Net also reads the mirrored images, which takes four to eight times as long.
    head, roi
        As for `bundle_folder.read_bundle_folder`.

    Raises
    ------
    ProviderError
        The name is in use, the task has no masks in CT volumes, or the folder is not what it should be.
    ModelError
        A file of the folder cannot be read.
    """
    said = said or Said()
    _check_choice(form, name, task, orientation)
    folder = folder.resolve()
    read = _read(folder, form, labels=labels, head=head, roi=roi)
    where = folder / read.inside
    chosen: Form = "nnunet" if form == "nnunet" else "monai-bundle-3d"
    record = Record(
        form=chosen,
        folder=where,
        files=checksums(where, read.files),
        weights=read.weights,
        task=task,
        network=read.network,
        drawn=read.drawn,
        orientation=orientation,
        program={**read.program, "mirroring": mirroring} if form == "nnunet" else read.program,
        rule=find_kind(task).load_rule(VOLUME_MASK)(**(rule or {})).model_dump(),
    )
    size = sum((where / path).stat().st_size for path in read.files)
    terms = {
        "id": name,
        "title": said.title or f"{name}: {find_kind(task).finding.lower()} by {read.network}",
        "tasks": [task],
        **_PACKAGES[chosen],
        "weights_mb": max(1, round(size / 1e6)),
        "own_environment": True,
        "needs_torch": True,
        "license": said.license,
        "source": said.source,
        "trained_on": said.trained_on,
        "remarks": [
            *([] if read.turns else [_shown_as(orientation)]),
            f"Added on this computer and used from its folder; its masks show what the folder calls {read.drawn}.",
            "Its weights are read as tensors alone; nothing of the folder is executed.",
            "How well it finds anything was not measured here. Not a medical device.",
        ],
    }
    write_record(record, terms, networks_folder() / name)
    return find_terms(name)


def _shown_as(orientation: str) -> str:
    """Say which way the images run that the network is shown, where it does not see to that itself."""
    words = {"L": "left", "R": "right", "P": "back", "A": "front", "S": "head", "I": "feet"}
    x, y, z = (words[letter] for letter in orientation)
    return (
        f"It is shown images whose columns run to the {x}, rows to the {y} and slices to the {z}, and it does not turn "
        "them itself. Where it was trained on others, add it again with --orientation."
    )


def _check_choice(form: str, name: str, task: str, orientation: str) -> None:
    if form not in FORMS:
        raise ProviderError(f"--as {form}: choose one of {', '.join(FORMS)}.")
    known = volume_tasks()
    if task not in known:
        raise ProviderError(f"--task {task}: masks in CT volumes are the finding of {' and '.join(known)} alone.")
    if not re.fullmatch("[LR][AP][IS]", orientation):
        raise ProviderError(
            f"--orientation {orientation}: write where columns, rows and slices run, such as LPS, LAS or RAS."
        )
    try:
        model_id(name)
    except ValueError as error:
        raise ProviderError(f"--id: {error}.") from error
    if name in {terms.id for terms in list_terms()}:
        raise ProviderError(
            f"The name {name} is in use; choose another with --id, or remove that network first with `acutefindings "
            f"providers remove {name}`."
        )
    if name in {package.id for package in list_packages()} or name in model_tasks():
        raise ProviderError(f"The name {name} is that of a model or detector; choose another with --id.")


def _read(folder: Path, form: str, *, labels: Sequence[str], head: str | None, roi: Sequence[int]) -> NetworkFolder:
    if form == "nnunet":
        return read_nnunet_folder(folder, labels=labels)
    return read_bundle_folder(folder, labels=labels, head=head, roi=roi)
