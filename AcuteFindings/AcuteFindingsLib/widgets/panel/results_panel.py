"""What a detector found, as a person reads it: banner, warnings, reasons, measurements and slices."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.finding import Measurement
from AcuteFindingsLib.detectors.wording import label_measured, picture_measured, unit_text, value_text
from AcuteFindingsLib.scene.navigation import jump_to_slice, next_positive
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.sequence_frame import frame_words
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.widgets.panel.reasons_table import ReasonsTable
from AcuteFindingsLib.widgets.panel.slice_table import SliceTable
from AcuteFindingsLib.widgets.panel.verdict_banner import VerdictBanner
from AcuteFindingsLib.widgets.parts import cell, column, fit_height, push_button, row, shortcut, table, text_label

GRAVEST_FIRST = ("refuse", "warn", "info")


class ResultsPanel:
    """Shows one result; choosing a slice moves the slice views there.

    Parameters
    ----------
    detector
        Id of its kind.
    on_slice
        Called with the index of the slice that a person chose here.

    Attributes
    ----------
    current
        Index of the slice that the views show, as far as this panel knows.
    """

    def __init__(self, detector: str, *, on_slice: Callable[[int], Any] | None = None) -> None:
        self.detector = detector
        self.result: SceneResult | None = None
        self.current = 0
        self._on_slice = on_slice
        self.widget, layout = column()
        self.empty_label = text_label(_("Where the result appears"))
        self.empty_label.setText(_("No result yet. Choose a volume and press Apply."))
        self.banner = VerdictBanner()
        self.warnings_label = text_label(_("What to keep in mind when reading this result"))
        self.warnings_label.setObjectName("warningsLabel")
        self.reasons = ReasonsTable(self.go_to)
        self.measurements = table(
            [_("Measurement"), _("Value")], _("Measurements made on the result"), name="measurementsTable"
        )
        header = self.measurements.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        self.slices = SliceTable(self.go_to)
        self.previous_button = push_button(
            _("◀ Previous positive"), _("Go to the positive slice before this one (key P)"), self.go_to_previous
        )
        self.next_button = push_button(
            _("Next positive ▶"), _("Go to the positive slice after this one (key N)"), self.go_to_next
        )
        self.previous_button.setObjectName("previousPositiveButton")
        self.next_button.setObjectName("nextPositiveButton")
        self.buttons = row(self.previous_button, self.next_button)
        for item in (
            self.empty_label,
            self.banner.widget,
            self.warnings_label,
            self.reasons.widget,
            self.measurements,
            self.buttons,
            self.slices.details_label,
            self.slices.widget,
        ):
            layout.addWidget(item)
        layout.addStretch(1)
        self._keys = [
            shortcut(self.widget, "N", self.go_to_next),
            shortcut(self.widget, "P", self.go_to_previous),
        ]
        self.show(None)

    def show(self, result: SceneResult | None) -> None:
        """Show a result, or that there is none."""
        self.result = result
        finding = result.finding if result else None
        self.current = _most_suspicious(result) if result else 0
        self.empty_label.setVisible(finding is None)
        self.banner.show(finding, frame=frame_words(result.text, result.volume) if result else "")
        warnings = sorted(finding.warnings, key=lambda item: GRAVEST_FIRST.index(item.severity)) if finding else ()
        self.warnings_label.setVisible(bool(warnings))
        self.warnings_label.setText("\n".join(_notice_line(item) for item in warnings))
        self.reasons.show(finding)
        self._show_measurements(tuple(item for item in finding.measurements if _in_table(item)) if finding else ())
        self.buttons.setVisible(finding is not None and len(finding.slices) > 1)
        self.slices.show(result)
        if result is not None:
            self.slices.select(self.current)
        self._update_buttons()

    def show_slice(self, index: int) -> None:
        """Follow the slice views: the row of the slice they show is highlighted."""
        self.current = index
        self.slices.select(index)
        self._update_buttons()

    def go_to(self, index: int) -> None:
        """Move the slice views to a slice."""
        if self.result is None:
            return
        self.show_slice(index)
        jump_to_slice(self.result, index)
        if self._on_slice is not None:
            self._on_slice(index)

    def go_to_next(self) -> None:
        """Move to the next positive slice, where there is one."""
        self._step(1)

    def go_to_previous(self) -> None:
        """Move to the previous positive slice, where there is one."""
        self._step(-1)

    def update_corrected(self) -> None:
        """Read the corrected labels again."""
        self.slices.update_corrected()

    def set_keys_enabled(self, enabled: bool) -> None:
        """Let the keys N and P work, or leave them to other modules."""
        for key in self._keys:
            key.setEnabled(enabled)

    def close(self) -> None:
        """Stop what still runs."""
        self.slices.stop()

    def _step(self, direction: int) -> None:
        if self.result is None or len(self.result.finding.slices) < 2:
            return
        index = next_positive(self.result, self.current, direction)
        if index is not None:
            self.go_to(index)

    def _update_buttons(self) -> None:
        for button, direction in ((self.previous_button, -1), (self.next_button, 1)):
            there = self.result is not None and next_positive(self.result, self.current, direction) is not None
            button.setEnabled(there)

    def _show_measurements(self, items: tuple[Measurement, ...]) -> None:
        self.measurements.setVisible(bool(items))
        self.measurements.setRowCount(len(items))
        for place, item in enumerate(items):
            code = f"{item.code.meaning} ({item.code.scheme} {item.code.value})" if item.code else item.name
            self.measurements.setItem(place, 0, cell(item.name, code))
            value = f"{value_text(item)} {unit_text(item.unit)}".rstrip()
            self.measurements.setItem(place, 1, cell(value, code, number=True))
        fit_height(self.measurements, most_rows=8)


def _in_table(item: Measurement) -> bool:
    # The probabilities of tubes, pathologies and altered pictures have bars of their own in the radiograph panel.
    return not (label_measured(item) or picture_measured(item))


def _most_suspicious(result: SceneResult) -> int:
    finding = result.finding
    if not finding.slices:
        return 0
    return max(finding.slices, key=lambda item: item.probabilities[finding.main_label]).index


def _notice_line(notice: Notice) -> str:
    words = {"refuse": _("✖ Does not fit: "), "warn": _("⚠ Warning: "), "info": _("Note: ")}
    return words[notice.severity] + notice.text
