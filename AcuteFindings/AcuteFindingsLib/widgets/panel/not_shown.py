"""Says that the views show another image than the one that the panel's result is about."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.sequence_frame import frame_words
from AcuteFindingsLib.widgets.parts import column, push_button, text_label


class NotShownNotice:
    """A line and a button above a result; hidden while the views show the result's image.

    Parameters
    ----------
    on_show
        Called when a person wants to see the result's image.
    """

    def __init__(self, on_show: Callable[[], Any]) -> None:
        self.widget, layout = column()
        self.widget.setObjectName("notShownNotice")
        self.label = text_label(_("The result below and the slice views are about different images"))
        self.label.setObjectName("notShownLabel")
        font = qt.QFont(self.label.font)
        font.setBold(True)
        self.label.setFont(font)
        self.show_button = push_button(
            _("Show this result"), _("Show the image of this result in the views"), on_show, name="showResultButton"
        )
        layout.addWidget(self.label)
        layout.addWidget(self.show_button)
        self.show(None, shown=True)

    def show(self, result: SceneResult | None, *, shown: bool) -> None:
        """Say what is the matter with a result whose image the views do not show; hide where they do."""
        self.widget.setVisible(result is not None and not shown)
        there = result is not None and result.volume is not None
        self.show_button.setVisible(there)
        frame = frame_words(result.text, result.volume) if result is not None and there else ""
        self.label.setText(
            _("⚠ Not of the image in the views: the result is about {frame}.").format(frame=frame)
            if frame
            else _("⚠ Not of the image in the views.")
            if there
            else _("⚠ The image of this result is no longer in the scene.")
        )
