"""Which models stand first in lists, and how their figures read."""

import pytest

from AcuteFindingsLib.models.evidence import SAW_PATIENTS, evidence_rank, figures

PUBLISHED = {
    "metric": "AUC, series",
    "label": "any",
    "value": 0.980402,
    "data": "held-out",
    "count": "989 patients",
    "source": "https://example.org/card",
}
MEASURED = {"metric": "Dice", "value": 0.9, "low": 0.85, "high": 0.94, "data": "58 radiographs", "count": 58}


@pytest.fixture
def card(make_card):
    def make(*, phantoms=False, **fields):
        made = make_card().model_dump(mode="json", by_alias=True)
        made["training_data"]["phantoms_only"] = phantoms
        return {**made, "evaluation": [], "never_saw": "", **fields}

    return make


def test_patients_stand_before_phantoms_and_measured_before_unmeasured(card):
    order = [
        card(published=[PUBLISHED]),
        card(),
        card(evaluation=[MEASURED], never_saw="a whole scan of a patient"),
        card(phantoms=True, evaluation=[MEASURED], never_saw="a patient"),
    ]
    assert [evidence_rank(one) for one in order] == sorted({evidence_rank(one) for one in order})
    assert evidence_rank(card(evaluation=[MEASURED])) == SAW_PATIENTS


def test_a_figure_says_what_it_was_measured_on_and_by_whom(card):
    assert figures(card(published=[PUBLISHED], evaluation=[MEASURED])) == (
        "AUC, series, any: 0.980 (989 patients; published by its authors: https://example.org/card)",
        "Dice: 0.900, 95 % interval 0.850 to 0.940 (58 radiographs; measured with this package)",
    )
    emboli = {**PUBLISHED, "metric": "Emboli found", "label": "", "value": 181}
    assert figures(card(published=[emboli]))[0].startswith("Emboli found: 181 (")
    assert figures(card()) == ()
