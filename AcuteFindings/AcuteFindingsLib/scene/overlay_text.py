"""The words and letters on a slice picture: verdict, place, window, legend and the patient's sides."""

from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.scene.application import load_slicer
from AcuteFindingsLib.scene.picture_plan import PlannedPicture

Color = tuple[float, float, float]

VERDICT_COLORS = {"positive": (1.0, 0.45, 0.35), "negative": (0.55, 0.9, 0.55), "indeterminate": (1.0, 0.8, 0.3)}
WHITE = (1.0, 1.0, 1.0)
HEAT = (1.0, 0.65, 0.2)
MARGIN = 12
ABOVE_RULER = 40
"""Pixels from the lower edge to what must not run into the ruler and the length beside it."""
BACKGROUND_OPACITY = 0.45
"""Of the black behind text, so that it is read over bone and over a white film edge."""


def letters_at_edges(across: np.ndarray, up: np.ndarray) -> dict[str, str]:
    """Return the patient's side at each edge of a picture.

    Parameters
    ----------
    across, up
        Directions in RAS of the picture's right and its top.

    Returns
    -------
    dict
        ``"left"``, ``"right"``, ``"top"``, ``"bottom"`` to one of R, L, A, P, S, I: ``"left"`` is R in an axial picture
        of the radiological convention.
    """
    return {"right": _side(across), "left": _side(-across), "top": _side(up), "bottom": _side(-up)}


def note_lines(plan: PlannedPicture, finding: Finding) -> str:
    """Return what stands at the lower left: the window and the note, narrow enough to leave room for the ruler."""
    note = plan.note.replace(". ", ".\n", 1).replace("; ", ";\n", 1)
    return "\n".join(line for line in (window_line(finding), note) if line)


def window_line(finding: Finding) -> str:
    """Return the window for the corner of a picture; "" where the values are no HU and a window says nothing."""
    level, width = finding.display_window
    return f"W {width:g} L {level:g}" if width > 1 else ""


def legend_of(plan: PlannedPicture, finding: Finding) -> list[tuple[str, Color]]:
    """Return what lies over a picture, by name and color."""
    entries: list[tuple[str, Color]] = []
    if plan.masks != "none":
        entries += [(mask.name, mask.color) for mask in finding.masks if mask.voxels]
    if plan.heatmap and finding.heatmap is not None:
        entries.append((finding.heatmap.name, HEAT))
    return [(name, tuple(0.35 + 0.65 * value for value in color)) for name, color in entries]  # type: ignore[misc]


def wanted_letters(plan: PlannedPicture, letters: dict[str, str]) -> dict[str, str]:
    """Leave out the edges that a picture does not name."""
    return {edge: letter for edge, letter in letters.items() if plan.letters == "all" or letter in "RL"}


def _side(direction: np.ndarray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "SI")[axis][0 if direction[axis] > 0 else 1]


class OverlayText:
    """Text on a renderer of `width` × `height` pixels."""

    def __init__(self, renderer: Any, width: int, height: int) -> None:
        """Write on `renderer`, nothing yet."""
        self._renderer = renderer
        self._size = (width, height)
        self._actors: list[Any] = []

    def clear(self) -> None:
        """Take all text off again."""
        for actor in self._actors:
            self._renderer.RemoveViewProp(actor)
        self._actors.clear()

    def add_title(self, verdict_label: str, text: str) -> None:
        """Add the verdict at the upper left, in the verdict's color."""
        color = VERDICT_COLORS.get(verdict_label, WHITE)
        self._add(text, MARGIN, self._size[1] - MARGIN, color=color, size=20, bold=True, vertical="Top")

    def add_upper_right(self, text: str) -> None:
        """Add where the picture is."""
        self._add(text, self._size[0] - MARGIN, self._size[1] - MARGIN, horizontal="Right", vertical="Top")

    def add_lower_left(self, text: str) -> None:
        """Add the window and the note."""
        self._add(text, MARGIN, MARGIN, size=13)

    def add_legend(self, entries: list[tuple[str, Color]]) -> None:
        """Add names in their colors at the lower right, above the ruler with its scale; the first on top."""
        for row, (name, color) in enumerate(reversed(entries)):
            x, y = self._size[0] - MARGIN, ABOVE_RULER + 22 * row
            self._add(name, x, y, color=color, horizontal="Right", bold=True)

    def add_edges(self, letters: dict[str, str]) -> None:
        """Add the patient's sides at the middle of the edges, the lower one above the ruler."""
        width, height = self._size
        places = {
            "left": (MARGIN, height / 2, "Left", "Centered"),
            "right": (width - MARGIN, height / 2, "Right", "Centered"),
            "top": (width / 2, height - MARGIN, "Centered", "Top"),
            "bottom": (width / 2, 52, "Centered", "Bottom"),
        }
        for edge, letter in letters.items():
            x, y, horizontal, vertical = places[edge]
            self._add(letter, x, y, size=24, bold=True, horizontal=horizontal, vertical=vertical)

    def _add(
        self,
        text: str,
        x: float,
        y: float,
        *,
        color: Color = WHITE,
        size: int = 16,
        bold: bool = False,
        horizontal: str = "Left",
        vertical: str = "Bottom",
    ) -> None:
        if not text:
            return
        _, vtk = load_slicer()
        actor = vtk.vtkTextActor()
        actor.SetInput(text)
        actor.SetPosition(x, y)
        look = actor.GetTextProperty()
        look.SetFontFamilyToArial()
        look.SetFontSize(size)
        look.SetColor(*color)
        look.SetBold(bold)
        look.SetBackgroundColor(0.0, 0.0, 0.0)
        look.SetBackgroundOpacity(BACKGROUND_OPACITY)
        getattr(look, f"SetJustificationTo{horizontal}")()
        getattr(look, f"SetVerticalJustificationTo{vertical}")()
        self._renderer.AddViewProp(actor)
        self._actors.append(actor)
