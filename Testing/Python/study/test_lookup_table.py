"""Lookup tables are read as files in the wild write them, and what is no table is none."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from AcuteFindingsLib.study.lookup_table import has_unusable_table, modality_table, voi_table

RAMP = np.arange(16)


def header_of(descriptor: object, data: object = None, vr: str = "OW", **attributes: object) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    if data is not None:
        item.add_new("LUTData", vr, data)
    header = Dataset()
    header.VOILUTSequence = [item]
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def test_values_outside_the_table_get_its_ends() -> None:
    table = voi_table(header_of([3, 10, 8], [7, 100, 250], "US"))
    assert table is not None
    np.testing.assert_array_equal(table.of(np.array([-5.0, 10, 11, 12, 99])), [7, 7, 100, 250, 250])
    assert table.top == 255


@pytest.mark.parametrize(
    ("descriptor", "data", "vr"),
    [
        ([16, 0, 8], (RAMP * 17).astype("<u2").tobytes(), "OW"),
        ([16, 0, 8], (RAMP * 17).astype("u1").tobytes(), "OW"),
        ([16, 0, 8], (RAMP * 17).tolist(), "US"),
        ([16, 0, 8], (RAMP * 17).astype("u1").view("<u2").tolist(), "US"),
    ],
    ids=["words", "bytes", "numbers", "two a number"],
)
def test_eight_bit_entries_are_read_however_they_are_packed(descriptor: list[int], data: object, vr: str) -> None:
    table = voi_table(header_of(descriptor, data, vr))
    assert table is not None
    np.testing.assert_array_equal(table.of(RAMP), RAMP * 17)
    assert table.top == 255


@pytest.mark.parametrize(
    ("bits", "largest", "top"),
    [(16, 4095, 4095), (12, 4095, 4095), (10, 4095, 4095), (16, 40000, 65535), (5, 4095, 4095)],
)
def test_bits_are_those_that_the_table_uses(bits: int, largest: int, top: int) -> None:
    table = voi_table(header_of([16, 0, bits], np.linspace(0, largest, 16).astype(int).tolist(), "US"))
    assert table is not None
    assert table.top == top


def test_a_count_of_zero_is_65536_and_the_first_value_may_be_negative() -> None:
    whole = voi_table(header_of([0, 0, 16], np.arange(65536).astype("<u2").tobytes()))
    assert whole is not None
    assert whole.of(np.array([40000]))[0] == 40000
    for attributes in ({"PixelRepresentation": 1}, {"RescaleIntercept": -1024}):
        signed = voi_table(header_of([16, 65536 - 8, 8], (RAMP * 17).tolist(), "US", **attributes))
        assert signed is not None
        np.testing.assert_array_equal(signed.of(np.array([-8, 0])), [0, 8 * 17])


@pytest.mark.parametrize(
    ("descriptor", "data"),
    [(None, None), ([16, 0, 16], None), (16, RAMP.tolist()), ([16, 0, 16], [1, 2, 3]), ([16, 0, 16], [5] * 16)],
    ids=["no descriptor", "no data", "one number", "too short", "constant"],
)
def test_what_is_no_table_is_none_and_told(descriptor: object, data: object) -> None:
    header = header_of(descriptor, data, "US")
    assert voi_table(header) is None
    assert has_unusable_table(header, "VOILUTSequence")
    assert modality_table(header) is None
    assert not has_unusable_table(header, "ModalityLUTSequence")
