"""`acutefindings models import`: models from where people have them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from AcuteFindingsLib.cli.common import listed, out_console, progress_bar
from AcuteFindingsLib.detectors.registry import importer_names, model_tasks
from AcuteFindingsLib.errors import ModelError

_AS = (
    f"What the file is: inception-resnet-v2 (Keras); densenet121, timm, segmentation-model (PyTorch); monai-bundle; "
    f"torchscript; onnx; of one detector alone: {listed(importer_names())}."
)


def models_import(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|ADDRESS",
            help="The file, folder or zip file to import; or a public model: hf:OWNER/NAME, or `recommended`.",
        ),
    ],
    architecture: Annotated[str | None, typer.Option("--as", help=f"Needed for a file. {_AS}")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the new model package; needed for a file.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="PART=FILE", help="A further file, such as sequence=lstm.h5.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help=f"{listed(model_tasks())}.")] = None,
    model_id: Annotated[str | None, typer.Option("--id", help="Id of the model; by default the folder's name.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="What the model is called in lists.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=32, help="Pixels per side of the pictures.")] = None,
    mean: Annotated[
        str | None, typer.Option("--mean", help="For pictures in 0..1; one number, or one per channel.")
    ] = None,
    std: Annotated[str | None, typer.Option("--std", help="As --mean.")] = None,
    labels: Annotated[str | None, typer.Option("--labels", help="Names of the outputs, in order: a,b,c.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Encoder of a segmentation model, such as resnet34 or a timm network."),
    ] = None,
    decoder: Annotated[
        str | None, typer.Option("--decoder", help="Of a segmentation model: unet, fpn, deeplabv3plus, ...")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="Network of timm, such as resnet50 or convnext_tiny.")
    ] = None,
    slices: Annotated[
        int, typer.Option("--slices", min=1, help="Of a CT network: slices in a row that are its channels.")
    ] = 3,
    windows: Annotated[
        str | None, typer.Option("--windows", help="Of a CT network: LEVEL/WIDTH,LEVEL/WIDTH, a channel each.")
    ] = None,
    window_first: Annotated[
        bool, typer.Option("--window-first", help="Its channels are all slices in one window, then in the next.")
    ] = False,
    pooling: Annotated[
        str | None, typer.Option("--pooling", help="How a GRU or LSTM answers for a study: mean, max or attention.")
    ] = None,
    channel: Annotated[int | None, typer.Option("--channel", min=0, help="Which of several classes is meant.")] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--outputs", metavar="[PART=]A,B", help="Names of a program's outputs, in order."),
    ] = None,
    probabilities: Annotated[
        bool | None,
        typer.Option("--probabilities/--logits", help="What the output of a program is, if the file does not show it."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="softmax if the outputs exclude each other, sigmoid if they are independent."),
    ] = None,
    license: Annotated[str | None, typer.Option("--license", help="License of the weights.")] = None,
    license_file: Annotated[Path | None, typer.Option("--license-file", help="Its full text.")] = None,
    trained_on: Annotated[str | None, typer.Option("--trained-on", help="What the weights were fitted to.")] = None,
    source_python: Annotated[
        Path | None, typer.Option("--source-python", help="A Python that has Keras, to compare with.")
    ] = None,
    unproven: Annotated[bool, typer.Option("--unproven", help="Leave out the comparison with the source.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier package.")] = False,
    detector: Annotated[str | None, typer.Option("--detector", help="With `recommended`: for which detector.")] = None,
    description: Annotated[
        Path | None, typer.Option("--description", help="Your own import description of a public model (YAML).")
    ] = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Agree to the license of a public model without being asked.")
    ] = False,
    default: Annotated[
        bool | None,
        typer.Option("--default/--no-default", help="Use a public model if no model is named; asked otherwise."),
    ] = None,
) -> None:
    """Import weights as a model package, and prove that it gives the same answers as its source."""
    from AcuteFindingsLib.cli.public_models import import_public_model, is_public

    of_files = {
        **{"--as": architecture, "--also": also, "--id": model_id, "--title": title, "--size": size, "--mean": mean},
        **{"--std": std, "--labels": labels, "--encoder": encoder, "--decoder": decoder, "--network": network},
        **{"--channel": channel, "--outputs": outputs, "--probabilities": probabilities, "--head": head},
        **{"--license": license, "--license-file": license_file, "--trained-on": trained_on},
        "--source-python": source_python,
    }
    of_public = {"--detector": detector, "--accept-license": accept_license or None, "--default": default}
    # A path, on Windows with its own separators.
    public = is_public(file.as_posix(), description)
    odd = next((name for name, value in (of_files if public else of_public).items() if value is not None), "")
    if odd:
        raise ModelError(
            f"{odd} is for importing a file; a public model's description says all of this."
            if public
            else f"{odd} is for public models (hf:OWNER/NAME, recommended); {file} is a file."
        )
    if public:
        import_public_model(
            file.as_posix(),
            detector=detector or task,
            description=description,
            accept_license=accept_license,
            default=default,
            out=out,
            compare=not unproven,
            replace=replace,
        )
        return
    if architecture is None or out is None:
        lacking = "--as (what the file is)" if architecture is None else "--out (the folder of the new package)"
        raise ModelError(f"Importing a file needs {lacking}; for a public model give its address, hf:OWNER/NAME.")
    from AcuteFindingsLib.detectors.import_proof import detector_difference
    from AcuteFindingsLib.detectors.importing import import_model
    from AcuteFindingsLib.models.card_text import differences
    from AcuteFindingsLib.models.importing.converted import Options
    from AcuteFindingsLib.models.importing.import_model import Identity

    if task is not None and task not in model_tasks():
        raise ModelError(f"--task {task}: choose one of {', '.join(model_tasks())}.")
    if head not in (None, "softmax", "sigmoid"):
        raise ModelError(f"--head {head}: choose softmax or sigmoid.")
    options = Options(
        task=task,
        also={part: Path(name) for part, name in _pairs("--also", also).items()},
        size=size,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        labels=_names(labels),
        encoder=encoder,
        decoder=decoder,
        network=network,
        slices=slices,
        windows=_windows(windows),
        window_first=window_first,
        pooling=pooling,
        channel=channel,
        outputs={part: _names(names) for part, names in _pairs("--outputs", outputs, plain=True).items()},
        probabilities=probabilities,
        head=head,  # type: ignore[arg-type]
        source_python=source_python,
    )
    said: dict[str, Any] = {"id": model_id, "title": title, "license": license, "trained_on": trained_on}
    if license_file is not None:
        said["license_text"] = license_file.read_text(encoding="utf-8")
    identity = Identity(**{name: value for name, value in said.items() if value is not None})
    with progress_bar() as progress:
        package = import_model(
            file,
            architecture=architecture,
            out=out,
            options=options,
            identity=identity,
            prove=not unproven,
            say=detector_difference,
            replace=replace,
            progress=progress,
        )
    origin = package.card.origin
    out_console.print(f"{package.id}: written to {package.folder}")
    if origin is not None and origin.largest_difference is not None:
        out_console.print(f"Compared with {origin.compared_with}: {differences(origin)}")
    elif origin is not None:
        out_console.print(f"Not compared with its source. {origin.remark}")
    if package.card.task != "part":
        out_console.print(f"It is used where it is named: --model {package.folder}")


def _pairs(option: str, values: list[str] | None, *, plain: bool = False) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values or ():
        part, equals, rest = value.partition("=")
        if not equals and not plain:
            raise ModelError(f"{option} {value}: write PART=FILE, such as sequence=lstm.h5.")
        pairs[part if equals else ""] = rest if equals else value
    return pairs


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise ModelError(
            f"{option} {text}: write one number, or one per channel, such as 0.485,0.456,0.406."
        ) from error


def _windows(text: str | None) -> tuple[tuple[float, float], ...]:
    try:
        pairs = [tuple(float(number) for number in pair.split("/")) for pair in (text or "").split(",") if pair]
        windows = tuple((level, width) for level, width in pairs)
    except ValueError:
        windows = ((0.0, 0.0),)
    if any(width <= 0 for _, width in windows):
        raise ModelError(f"--windows {text}: write a level and a width above 0 each, such as 40/80,80/200.")
    return windows


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
