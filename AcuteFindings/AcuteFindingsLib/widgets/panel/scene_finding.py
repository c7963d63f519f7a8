"""A scene's result as a whole `Finding` again: with the masks as the model gave them, and the heat map."""

from dataclasses import replace

from AcuteFindingsLib.detectors.finding import Finding, Heatmap, mask_from_dict
from AcuteFindingsLib.scene.packed_mask import unpack_mask
from AcuteFindingsLib.scene.results import SceneResult, finding_data
from AcuteFindingsLib.scene.segment_voxels import volume_array, volume_ijk_to_ras


def whole_finding(result: SceneResult) -> Finding:
    """Return the finding with its arrays; what an annotator changed since is not in it.

    Raises
    ------
    ValueError, KeyError
        When the finding's node was overwritten.
    """
    data = finding_data(result)
    masks = tuple(
        mask_from_dict(entry, unpack_mask(packed))
        for entry, packed in zip(data["masks"], data.get("segments", []), strict=True)
    )
    return replace(result.finding, masks=masks, heatmap=_heatmap(result, data))


def _heatmap(result: SceneResult, data: dict) -> Heatmap | None:
    node = result.heatmap
    if node is None or node.GetImageData() is None or not data.get("heatmap"):
        return None
    return Heatmap(data["heatmap"]["name"], volume_array(node), volume_ijk_to_ras(node))
