"""Phantoms are drawn by generators that know no detector; the finding's name comes from the detector's kind."""

import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import find_generator, make_phantom, phantom_kinds
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.phantoms.phantom import FINDING

SMALL = {
    "ctpa": {"matrix": 64, "slice_spacing": 5.0},
    "head-ct": {"matrix": 32, "slice_spacing": 50.0},
    "chest-xray": {"size": 64},
}


def test_there_is_one_kind_of_phantom_for_each_detector() -> None:
    assert phantom_kinds() == tuple(kind.phantoms.generator for kind in kinds() if kind.phantoms)
    assert set(phantom_kinds()) >= set(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_a_generator_calls_its_finding_as_it_is_told_and_draws_the_same(kind: str) -> None:
    named = make_phantom(kind, 5, positive=True, **SMALL[kind])
    plain = find_generator(kind)(5, positive=True, **SMALL[kind])
    name = next(one.phantoms.finding for one in kinds() if one.phantoms and one.phantoms.generator == kind)
    np.testing.assert_array_equal(named.array, plain.array)
    for told, untold in ((named.masks, plain.masks), (named.slice_labels, plain.slice_labels)):
        assert [FINDING if key == name else key for key in told] == list(untold)
    assert name in {*named.masks, *named.slice_labels}


def test_options_from_elsewhere_do_not_rename_the_finding() -> None:
    phantom = make_phantom("chest-xray", 5, positive=True, finding="../../x", **SMALL["chest-xray"])
    assert next(iter(phantom.slice_labels)) == "pneumothorax"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of ctpa, head-ct, chest-xray"):
        make_phantom("leg", 1)
