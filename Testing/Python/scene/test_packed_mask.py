import base64
import json
import tracemalloc
import zlib

import numpy as np
import pytest

from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.scene.packed_mask import mask_box, pack_mask, packed_box, unpack_mask


def test_a_mask_comes_back_voxel_by_voxel_after_json() -> None:
    mask = (np.random.default_rng(5).random((7, 31, 23)) > 0.8).astype(np.uint8)
    mask[:2] = 0
    mask[:, :, 20:] = 0
    packed = json.loads(json.dumps(pack_mask(mask)))
    assert np.array_equal(unpack_mask(packed), mask)
    voxels, first = packed_box(packed)
    assert first == (2, 0, 0)
    assert voxels.shape[2] == 20


def test_an_empty_mask_stays_one() -> None:
    packed = pack_mask(np.zeros((3, 4, 5), np.uint8))
    assert unpack_mask(packed).shape == (3, 4, 5)
    assert not unpack_mask(packed).any()


def test_a_bleed_takes_little_room(head) -> None:
    assert len(json.dumps(pack_mask(head.finding.masks[0].array))) < 3000


def test_the_box_is_the_smallest_that_holds_the_mask() -> None:
    """Against scipy's."""
    from scipy import ndimage

    generator = np.random.default_rng(4)
    for _ in range(60):
        mask = (generator.random((5, 9, 7)) > generator.choice([0.9, 0.98, 0.995])).astype(np.uint8)
        assert mask_box(mask) == (ndimage.find_objects(mask) or [None])[0]
        assert mask_box(mask.astype(bool)[:, ::-1]) == (ndimage.find_objects(mask[:, ::-1]) or [None])[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"bits": "no base64 at all!"},
        {"bits": base64.b64encode(b"not deflated").decode()},
        {"box": [[0, 10**9]] * 3},
        {"box": [[0, -5], [0, 1], [0, 1]]},
        {"shape": [10**6] * 3, "box": [[0, 10**6]] * 3},
        {"shape": None},
        {"box": []},
        {"box": [[0, 1e400], [0, 1], [0, 1]]},
    ],
)
def test_what_another_program_wrote_in_its_place_is_a_sentence(changes):
    packed = {**pack_mask(np.ones((2, 3, 4), np.uint8)), **changes}
    with pytest.raises(SceneError, match="run the detector again"):
        unpack_mask(packed)


@pytest.mark.slow
def test_a_mask_that_would_unpack_without_end_is_read_no_further_than_its_box():
    packed = pack_mask(np.ones((2, 3, 4), np.uint8))
    packed["bits"] = base64.b64encode(zlib.compress(b"\xff" * (1 << 28), 9)).decode()
    tracemalloc.start()
    assert unpack_mask(packed).all()
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
