"""A trained nnU-Net in the folder that nnU-Net 2 writes: ``Trainer__Plans__configuration`` with a folder per fold.

nnU-Net imports what its plans name, so only its own networks, readers and layers of torch are let through. Its
checkpoints are read as tensors by the program that runs it (`children.child_tools.nothing_executed`).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.files import read_json
from AcuteFindingsLib.networks.arguments import check_arguments
from AcuteFindingsLib.providers.own_networks.folder import NetworkFolder, choose_classes, printable

CHECKPOINT = "checkpoint_final.pth"

READERS = frozenset(["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient"])
"""Readers of nnU-Net for volumes; the others read pictures and TIFF stacks, which hold no Hounsfield units."""

NETWORKS = frozenset(["PlainConvUNet", "ResidualUNet", "ResidualEncoderUNet"])
"""Networks of dynamic-network-architectures, the package that nnU-Net builds its networks with."""

_MODULE = re.compile(r"(dynamic_network_architectures\.architectures\.(residual_)?unet\.)?")
_IMPORTED = re.compile(r"(torch\.nn|dynamic_network_architectures\.building_blocks)(\.[A-Za-z_][A-Za-z0-9_]*)+")
_FOLD = re.compile(r"fold_([0-9]{1,3}|all)")


def read_nnunet_folder(named: Path, *, labels: Sequence[str] = ()) -> NetworkFolder:
    """Read what an nnU-Net folder says.

    Parameters
    ----------
    named
        The folder that holds ``plans.json``, or the one above it where it holds one trained network.
    labels
        Which of its labels are the finding, by name or number; needed where it has several.

    Raises
    ------
    ProviderError
        It is no trained nnU-Net of version 2, needs something beside a CT, or would import other code.
    ModelError
        A file cannot be read.
    """
    folder = _trained_folder(named)
    plans = _settings(folder / "plans.json")
    dataset = _settings(folder / "dataset.json")
    name = named.name
    network = _check_plans(name, plans)
    _check_input(name, dataset)
    known, exclusive = _outputs(name, dataset)
    classes, drawn = choose_classes(name, known, labels)
    found = sorted(entry.name for entry in folder.iterdir() if _FOLD.fullmatch(entry.name))
    folds = [fold for fold in found if (folder / fold / CHECKPOINT).is_file()]
    # As nnU-Net: the network of all data is one by itself.
    folds = [fold for fold in folds if fold != "fold_all"] or folds
    if not folds:
        raise ProviderError(f"{name} holds no weights: {CHECKPOINT} is missing in its folders fold_0, fold_1, ...")
    weights = [f"{fold}/{CHECKPOINT}" for fold in folds]
    return NetworkFolder(
        network=f"nnU-Net, {network}, {len(folds)} fold{'s' if len(folds) > 1 else ''}",
        drawn=drawn,
        files=["plans.json", "dataset.json", *weights],
        weights=len(weights),
        program={
            "folds": [fold.removeprefix("fold_") for fold in folds],
            "classes": classes,
            "exclusive": exclusive,
        },
        turns=str(plans["image_reader_writer"]).endswith("Reorient"),
        inside=str(folder.relative_to(named)),
    )


def _trained_folder(named: Path) -> Path:
    if not named.is_dir():
        raise ProviderError(f"There is no folder {named}; correct the path. An archive has to be unpacked first.")
    if (named / "plans.json").is_file():
        return named
    inside = [entry for entry in sorted(named.iterdir()) if (entry / "plans.json").is_file()]
    if len(inside) == 1:
        return inside[0]
    if inside:
        names = ", ".join(entry.name for entry in inside)
        raise ProviderError(f"{named.name} holds several trained networks; name the folder of one of them: {names}.")
    if any(named.glob("**/plans.pkl")):
        raise ProviderError(f"{named.name} is of nnU-Net 1, whose networks nnU-Net 2 does not read; train it again.")
    raise ProviderError(
        f"{named.name} is not a trained nnU-Net: plans.json and dataset.json lie in the folder that its training "
        "writes, such as nnUNetTrainer__nnUNetPlans__3d_fullres."
    )


def _settings(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise ProviderError(f"{path.name} of the nnU-Net holds no settings by name.")
    return data


def _check_plans(name: str, plans: Mapping[str, Any]) -> str:
    """Refuse plans that would import what is not nnU-Net's; return the network's name."""
    reader = plans.get("image_reader_writer")
    if reader not in READERS:
        raise ProviderError(f"{name} reads its images with {_shown(reader)}; a network for CT volumes is needed.")
    if plans.get("label_manager", "LabelManager") != "LabelManager":
        raise ProviderError(f"{name} treats its labels with {_shown(plans['label_manager'])}, which is not nnU-Net's.")
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict) or not configurations:
        raise ProviderError(f"{name}: plans.json holds no configurations.")
    names = set()
    for configuration in configurations.values():
        architecture = configuration.get("architecture") if isinstance(configuration, dict) else None
        if architecture is None:
            # Plans before 2.3 name one of nnU-Net's own; those that inherit name none.
            plain = configuration.get("UNet_class_name", "") if isinstance(configuration, dict) else None
            names |= {_known_network(name, plain)} if plain != "" else set()
            continue
        names.add(_known_network(name, architecture.get("network_class_name")))
        arguments = architecture.get("arch_kwargs")
        imported = architecture.get("_kw_requires_import")
        if not isinstance(arguments, dict) or not isinstance(imported, list):
            raise ProviderError(f"{name}: plans.json does not say how its network is built.")
        for key in imported:
            value = arguments.get(str(key))
            if value is not None and not (isinstance(value, str) and _IMPORTED.fullmatch(value)):
                raise ProviderError(
                    f"{name} was refused: its network would import {_shown(value)}, which is neither a layer of torch "
                    "nor of nnU-Net."
                )
        check_arguments({key: arguments[key] for key in arguments.keys() - set(map(str, imported))}, network=name)
    if not names:
        raise ProviderError(f"{name}: plans.json names no network.")
    return ", ".join(sorted(names))


def _known_network(name: str, stated: Any) -> str:
    plain = _MODULE.sub("", str(stated), count=1)
    if plain not in NETWORKS:
        raise ProviderError(
            f"{name} was refused: its network is {_shown(stated)}, and these can be built: "
            f"{', '.join(sorted(NETWORKS))}."
        )
    return plain


def _check_input(name: str, dataset: Mapping[str, Any]) -> None:
    channels = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(channels, dict) or len(channels) != 1:
        count = len(channels) if isinstance(channels, dict) else 0
        raise ProviderError(f"{name} is shown {count} images of a patient; a network that is shown one CT is needed.")
    shown = str(next(iter(channels.values())))
    if re.search(r"\b(mri?|t1|t2|flair|adc|dwi|pet|suv|us)\b", shown, re.IGNORECASE):
        raise ProviderError(f"{name} is shown {_shown(shown)}, not CT.")


def _outputs(name: str, dataset: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """Return the number of each output by the label that it draws, and whether outputs exclude each other.

    With regions (labels of several numbers) each region is an output of its own; else each number is one, in order,
    and the background is the first.
    """
    labels = dataset.get("labels")
    if not isinstance(labels, dict) or "background" not in labels:
        raise ProviderError(f"{name}: dataset.json does not name its labels and their numbers.")
    numbers = {}
    for label, value in labels.items():
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(number, int) and not isinstance(number, bool) for number in listed):
            raise ProviderError(f"{name}: dataset.json gives the label {_shown(label)} no number.")
        numbers[printable(label)] = listed
    drawn = {label: listed for label, listed in numbers.items() if label != "ignore" and set(listed) != {0}}
    if any(len(listed) > 1 for listed in numbers.values()):
        return {label: number for number, label in enumerate(drawn)}, False
    values = sorted({0, *(listed[0] for listed in drawn.values())})
    return {label: values.index(listed[0]) for label, listed in drawn.items()}, True


def _shown(value: Any) -> str:
    return ascii(value)[:80]
