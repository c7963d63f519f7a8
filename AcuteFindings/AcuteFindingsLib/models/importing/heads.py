"""Whether several outputs exclude each other (softmax) or are independent (sigmoid)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Head, Options, form_of, public_names, softmax
from AcuteFindingsLib.models.task import ModelTask

_NOTHING = frozenset(
    ["normal", "negative", "background", "healthy", "none", "no_finding", "nofinding", "no", "absent", "other", "rest"]
)
# CheXpert's fourteen have "No Finding" among them, each with a sigmoid of its own (Irvin 2019).
_CHEXPERT = 14


def is_exclusive(path: Path, labels: Sequence[str], head: Head | None, *, findings: Collection[str]) -> bool:
    """Return whether a classifier's labels exclude each other.

    Of two labels one of which is "normal" or the like, one is true and the other is not: softmax. Findings by their
    usual names (`findings`) are each true or not: sigmoid. What is not plain is asked.

    Raises
    ------
    ModelError
        When it must be said with ``--head``, or makes no sense.
    """
    if head == "softmax" and len(labels) < 2:
        raise ModelError(f"{path.name} gives one number, and a softmax of one number is always 1; leave --head out.")
    if head is not None:
        return head == "softmax"
    plain = [label.lower().replace(" ", "_").replace("-", "_") for label in labels]
    nothing = any(label in _NOTHING or label.startswith(("no_", "non_", "not_", "without_")) for label in plain)
    if len(labels) == 2 and nothing:
        return True
    both = set(plain) <= set(findings)
    if (len(labels) == 2 and not both) or (nothing and len(labels) != _CHEXPERT):
        raise ModelError(
            f"{path.name} gives {len(labels)} numbers ({', '.join(labels)}), and they may exclude each other or not: "
            "say --head softmax where exactly one of them is true of a picture (trained with cross-entropy), --head "
            "sigmoid where each stands for itself."
        )
    return False


def head_remark(exclusive: bool) -> str:
    """Return how the outputs are read, for the card."""
    return (
        "The labels exclude each other: their probabilities are a softmax."
        if exclusive
        else "The labels are independent: the probability of each is a sigmoid."
    )


@dataclass(frozen=True)
class Outputs:
    """Which of a classifier's numbers are the answer.

    Attributes
    ----------
    classes
        Their places, in the order of `names`.
    names
        The labels.
    exclusive
        Whether all numbers of the classifier exclude each other (softmax).
    """

    classes: tuple[int, ...]
    names: tuple[str, ...]
    exclusive: bool

    def answers(self, logits: np.ndarray) -> np.ndarray:
        """Return what a source's ``(n, numbers, ...)`` say: probabilities where they are exclusive, else logits."""
        return (softmax(logits) if self.exclusive else logits)[:, list(self.classes)]

    def remark(self, count: int) -> str:
        """Return how the numbers are read, of which there are `count`, for the card."""
        text = head_remark(self.exclusive)
        if len(self.classes) == 1 and count > 1:
            return f"Number {self.classes[0]} of {count} (counted from 0) is the answer. {text}"
        return text


def choose_outputs(
    path: Path,
    count: int,
    options: Options,
    *,
    task: ModelTask,
    known: tuple[str, ...] = (),
    independent: bool = False,
) -> Outputs:
    """Say what a classifier's numbers are: by ``--labels``, ``--channel`` and ``--head``, else as is known of them.

    With ``--channel`` one number is the answer. Of two, that is the softmax, unless both are findings by their usual
    names or ``--head`` says otherwise; of more, it must be plain from the labels or said.

    Parameters
    ----------
    count
        How many numbers.
    known
        Their names where nobody says them.
    independent
        The file itself shows that each stands for itself.

    Raises
    ------
    ModelError
        There are not as many names as numbers, there is no such channel, or it must be said how they are read.
    """
    findings, chosen = public_names(form_of(task)), options.channel
    every = options.labels or known
    if chosen is not None and not 0 <= chosen < count:
        raise ModelError(f"{path.name} gives {count} numbers; there is none of number {chosen}, so correct --channel.")
    if chosen is not None and len(every) != count:
        if len(options.labels) > 1:
            raise ModelError(
                f"{path.name} gives {count} numbers and --labels names {len(every)}; name the one of --channel, or all."
            )
        named = options.labels or (task.main_label,)
        if count > 2 and options.head is None and not independent:
            raise ModelError(
                f"{path.name} gives {count} numbers, and they may exclude each other or not: say --head softmax where "
                "exactly one of them is true of a picture, --head sigmoid where each stands for itself."
            )
        if options.head == "softmax" and (count < 2 or independent):
            raise ModelError(f"{path.name} gives numbers that stand each for itself; leave --head out.")
        return Outputs((chosen,), named, count > 1 and options.head != "sigmoid" and not independent)
    if len(every) != count or len(set(every)) != count:
        raise ModelError(
            f"{path.name} gives {count} numbers, and {len(every)} names are known for them; name them in order with "
            "--labels a,b,c, or choose one with --channel."
        )
    exclusive = not independent and is_exclusive(path, every, options.head, findings=findings)
    classes = tuple(range(count)) if chosen is None else (chosen,)
    return Outputs(classes, tuple(every[number] for number in classes), exclusive)
