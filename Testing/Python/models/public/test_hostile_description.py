"""A description of somebody else's is data: what could hang, fill memory or fail late is refused when it is read."""

import pytest
from pydantic import ValidationError

from AcuteFindingsLib.models.public.description import ImageFormat, Rename, WeightsFile


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|b){9}", "(", "a" * 201])
def test_patterns_that_cannot_be_or_take_forever_are_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        Rename(pattern=pattern, to="b")
    with pytest.raises(ValidationError):
        WeightsFile(path=["a.safetensors"], unused=[pattern])


def test_plain_patterns_are_taken() -> None:
    assert Rename(pattern=r"module\\.(.+)", to=r"\\1").pattern
    assert WeightsFile(path=["a.safetensors"], unused=[r".*num_batches_tracked"]).unused


@pytest.mark.parametrize(
    "image",
    [
        {"channels": 1, "shape": [0, 8], "value_range": (0, 1)},
        {"channels": 1, "shape": [10**9, 10**9], "value_range": (0, 1)},
        {"channels": 1, "shape": [8, 8], "value_range": (0, float("nan"))},
    ],
)
def test_images_that_none_has_are_refused(image: dict) -> None:
    with pytest.raises(ValidationError):
        ImageFormat(**image)
