"""A study that a client packed comes back as it was; what a stranger packs is refused before it costs anything."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib import budgets
from AcuteFindingsLib.errors import CancelledError, StudyError
from AcuteFindingsLib.jobs.arrays import save_study
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.packed_study import ARRAY, STUDY, is_packed_study, pack_study, read_packed_study
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

MATRIX = np.array([[-0.5, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 2.5, -30], [0, 0, 0, 1.0]])
Facts = dict[str, Any]


def study_of(shape: tuple[int, int, int] = (5, 4, 3)) -> Study:
    values = np.random.default_rng(1).integers(-1024, 3000, shape).astype(np.float32)
    centers = (MATRIX @ [[1.0] * shape[0], [1.5] * shape[0], range(shape[0]), [1.0] * shape[0]])[:3].T
    return Study(
        array=values,
        ijk_to_ras=MATRIX,
        modality="CT",
        intensity="HU",
        orientation="axial",
        sources=tuple(
            SourceSlice(k, Path("/home/doe/one.dcm"), 0, f"1.2.{k}", tuple(center), float(k), 2.5)
            for k, center in enumerate(centers.tolist())
        ),
        dicom=DicomFacts(series_instance_uid="1.2", image_type=("ORIGINAL", "PRIMARY"), kvp=120.0, stated=("chest",)),
        notices=(Notice("missing-slices", "warn", "Two slices are missing."),),
        source_name="Doe^Jane",
    )


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return pack_study(save_study(study_of(), tmp_path / "study", dtype=np.int16), tmp_path / "packed.zip")


@pytest.fixture
def altered(packed: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the packed study with other facts or another array."""

    def altered(
        facts: Callable[[Facts], object] | bytes | None = None, array: bytes | None = None, **more: bytes
    ) -> Path:
        with zipfile.ZipFile(packed) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if callable(facts):
            changed = json.loads(members[STUDY])
            facts(changed)
            members[STUDY] = json.dumps(changed).encode()
        elif facts is not None:
            members[STUDY] = facts
        if array is not None:
            members[ARRAY] = array
        path = tmp_path / "altered.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {**members, **more}.items():
                archive.writestr(name, data)
        return path

    return altered


def npy(array: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def header(text: str) -> bytes:
    line = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line.encode()


def test_a_packed_study_comes_back_as_it_was_but_for_names(packed: Path) -> None:
    study, back = study_of(), read_study(packed)
    np.testing.assert_array_equal(back.array, study.array)
    np.testing.assert_array_equal(back.ijk_to_ras, MATRIX)
    nameless = replace(study, sources=tuple(replace(source, file=None) for source in study.sources))
    assert replace(back, array=None, ijk_to_ras=None) == replace(
        nameless, array=None, ijk_to_ras=None, source_name="The study"
    )
    assert back.array.dtype == np.float32
    assert type(back.dicom) is DicomFacts


def test_what_is_packed_names_no_file_and_no_study(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        text = archive.read(STUDY).decode()
    assert "doe" not in text.lower()


def test_the_same_study_is_packed_as_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    again = pack_study(save_study(study_of(), tmp_path / "again", dtype=np.int16), tmp_path / "again.zip")
    assert again.read_bytes() == packed.read_bytes()


def test_packing_stops_when_asked_and_leaves_nothing(tmp_path: Path) -> None:
    folder = save_study(study_of(), tmp_path / "study")
    with pytest.raises(CancelledError):
        pack_study(folder, tmp_path / "out" / "packed.zip", cancelled=lambda: True)
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_without_a_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="could not be packed"):
        pack_study(tmp_path, tmp_path / "packed.zip")


def test_values_that_are_no_numbers_are_told_as_of_any_file(tmp_path: Path) -> None:
    study = study_of()
    study.array[0, 0, 0] = np.nan
    back = read_study(pack_study(save_study(study, tmp_path / "study"), tmp_path / "packed.zip"))
    assert np.isfinite(back.array).all()
    assert [notice.code for notice in back.notices] == ["missing-slices", "not-a-number"]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_every_plain_type_is_read_as_float32(altered: Callable[..., Path], kind: type) -> None:
    values = np.arange(60).reshape(5, 4, 3).astype(kind)
    array = read_packed_study(altered(array=npy(values))).array
    np.testing.assert_array_equal(array, values)
    assert array.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("objects, which are pickles", npy(np.full((5, 4, 3), None, object), allow_pickle=True)),
        ("text", npy(np.full((5, 4, 3), "word"))),
        ("complex numbers", npy(np.zeros((5, 4, 3), complex))),
        ("named fields", npy(np.zeros((5, 4, 3), [("a", "<f4")]))),
        ("dates", npy(np.zeros((5, 4, 3), "<M8[s]"))),
        ("big-endian numbers", npy(np.zeros((5, 4, 3), ">f4"))),
        ("columns first", npy(np.asfortranarray(np.zeros((5, 4, 3), "<f4")))),
        ("long double", npy(np.zeros((5, 4, 3), np.longdouble))),
        ("two axes", npy(np.zeros((5, 12), "<f4"))),
        ("another shape", npy(np.zeros((3, 4, 5), "<f4"))),
        ("no voxels", npy(np.zeros((0, 4, 3), "<f4"))),
        ("a negative shape", header("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, -4, 3), }")),
        ("a shape of words", header("{'descr': '<f4', 'fortran_order': False, 'shape': ('5', 4, 3), }")),
        ("true as a length", header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4, 3), }")),
        ("a program", header("{'descr': __import__('os').system('false'), 'fortran_order': False, 'shape': ()}")),
        ("a long header", header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 4, 3), }" + " " * 4000)),
        ("nested brackets", header("(" * 100)),
        ("a type of a type", header("{'descr': ('<f4', (5, 4, 3)), 'fortran_order': False, 'shape': (5, 4, 3), }")),
        ("version 2 of the format", npy(np.zeros((5, 4, 3), "<f4"), version=(2, 0))),
        ("fewer values than said", npy(np.zeros((5, 4, 3), "<f4"))[:-4]),
        ("more values than said", npy(np.zeros((5, 4, 3), "<f4")) + b"1234"),
        ("no header", b"1234"),
        ("nothing", b""),
    ],
)
def test_an_array_that_is_none_is_refused(altered: Callable[..., Path], name: str, array: bytes) -> None:
    with pytest.raises(StudyError, match="packed study"):
        read_packed_study(altered(array=array))


def test_a_shape_beyond_the_budgets_takes_no_memory(
    altered: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("memory was taken"))
    shape = (2000, 1024, 1024)
    path = altered(
        lambda facts: facts.update(shape=list(shape)),
        header(f"{{'descr': '|i1', 'fortran_order': False, 'shape': {shape}, }}"),
    )
    with pytest.raises(StudyError, match="larger than any examination"):
        read_packed_study(path)


def test_a_length_that_only_the_directory_states_is_found(altered: Callable[..., Path], tmp_path: Path) -> None:
    path = altered()
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    data[place + 24 : place + 28] = (1_000_000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(StudyError, match="packed study"):
        read_packed_study(path)


def test_an_array_that_unpacks_beyond_the_budgets_is_refused(
    altered: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(budgets.Budgets(), ratio_counts_from=10_000, unpacked_ratio=20.0)
    monkeypatch.setattr(budgets, "_current", limits)
    facts = lambda facts: facts.update(shape=[5, 400, 300])  # noqa: E731
    with pytest.raises(StudyError, match="20 times its size"):
        read_packed_study(altered(facts, npy(np.zeros((5, 400, 300), "<i2"))))


@pytest.mark.parametrize(
    "lie",
    [
        lambda facts: facts.update(format=2),
        lambda facts: facts.update(shape="5"),
        lambda facts: facts.pop("modality"),
        lambda facts: facts.update(modality="CT" * 100),
        lambda facts: facts.update(intensity="unit"),
        lambda facts: facts.update(intensity="brightness"),
        lambda facts: facts.update(orientation="projection"),
        lambda facts: facts.update(pixel_spacing_known="no"),
        lambda facts: facts.update(ijk_to_ras=[[1, 0], [0, 1]]),
        lambda facts: facts.update(ijk_to_ras=np.zeros((4, 4)).tolist()),
        lambda facts: facts["ijk_to_ras"][0].__setitem__(0, float("nan")),
        lambda facts: facts["ijk_to_ras"][0].__setitem__(1, 3.0),
        lambda facts: facts["ijk_to_ras"][3].__setitem__(0, 1.0),
        lambda facts: facts["ijk_to_ras"][2].__setitem__(2, 25.0),
        lambda facts: facts.update(sources=[]),
        lambda facts: facts["sources"].pop(),
        lambda facts: facts["sources"].reverse(),
        lambda facts: facts["sources"][0].update(file="/etc/passwd"),
        lambda facts: facts["sources"][0].update(k=1e9),
        lambda facts: facts["sources"][0].update(k="first"),
        lambda facts: facts["sources"][0].update(position_ras=[0.0, 0.0]),
        lambda facts: facts["sources"][0].update(position_ras=[0.0, 0.0, 1e9]),
        lambda facts: facts["sources"][0].update(thickness_mm=float("inf")),
        lambda facts: facts["sources"][0].update(name="one"),
        lambda facts: facts["dicom"].update(kvp="many"),
        lambda facts: facts["dicom"].update(manufacturer="x" * 10_000),
        lambda facts: facts["dicom"].update(manufacturer="\x1b[2J"),
        lambda facts: facts["dicom"].update(image_type=["\u202e"]),
        lambda facts: facts["dicom"].update(stated=["chest"] * 10_000),
        lambda facts: facts["dicom"].update(patient_name="Doe"),
        lambda facts: facts.update(dicom=[]),
        lambda facts: facts["notices"][0].update(severity="harmless"),
        lambda facts: facts["notices"][0].update(code="<b>"),
        lambda facts: facts["notices"][0].update(text="one\x07"),
        lambda facts: facts.update(notices=facts["notices"] * 1000),
        lambda facts: facts.update(notices=None),
        b"{",
        b"[" * 100,
        b"[]",
        b"\xff",
        b"1" * 10_000,
    ],
)
def test_facts_that_cannot_be_are_refused_in_one_sentence(altered: Callable[..., Path], lie: Any) -> None:
    with pytest.raises(StudyError, match=r"packed study.*(shape|slices|\.)") as caught:
        read_packed_study(altered(lie))
    assert "passwd" not in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_the_plane_of_the_slices_is_what_their_place_says(altered: Callable[..., Path]) -> None:
    assert read_packed_study(altered(lambda facts: facts.update(orientation="coronal"))).orientation == "axial"


def test_a_zip_with_more_in_it_is_no_packed_study(altered: Callable[..., Path], packed: Path) -> None:
    assert is_packed_study(packed)
    path = altered(**{"more.txt": b"more"})
    assert not is_packed_study(path)
    with pytest.raises(StudyError, match="holds no DICOM file"):
        read_study(path)


def test_a_packed_study_that_was_cut_short_is_told(packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    packed.write_bytes(data)
    with pytest.raises(StudyError, match="damaged or cut short"):
        read_packed_study(packed)


def test_encrypted_and_unusual_entries_are_refused(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / "unusual.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(StudyError, match="unusual way"):
        read_packed_study(path)
