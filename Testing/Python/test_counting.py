"""Counts and times as people say them."""

import pytest

from AcuteFindingsLib.counting import about, counted


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "about 1 second"),
        (7.4, "about 7 seconds"),
        (43, "about 40 seconds"),
        (54.9, "about 50 seconds"),
        (55, "about 1 minute"),
        (700, "about 12 minutes"),
        (9000, "about 150 minutes"),
    ],
)
def test_a_time_is_told_as_roughly_as_it_is_known(seconds, told) -> None:
    assert about(seconds) == told


def test_one_is_one_and_several_are_several() -> None:
    assert (counted(1, "study"), counted(2, "study"), counted(0, "slice")) == ("1 study", "2 studies", "0 slices")
