"""MONAI bundles whose network is one of MONAI's own, for two-dimensional pictures."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.models.importing.bundle_files import CONFIGS, WEIGHTS, find_config, network_of, read_config
from AcuteFindingsLib.models.importing.converted import (
    Answers,
    Converted,
    Options,
    Probe,
    draws_mask,
    form_of,
    labels_of,
    names_findings,
    normalization,
    normalized,
    points_of,
    public_names,
    random_pictures,
    softmax,
    task_of,
)
from AcuteFindingsLib.models.importing.heads import is_exclusive
from AcuteFindingsLib.models.importing.state_files import read_state
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.networks.monai_network import build_monai
from AcuteFindingsLib.places import temporary_folder

_LIMIT = 4 << 30
_MOST_CHANNELS = 4096
_SOURCE = "Cardoso M.J. et al., MONAI: An open-source framework for deep learning in healthcare, 2022"


def convert_bundle(path: Path, options: Options) -> Converted:
    """Read a bundle's folder or zip file. Its expressions (``$...``) are never evaluated.

    Parameters
    ----------
    path
        The bundle.
    options
        `task` is one whose models draw a mask on a picture or name its findings; `channel` says which of several
        classes is meant.

    Raises
    ------
    ModelError
        When it is no bundle, its network is not MONAI's own or needs code to be built, is made for volumes, or the
        weights do not fit.
    """
    task = task_of(options, "monai-bundle", lambda form: draws_mask(form) or names_findings(form), file=path.name)
    findings = names_findings(form_of(task))
    with _unpacked(path) as folder:
        metadata = read_config(folder / "configs/metadata.json") if (folder / "configs/metadata.json").is_file() else {}
        target, arguments = network_of(path.name, find_config(path.name, folder))
        if arguments.get("spatial_dims", 2) != 2:
            raise ModelError(
                f"{path.name} reads volumes (spatial_dims 3): unpack it, and name its folder to `acutefindings "
                "providers add FOLDER --as monai-bundle-3d`."
            )
        weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        if weights is None:
            raise ModelError(f"{path.name} holds no weights: {' or '.join(WEIGHTS)} is missing.")
        source = build_monai(target, arguments)
        state = read_state(weights, anchor=next(iter(source.state_dict())))
    image = _section(metadata, "network_data_format", "inputs", "image")
    channels = _count(path, arguments.get("in_channels", image.get("num_channels", 1)))
    shape = image.get("spatial_shape")
    sides = [side for side in shape if isinstance(side, int)] if isinstance(shape, list) else []
    size = options.size or (sides[-1] if sides else 256)
    answer = _section(metadata, "network_data_format", "outputs", "pred")
    output = "pathologies" if findings else "mask"
    stated = arguments.get("out_channels", arguments.get("num_classes", answer.get("num_channels", 1)))
    count = _count(path, stated)
    classes, names = _classes(path, None if findings else task.main_label, count, answer, options)
    mean, std = normalization(channels, options)
    own: dict[str, Any] = {"target": target, "arguments": arguments, "output": output, "in_channels": channels}
    exclusive = (
        is_exclusive(path, names, options.head, findings=public_names(form_of(task)))
        if findings
        else options.head != "sigmoid"
    )
    own |= {"classes": classes, "softmax": exclusive and count > 1}
    preprocessing: dict[str, Any] = {"size": size, "flip": False, "equalise": False}
    if channels == 1:
        preprocessing |= {"mean": mean[0], "std": std[0]}
    else:
        own |= {"grey_mean": list(mean), "grey_std": list(std)}
    gray = random_pictures(1, size, low=0, high=1)

    def ask(pictures: np.ndarray) -> Answers:
        source.load_state_dict(state)
        with torch.inference_mode():
            logits = source.eval()(torch.from_numpy(normalized(pictures, mean, std))).numpy()
        return {output: (softmax(logits) if own["softmax"] else logits)[:, classes]}

    labels = labels_of(task, names)
    return Converted(
        task=task.id,
        title=f"{metadata.get('name') or target}, imported from a MONAI bundle",
        network=Network(name="monai", arguments=own),
        state={f"network.{name}": value for name, value in state.items()},
        form=f"MONAI bundle, {target}, version {metadata.get('version', 'unknown')}",
        framework="MONAI",
        probes=(
            Probe(
                gray if channels > 1 else normalized(gray, mean, std),
                ask,
                probabilities=frozenset([output] if own["softmax"] else []),
                pictures=gray,
            ),
        ),
        preprocessing=preprocessing,
        labels=labels,
        points=points_of(task, labels),
        image=(1, size, 0.0, 1.0),
        remarks=("The bundle's own transforms are not used: --mean, --std and --size say how pictures are prepared.",),
        sources=(_SOURCE,),
    )


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
        return
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is neither the folder of a MONAI bundle nor a zip file of one, or it is truncated.")
    with temporary_folder() as work, zipfile.ZipFile(path) as archive:
        tops = [PurePosixPath(n).parents[1] for n in archive.namelist() if f"/{n}".endswith("/configs/metadata.json")]
        if len(tops) != 1:
            raise ModelError(f"{path.name} holds {len(tops)} MONAI bundles; choose a zip file of one.")
        wanted = {str(tops[0] / name): name for name in ("configs/metadata.json", *CONFIGS, *WEIGHTS)}
        try:
            for entry in archive.infolist():
                if entry.filename not in wanted:
                    continue
                if entry.file_size > _LIMIT:
                    raise ModelError(f"{path.name} unpacks to more than {_LIMIT >> 30} GB; it was not unpacked.")
                target = Path(work) / wanted[entry.filename]
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(archive.read(entry))
        except ZIP_FAILS as error:
            raise ModelError(f"{path.name} could not be unpacked: {error}; fetch it again.") from error
        yield Path(work)


def _classes(
    path: Path, drawn: str | None, count: int, answer: Mapping[str, Any], options: Options
) -> tuple[list[int], tuple[str, ...]]:
    if drawn is not None:
        # Of two classes that exclude each other the first is the background.
        chosen = options.channel if options.channel is not None else {1: 0, 2: 1}.get(count)
        if chosen is None or not 0 <= chosen < count:
            raise ModelError(f"{path.name} draws {count} classes; say which is meant with --channel 0 to {count - 1}.")
        return [chosen], (drawn,)
    stated = answer.get("channel_def", {})
    names = options.labels or tuple(
        str(stated.get(str(n), f"class_{n}")).strip().lower().replace(" ", "_") for n in range(count)
    )
    if len(names) != count or len(set(names)) != count:
        raise ModelError(f"{path.name} gives {count} numbers; name them in order with --labels a,b,c.")
    return list(range(count)), tuple(names)


def _section(value: Any, *names: str) -> Mapping[str, Any]:
    """Return what lies below names in a file's mapping; nothing where something else lies there."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _count(path: Path, stated: Any) -> int:
    """Return a number of channels; raises `ModelError` where it is none."""
    if isinstance(stated, bool) or not isinstance(stated, int) or not 0 < stated <= _MOST_CHANNELS:
        raise ModelError(f"{path.name} states {str(stated)[:40]!r} channels; a whole number is expected.")
    return stated
