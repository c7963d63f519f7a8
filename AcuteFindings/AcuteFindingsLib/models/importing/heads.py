"""Whether several outputs exclude each other (softmax) or are independent (sigmoid)."""

from collections.abc import Collection, Sequence
from pathlib import Path

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Head

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
