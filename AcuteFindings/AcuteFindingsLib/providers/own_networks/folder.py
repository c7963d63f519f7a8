"""What a folder of a network says, before anything of it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from AcuteFindingsLib.errors import ProviderError


@dataclass(frozen=True)
class NetworkFolder:
    """A network in a folder.

    Attributes
    ----------
    network
        What it is called in the model card.
    drawn
        What the chosen classes show, in the folder's words.
    files
        Paths below the folder of all that is used; the weights come last.
    weights
        How many of `files` are weights.
    program
        What the program that runs it is told beside the study.
    turns
        Whether it turns its images itself, whichever way they run.
    inside
        Where the network lies below the folder that was named.
    """

    network: str
    drawn: str
    files: list[str]
    weights: int
    program: dict[str, Any]
    turns: bool = False
    inside: str = "."


def choose_classes(name: str, known: Mapping[str, int], wanted: Sequence[str]) -> tuple[list[int], str]:
    """Return the numbers of the network's outputs that are meant, and what they are called.

    Parameters
    ----------
    name
        What the folder is called in errors.
    known
        Number of each output that is not the background, by its name.
    wanted
        Names or numbers; where it is empty the network must have one output.

    Raises
    ------
    ProviderError
        One is not there, or none was named and there are several.
    """
    told = ", ".join(f"{label} ({number})" for label, number in known.items()) or "nothing"
    if not wanted:
        if len(known) != 1:
            raise ProviderError(f"{name} draws {told}; say what is the finding with --label, once for each class.")
        wanted = list(known)
    by_word = {label.casefold(): (label, number) for label, number in known.items()}
    by_word |= {str(number): (label, number) for label, number in known.items()}
    chosen: dict[int, str] = {}
    for word in wanted:
        if word.strip().casefold() not in by_word:
            raise ProviderError(f"{name} does not draw {word!r}; it draws {told}.")
        label, number = by_word[word.strip().casefold()]
        chosen[number] = label
    return list(chosen), ", ".join(chosen.values())


def printable(text: object) -> str:
    """Return a name out of a file as text that a terminal and a page can show; at most 80 characters."""
    return "".join(character if character.isprintable() else "?" for character in str(text))[:80]
