"""What a TorchScript or ONNX file takes: gray pictures or several channels, any number of them or one at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options, normalization
from AcuteFindingsLib.models.runtime.bounded import Run
from AcuteFindingsLib.models.runtime.program import ProgramPart
from AcuteFindingsLib.networks.gray_input import IMAGENET_MEAN, IMAGENET_STD

_COLORS = len(IMAGENET_MEAN)

REPEATED = (
    "The program takes several channels: it is shown the gray picture in each, normalized as --mean and --std say, or "
    "as ImageNet's."
)


def input_form(
    run: Run,
    file: Path,
    stated: ProgramPart,
    pictures: np.ndarray,
    shown: Callable[[np.ndarray], np.ndarray],
    options: Options,
    *,
    gray_only: bool,
) -> ProgramPart:
    """Find out what a program takes, by asking it: a batch, one picture at a time, then the same in three channels.

    Parameters
    ----------
    stated
        The program as far as it is known.
    pictures
        ``(n, 1, y, x)``, gray.
    shown
        Normalizes them for a program of one channel.
    options
        Of the import; several numbers in `mean` mean several channels.
    gray_only
        Several channels would not be the same picture: slices, or windows, of a CT.

    Returns
    -------
    ProgramPart
        `stated`, with what it is shown.

    Raises
    ------
    ModelError
        It takes neither; names the shapes and what to do.
    """
    channels = max(len(options.mean or ()), len(options.std or ()))
    colors = channels if channels > 1 else _COLORS
    plain = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} if colors == _COLORS else {}
    means, stds = normalization(colors, options, **plain)
    in_colors = stated.model_copy(update={"mean": list(means), "std": list(stds)})
    forms = [(in_colors, pictures)] if channels > 1 else [(stated, shown(pictures)), (in_colors, pictures)]
    first: ModelError | None = None
    for form, batch in forms:
        for single in (False, True):
            tried = form.model_copy(update={"single": single})
            error = _fault(run, tried, batch)
            if error is None and form.mean and gray_only:
                raise ModelError(
                    f"{file.name} takes pictures of {colors} channels, (n, {colors}, rows, columns), and the detector "
                    "shows it one: slices or windows in them would not be told apart. Export it with a first layer "
                    f"that makes its {colors} channels of the gray picture."
                )
            if error is None:
                return tried
            first = first or error
    raise ModelError(
        f"{str(first).rstrip('.')}. Batches of {len(pictures)} and of 1 gray picture were tried"
        f"{'' if channels > 1 else f', and of {_COLORS} channels'}, {' × '.join(map(str, pictures.shape[2:]))} pixels: "
        "choose the size with --size, or export it with a free first axis."
    ) from first


def _fault(run: Run, form: ProgramPart, batch: np.ndarray) -> ModelError | None:
    """Return why a program cannot be asked so; None where it answers for each picture."""
    try:
        answers = form.ask(run, batch)
    except ModelError as error:
        return error
    wrong = [value.shape for value in answers.values() if value.ndim < 1 or len(value) != len(batch)]
    if wrong:
        return ModelError(
            f"The program answers with {wrong[0]} for {len(batch)} pictures; one row for each is expected"
        )
    return None
