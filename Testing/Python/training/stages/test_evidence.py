from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.evaluation.contact_sheet import Panel
from AcuteFindingsLib.models.metadata import OperatingPoint
from AcuteFindingsLib.training.recipes.schema import Evidence
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.score import Answers, MaskAnswer, Scored
from AcuteFindingsLib.training.stages import evidence
from AcuteFindingsLib.training.stages.evidence import write_evidence

SIZE = 16


def item(folder: Path, name: str, *, positive: bool) -> Item:
    mask = np.zeros((1, SIZE, SIZE), np.uint8)
    mask[:, 4:8, 4:8] = positive
    arrays = {
        "images": np.full((1, SIZE, SIZE), 200, np.uint8),
        "masks": mask,
        "labels": np.array([[float(positive)]], np.float32),
        "mask_known": np.ones(1, bool),
        "positive": np.array([positive]),
        "exam": np.full(9, np.nan, np.float32),
        "keys": np.array([name]),
    }
    Item.write(arrays, folder / name)
    return Item(name, name, folder / name)


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Panel]]:
    """The panels of each sheet by its file."""
    found: dict[str, list[Panel]] = {}

    def write(panels: list[Panel], target: Path, *, columns: int) -> Path:
        found[target.name] = list(panels)
        target.write_bytes(b"sheet")
        return target

    monkeypatch.setattr(evidence, "write_sheet", write)
    return found


def write(tmp_path: Path, plan: Evidence, *, known: bool = True) -> tuple[list, dict[str, bytes]]:
    items = [item(tmp_path, name, positive=name != "well") for name in ("good", "bad", "well")]
    masks = []
    for one, shift in zip(items, (0, 2, 0), strict=True):
        soft = 255 * np.roll(one.masks(), shift, axis=1)
        masks.append(MaskAnswer(one.key, one.patient, soft, one.masks().astype(bool), np.array([known])))
    keys = np.array([one.key for one in items])
    answers = Answers(keys, keys, np.array([[1.0], [1], [0]]), np.array([[0.9], [0.4], [0.1]]))
    points = [OperatingPoint(level="mask", label="any", threshold=0.5, chosen="half")]
    return write_evidence(plan, Scored({"study": answers}, masks), items, points, tmp_path, who="of a test")


def test_the_worst_outline_stands_first_and_what_is_not_there_has_no_panel(tmp_path: Path, sheets) -> None:
    (picture,), files = write(tmp_path, Evidence(images=True))
    assert list(sheets) == list(files) == [picture.file] == ["evidence.png"]
    assert [panel.title for panel in sheets["evidence.png"]] == ["0.500", "1.000"]
    assert [panel.note for panel in sheets["evidence.png"]] == ["probability 0.40", "probability 0.90"]
    assert "Below a Dice of 0.9: 1" in picture.caption
    assert write(tmp_path, Evidence(pictures=1))[0]
    assert [panel.title for panel in sheets["evidence.png"]] == ["0.500"]


def test_what_may_not_be_shown_is_in_no_file_of_the_package(tmp_path: Path, sheets) -> None:
    (picture,), files = write(tmp_path, Evidence())
    assert list(files) == [picture.file] == ["evidence-without-images.png"]
    for panel in sheets[picture.file]:
        # Nothing but what people outlined.
        assert set(np.unique(panel.image)) == {0.0, np.float32(0.4)}


@pytest.mark.slow
def test_where_nobody_outlined_the_finding_the_least_sure_stands_first(tmp_path: Path, sheets) -> None:
    (picture,), _ = write(tmp_path, Evidence(), known=False)
    panels = sheets["evidence-without-images.png"]
    assert [panel.note for panel in panels] == ["probability 0.40", "probability 0.90"]
    assert all(panel.heat is not None and not panel.title for panel in panels)
    assert "Dice" not in picture.caption
