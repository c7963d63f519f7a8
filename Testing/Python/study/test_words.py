"""The table of words: body parts, contrast, kinds of image, kernels and units."""

import pytest

from AcuteFindingsLib.study.words import agent_given, is_bone_kernel, is_lung_kernel, kinds_of, parts_of, unit_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Tórax", {"chest"}),
        ("TORACE", {"chest"}),
        ("Poumons", {"chest"}),
        ("ThoraxRoutine", {"chest"}),
        ("CHESTABDPELVIS", {"chest", "abdomen", "pelvis"}),
        ("CT TAP", {"chest", "abdomen", "pelvis"}),
        ("ABD AND PELVIS", {"abdomen", "pelvis"}),
        ("Schädel", {"head"}),
        ("głowa", {"head"}),
        ("TÊTE", {"head"}),
        ("CTHEAD", {"head"}),
        ("ГОЛОВНОЙ МОЗГ", {"head"}),
        ("頭部単純", {"head"}),
        ("흉부", {"chest"}),
        ("HEADNECK", {"head", "neck"}),
        ("T-SPINE", {"spine"}),
        ("THORACIC SPINE", {"spine"}),
        ("CHEST AND THORACIC SPINE", {"chest", "spine"}),
        ("NECKCHESTABDPELV", {"neck", "chest", "abdomen", "pelvis"}),
        ("UPRURINARYTRACT", {"abdomen"}),
        ("IAC", {"face"}),
        ("TLSPINE", {"spine"}),
        ("SELLA", {"head"}),
        ("AP PORTABLE CHE", {"chest"}),
        ("ABD/PEL", {"abdomen", "pelvis"}),
        ("Lunge", {"chest"}),
        ("CXR", {"chest"}),
        ("WHOLEBODY", set()),
        ("HEADER", set()),
        ("HEADACHE", set()),
        ("CHESTER", set()),
        ("ARMY LEGEND", set()),
    ],
)
def test_body_parts_are_whole_words_in_any_language(text: str, parts: set[str]) -> None:
    assert parts_of(text) == parts


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("WO IV CONT", {"plain"}),
        ("Head W/O", {"plain"}),
        ("ohne KM", {"plain"}),
        ("sin contraste", {"plain"}),
        ("non-enhanced", {"plain"}),
        ("CTA without contrast", {"plain"}),
        ("VUE", {"plain"}),
        ("Thorax mit KM", {"enhanced"}),
        ("post contrast", {"enhanced"}),
        ("C+", {"enhanced"}),
        ("NO IV CONTRAST", {"plain"}),
        ("Contrast: none", {"plain"}),
        ("ilman varjoainetta", {"plain"}),
        ("nach KM", {"enhanced"}),
        ("CT CHEST W_ENHA", {"enhanced"}),
        ("HEAD W WO CONTRAST", set()),
        ("ABD WO_W", set()),
        ("mit und ohne KM", set()),
        ("con y sin contraste", set()),
        ("avec et sans injection", set()),
        ("Thorax p.a.", {"frontal"}),
        ("boczne", {"lateral"}),
        ("正位", {"frontal"}),
        ("TOPO", {"localizer"}),
        ("CT_SOM5 MIP", {"slab"}),
        ("MIPPING", set()),
        ("Iodine map", {"material map"}),
        ("BILATERAL", set()),
        ("CHEST PA AND LAT", {"frontal", "lateral"}),
        ("Lung PE", {"lung", "pulmonary angiogram", "enhanced"}),
    ],
)
def test_descriptions_are_understood_by_whole_words(text: str, kinds: set[str]) -> None:
    assert kinds_of(text) == kinds


@pytest.mark.parametrize(
    ("agent", "given"),
    [
        ("Iohexol", True),
        ("APPLIED", True),
        ("ORAL & IV", True),
        ("NONE", False),
        ("N", False),
        ("No contrast", False),
        ("Not given", False),
        ("ninguno", False),
        ("нет", False),
        ("", None),
        ("UNKNOWN", None),
        ("Oral only", None),
    ],
)
def test_an_agent_is_given_denied_or_not_stated(agent: str, given: bool | None) -> None:
    assert agent_given(agent) is given


@pytest.mark.parametrize(
    ("kernel", "lung", "bone"),
    [
        ("B70f", True, True),
        ("Bl57d", True, False),
        ("FC52", True, False),
        ("L", True, False),
        ("BONEPLUS", False, True),
        ("YB", False, True),
        ("H30s", False, False),
        ("FC18", False, False),
        ("STANDARD", False, False),
        ("D", False, False),
    ],
)
def test_kernels_of_four_manufacturers_are_told_apart(kernel: str, lung: bool, bone: bool) -> None:
    assert (is_lung_kernel(kernel), is_bone_kernel(kernel)) == (lung, bone)


@pytest.mark.parametrize(
    ("rescale_type", "unit"),
    [("HU", "HU"), ("HOUNDSFIELD UNIT", "HU"), ("", "HU"), ("HONSFIELD", "HU"),
     ("MGML", "mg/ml"), ("Z_EFF", "effective atomic numbers"),
     ("HU_MOD", "?")],
)  # fmt: skip
def test_units_other_than_hu_are_named(rescale_type: str, unit: str) -> None:
    assert unit_of(rescale_type) == unit
