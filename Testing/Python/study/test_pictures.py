"""Pictures of every kind and mode are the radiograph or CT slices that they show, or refused in a sentence."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from AcuteFindingsLib.budgets import Budgets, budgets, set_budgets
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

GRAY = np.random.default_rng(3).integers(0, 256, (40, 60)).astype(np.uint8)


@pytest.fixture(scope="module")
def chest(data_folder: Path) -> np.ndarray:
    with Image.open(sorted((data_folder / "chest-xray-lungs" / "images").glob("*.png"))[2]) as picture:
        return np.asarray(picture.convert("L"))


def codes(file: Path, detector: str = "pneumothorax") -> list[str]:
    return [notice.code for notice in read_study(file, requirements=find_kind(detector).requirements).notices]


@pytest.mark.parametrize("name", ["a.png", "A.PNG", "a.tif", "a.tiff", "a.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA"])
def test_every_kind_and_mode_of_a_gray_picture_is_the_same(tmp_path: Path, name: str, mode: str) -> None:
    if name.endswith("bmp") and mode == "LA":
        pytest.skip("BMP has no such mode")
    Image.fromarray(GRAY).convert(mode).save(tmp_path / name)
    study = read_study(tmp_path / name, requirements=find_kind("pneumothorax").requirements)
    np.testing.assert_allclose(study.array[0], GRAY / 255, atol=1e-6)
    assert [notice.code for notice in study.notices] == ["side-assumed", "no-pixel-spacing"]


def test_a_cmyk_jpeg_and_a_jpeg_by_another_name_are_gray_too(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    Image.fromarray(smooth).convert("RGB").convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(smooth).save(tmp_path / "b.png", format="JPEG", quality=95)
    for name in ("a.jpg", "b.png"):
        np.testing.assert_allclose(read_study(tmp_path / name).array[0], smooth / 255, atol=0.04)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GRAY > 128).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_study(tmp_path / "a.png").array[0], GRAY > 128)


def test_what_is_transparent_is_dark(tmp_path: Path) -> None:
    opaque = np.where(np.arange(60) < 30, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([GRAY, GRAY, GRAY, np.tile(opaque, (40, 1))])).save(tmp_path / "a.png")
    array = read_study(tmp_path / "a.png").array[0]
    assert not array[:, :30].any()
    np.testing.assert_allclose(array[:, 30:], GRAY[:, 30:] / 255, atol=1e-6)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_the_camera_orientation_is_heeded(tmp_path: Path, name: str) -> None:
    smooth = np.add.outer(np.arange(64), 2 * np.arange(48)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth).save(tmp_path / name, exif=exif, quality=95)
    np.testing.assert_allclose(read_study(tmp_path / name).array[0], np.rot90(smooth, -1) / 255, atol=0.03)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_negative_chest_is_turned_with_a_warning(tmp_path: Path, chest: np.ndarray, depth: int) -> None:
    scale = 1 if depth == 8 else 257
    for name, array in (("plain.png", chest), ("negative.png", 255 - chest)):
        Image.fromarray((array.astype(int) * scale).astype(np.uint8 if depth == 8 else np.uint16)).save(tmp_path / name)
    plain, negative = (
        read_study(tmp_path / name, requirements=find_kind("pneumothorax").requirements)
        for name in ("plain.png", "negative.png")
    )
    assert [notice.code for notice in plain.notices] == ["side-assumed", "no-pixel-spacing"]
    assert [notice.code for notice in negative.notices] == ["inverted-grey", "side-assumed", "no-pixel-spacing"]
    np.testing.assert_allclose(negative.array, plain.array, atol=0.02)


@pytest.mark.parametrize(("turns", "code"), [(1, "on-its-side"), (2, "upside-down"), (3, "on-its-side")])
def test_a_chest_that_does_not_stand_is_warned_of(tmp_path: Path, chest: np.ndarray, turns: int, code: str) -> None:
    Image.fromarray(np.rot90(chest, turns)).save(tmp_path / "a.png")
    assert codes(tmp_path / "a.png")[0] == code
    assert code not in codes(tmp_path / "a.png", "hemorrhage")


def test_a_tiff_whose_lowest_value_is_white_is_turned(tmp_path: Path) -> None:
    deep = GRAY.astype(np.uint16) * 100
    Image.fromarray(deep).save(tmp_path / "a.tif")
    Image.fromarray(65535 - deep).save(tmp_path / "b.tif", tiffinfo={262: 0})
    one, other = (read_study(tmp_path / name).array for name in ("a.tif", "b.tif"))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_pages_of_a_tiff_are_the_slices_of_a_ct(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.roll(GRAY, k, axis=0)) for k in range(7)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    study = read_study(tmp_path / "a.tif", requirements=find_kind("hemorrhage").requirements)
    assert (study.array.shape, study.intensity, len(study.sources)) == ((7, 40, 60), "windowed", 7)
    for k in range(7):
        np.testing.assert_allclose(study.array[k], np.roll(GRAY, k, axis=0) / 255, atol=1e-6)
    with pytest.raises(StudyError, match="7 pages"):
        read_study(tmp_path / "a.tif", requirements=find_kind("pneumothorax").requirements)
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=[pages[1].resize((20, 20))])
    with pytest.raises(StudyError, match="different sizes"):
        read_study(tmp_path / "b.tif", requirements=find_kind("hemorrhage").requirements)


def test_a_smaller_copy_in_a_tiff_is_no_page(tmp_path: Path) -> None:
    small = Image.fromarray(GRAY[::4, ::4])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(GRAY).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    assert read_study(tmp_path / "a.tif", requirements=find_kind("pneumothorax").requirements).array.shape == (
        1,
        40,
        60,
    )


def test_a_float_tiff_is_read_by_its_values(tmp_path: Path) -> None:
    unit = (GRAY / 255).astype(np.float32)
    Image.fromarray(unit).save(tmp_path / "unit.tif")
    np.testing.assert_allclose(read_study(tmp_path / "unit.tif").array[0], unit, atol=1e-6)
    hu = unit * 2000 - 1000
    hu[3, 4] = np.nan
    Image.fromarray(hu).save(tmp_path / "hu.tif")
    study = read_study(tmp_path / "hu.tif", requirements=find_kind("hemorrhage").requirements)
    assert (study.intensity, study.modality, study.array[0, 3, 4]) == ("HU", "CT", -1024)
    assert codes(tmp_path / "hu.tif", "hemorrhage")[0] == "not-a-number"
    Image.fromarray(hu * np.nan).save(tmp_path / "nan.tif")
    with pytest.raises(StudyError, match="no finite value"):
        read_study(tmp_path / "nan.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_picture_is_refused(tmp_path: Path, name: str, share: float) -> None:
    Image.fromarray(GRAY).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(StudyError, match=name):
        read_study(tmp_path / name)


def test_a_flipped_bit_in_a_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) - 40] ^= 4
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(StudyError, match="damaged"):
        read_study(tmp_path / "a.png")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def piece(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = piece(b"IHDR", size) + piece(b"IDAT", zlib.compress(bytes(1000))) + piece(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(PngImagePlugin._MAGIC + body)
    with pytest.raises(StudyError, match="than are allowed"):
        read_study(tmp_path / "bomb.png")
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    before = budgets()
    set_budgets(Budgets(pixels=1000))
    try:
        with pytest.raises(StudyError, match="than are allowed"):
            read_study(tmp_path / "a.png")
    finally:
        set_budgets(before)


@pytest.mark.parametrize(
    ("form", "kind"), [("WEBP", "a WebP picture"), ("GIF", "a GIF picture"),
                                            ("JPEG2000", "a JPEG 2000 picture"), ("PDF", "a PDF document")],
)  # fmt: skip
def test_other_kinds_are_named_with_those_that_are_read(tmp_path: Path, form: str, kind: str) -> None:
    Image.fromarray(GRAY).convert("RGB").save(tmp_path / "a.png", format=form)
    with pytest.raises(StudyError, match=f"{kind}.*PNG, JPEG, BMP and TIFF are read"):
        read_study(tmp_path / "a.png")


def test_a_photograph_is_refused_and_a_few_colored_marks_are_not(tmp_path: Path) -> None:
    color = np.stack([GRAY, GRAY // 2, GRAY // 4], axis=-1)
    Image.fromarray(color).save(tmp_path / "photo.jpg")
    with pytest.raises(StudyError, match="color picture"):
        read_study(tmp_path / "photo.jpg")
    marked = np.stack([GRAY] * 3, axis=-1)
    marked[2:4, 5:9] = (255, 0, 0)
    Image.fromarray(marked).save(tmp_path / "marked.png")
    assert read_study(tmp_path / "marked.png").array.shape == (1, 40, 60)
