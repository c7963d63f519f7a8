"""What a model is shown of phantoms, by the preparation of its task: what its graphs are proven on."""

import numpy as np

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_task, kind_of_task, model_tasks
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.models.metadata import Card
from AcuteFindingsLib.phantoms.as_study import phantom_study

_COUNT = 6
"""Slices of a CT: enough that neighbors differ, few enough to take seconds."""


def phantom_images(card: Card) -> tuple[np.ndarray, str] | None:
    """Return images of a phantom as a model's task prepares them, and what they are in words.

    Of a CT it is the middle of a phantom with the finding, of radiographs one with it and one without.

    Returns
    -------
    tuple or None
        ``(n, c, y, x)`` float32; None for a model of no task that has phantoms, or one that is shown what its task
        cannot prepare by its card alone (a part of the picture that another model outlines).
    """
    if card.task not in model_tasks() or kind_of_task(card.task).phantoms is None:
        return None
    task, phantoms = find_task(card.task), kind_of_task(card.task).phantoms
    assert phantoms is not None
    try:
        settings = task.load_settings(card.form).model_validate(card.preprocessing)
        shown = []
        for positive in (True, False):
            phantom = make_phantom(phantoms.generator, phantoms.seed, positive=positive, **phantoms.options)
            images = task.load_scorer(card.form).images_of(phantom_study(phantom), settings)
            start = max(0, (len(images) - _COUNT) // 2)
            shown.append(np.asarray(images[start : start + _COUNT], np.float32))
            if len(shown[0]) > 1:
                break
    except (AcuteFindingsError, ValueError, KeyError):
        return None
    images = np.concatenate(shown)
    what = f"{len(images)} {'slices of a CT phantom' if task.modality == 'CT' else 'phantom radiographs'}"
    return images, f"{what}, prepared as by the detector"
