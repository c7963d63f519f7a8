"""Whether a result holds corrections that were not saved as a training example: kept in the scene, as they are."""

from AcuteFindingsLib.scene.results import SceneResult

UNSAVED = "AcuteFindings.UnsavedCorrections"
"""Attribute of the verdict's node: ``"1"`` while there is something to save."""


def has_unsaved(result: SceneResult | None) -> bool:
    """Whether labels or masks changed since they were last saved."""
    return result is not None and result.text.GetAttribute(UNSAVED) == "1"


def mark_unsaved(result: SceneResult) -> None:
    """Note that there is something to save."""
    if not has_unsaved(result):
        result.text.SetAttribute(UNSAVED, "1")


def mark_saved(result: SceneResult) -> None:
    """Note that everything is saved, or need not be."""
    if has_unsaved(result):
        result.text.RemoveAttribute(UNSAVED)
