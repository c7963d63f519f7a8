"""What is said about files and images that cannot be read: how many, where in the series, and whether too many."""

from collections.abc import Sequence
from itertools import groupby

from AcuteFindingsLib.study.notice import Notice

MOST_LOST = 1 / 3
"""Share of a series' images beyond which what is left is not the study any more; ours."""

_RUNS_NAMED = 5


def unreadable_notice(places: Sequence[int], count: int, *, order: str, what: str = "images") -> Notice:
    """Return the notice ``unreadable-file`` about images that were left out: a refusal where a third is lost.

    Parameters
    ----------
    places
        Their places from 0, ascending.
    count
        How many there are with them.
    order
        What the places count along, as ``"along the stack"``.
    what
        ``"images"`` or ``"files"``.
    """
    lost = len(places)
    some = f"1 of {count} {what}" if lost == 1 else f"{lost} of {count} {what}"
    text = (
        f"{some} cannot be read (empty, cut short or damaged) and {'was' if lost == 1 else 'were'} left out: "
        f"{named_places(places)} {order}. Copy or export the study again."
    )
    return Notice("unreadable-file", "refuse" if lost > MOST_LOST * count else "warn", text)


def surplus_notices(surplus: int) -> tuple[Notice, ...]:
    """Return a warning where pixel data hold `surplus` images, or parts of one, more than the headers state."""
    if not surplus:
        return ()
    images = "1 image or a part of one" if surplus == 1 else f"{surplus} images or parts of one"
    text = (
        f"The pixel data hold {images} more than the headers state: Number of Frames, Rows or Columns (0028,0008, "
        "0028,0010 and 0028,0011) may be wrong. What is beyond was not read; look at the images and export them again."
    )
    return (Notice("frames-not-read", "warn", text),)


def named_places(places: Sequence[int]) -> str:
    """Return places from 0 as people count them: ``"numbers 3, 7 to 9"``."""
    runs = []
    for _, run in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
        numbers = [place + 1 for _, place in run]
        runs.append(f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}")
    more = f" and {len(runs) - _RUNS_NAMED} more ranges" if len(runs) > _RUNS_NAMED else ""
    return f"number{'s' * (len(places) > 1)} {', '.join(runs[:_RUNS_NAMED])}{more}"
