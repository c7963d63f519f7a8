"""What a name out of a file may be."""

import pytest

from AcuteFindingsLib import names


@pytest.mark.parametrize("text", ["chest-findings-small", "a", "v1.2", "x" * 64, "console"])
def test_plain_ids_are_ids(text):
    assert names.model_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", "../a", "a/b", "a\\b", "/a", "c:a", ".a", "a.", "-a", "a-", "A", "ä", "a\u202eb", "а",
        "a b", "a\n", "a\x00", "x" * 65, "providers", "con", "nul.txt", "com1", "lpt9.x", "arrays", "~", "$HOME", "%a%",
    ],
)  # fmt: skip
def test_what_could_be_a_path_a_device_or_a_look_alike_is_no_id(text):
    with pytest.raises(ValueError, match="cannot be a model's id"):
        names.model_id(text)


@pytest.mark.parametrize("text", [None, 3, ["a"], b"a"])
@pytest.mark.parametrize("check", [names.model_id, names.detector_name, names.label_name, names.file_name])
def test_a_name_is_text(check, text):
    with pytest.raises(ValueError, match="cannot be"):
        check(text)


@pytest.mark.parametrize("text", ["../../../x", "__class__", "a.b", "PE", "pe\n", "", "pe/..", "_pe"])
def test_a_detectors_name_leads_nowhere(text):
    with pytest.raises(ValueError, match="detector"):
        names.detector_name(text)


@pytest.mark.parametrize("text", ["=1+1", "@x", "-x", "+x", "a\tb", "a\u200bb", "a/b", "", "<b>", 'a"b'])
def test_a_label_starts_no_formula_and_hides_nothing(text):
    with pytest.raises(ValueError, match="label"):
        names.label_name(text)
    for known in ("rv_lv_ge_1", "Enlarged Cardiomediastinum"):
        assert names.label_name(known) == known


@pytest.mark.parametrize("text", ["../1", "1/2", "", "1 2", "1\n", "1..2", "-1"])
def test_a_version_is_part_of_no_path(text):
    with pytest.raises(ValueError, match="version"):
        names.version_name(text)
    assert names.version_name("1.2.0-rc1+cpu")


def test_a_path_of_a_package_stays_below_its_folder(tmp_path):
    assert names.below(tmp_path, "models/model.pt") == tmp_path / "models" / "model.pt"
    for text in (
        "/etc/passwd",
        "a//b",
        "a/../b",
        "./a",
        "a/.hidden",
        "a/nul",
        "a/b.",
        "a/b ",
        "a\\b",
        "C:/x",
        "a/",
        "",
    ):
        with pytest.raises(ValueError, match=r"cannot be a file|not a path"):
            names.below(tmp_path, text)
    (tmp_path / "out").symlink_to("/")
    with pytest.raises(ValueError, match="outside"):
        names.below(tmp_path, "out/etc")


@pytest.mark.parametrize("text", ["\x1b[2J", "a\u202eb", "a\x07", "\x9b", "a\ufeff"])
def test_what_steers_a_terminal_or_turns_the_writing_is_no_plain_text(text):
    with pytest.raises(ValueError, match="control character"):
        names.plain_text(text)
    assert names.plain_text("Größe\n\t≥ 5 mm²")
