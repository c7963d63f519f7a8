"""How urgent a study is, and that it rises while it waits."""

from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.worklist.urgency import UrgencySettings, read_urgency

SETTINGS = UrgencySettings(limit_minutes=100)


def test_positive_before_indeterminate_before_negative_before_unread() -> None:
    order = [
        SETTINGS.urgency("positive", 0.55),
        SETTINGS.urgency("indeterminate", 0.45),
        SETTINGS.urgency("negative", 0.3),
        SETTINGS.urgency(None, None),
    ]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 4


def test_of_two_positives_the_more_probable_is_first_and_the_detector_weighs() -> None:
    assert SETTINGS.urgency("positive", 0.9) > SETTINGS.urgency("positive", 0.6)
    weighed = UrgencySettings(weights={"lungs": 0.5})
    assert weighed.urgency("positive", 0.9, "lungs") == pytest.approx(0.5 * weighed.urgency("positive", 0.9, "heart"))


def test_nobody_past_the_limit_waits_for_anybody_before_it() -> None:
    urgencies = np.linspace(0, 1, 11)
    before = SETTINGS.standing(urgencies, np.full(11, 99.9))
    after = SETTINGS.standing(urgencies, np.full(11, 100.0))
    assert before.max() <= 1 <= after.min()
    assert SETTINGS.standing(0.0, 130.0) > SETTINGS.standing(1.0, 129.0)


def test_standing_never_falls_while_a_study_waits() -> None:
    for urgency in (0.0, 0.4, 1.0):
        assert (np.diff(SETTINGS.standing(urgency, np.linspace(0, 300, 400))) >= -1e-12).all()


def test_settings_of_a_file_are_used_and_wrong_ones_are_named(tmp_path: Path) -> None:
    file = tmp_path / "urgency.toml"
    file.write_text("limit_minutes = 60\n[weights]\nlungs = 0.5\n", encoding="utf-8")
    assert read_urgency(file) == UrgencySettings(limit_minutes=60, weights={"lungs": 0.5})
    for text, named in (
        ("limit = 60", "limit"),
        ("limit_minutes = -1", "limit_minutes"),
        ("limit_minutes = inf", "limit_minutes"),
        ("[weights]\nlungs = 2", "weights.lungs"),
        ("[weights]\n'../x' = 1", "weights"),
        ("not toml", "TOML"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=named):
            read_urgency(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_urgency(tmp_path / "none.toml")
