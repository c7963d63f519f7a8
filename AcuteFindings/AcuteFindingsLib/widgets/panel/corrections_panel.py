"""Where an annotator says what the model got wrong, and keeps it as a training example."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.scene.corrections import labels, save_correction, segment_status, set_label, set_segment_status
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.scene.sequence_frame import frame_words, is_of_shown_frame
from AcuteFindingsLib.widgets.panel.mask_editor import MaskEditor
from AcuteFindingsLib.widgets.panel.unsaved import has_unsaved, mark_saved, mark_unsaved
from AcuteFindingsLib.widgets.parts import (
    CANCEL,
    SAVE,
    ask_to_save,
    column,
    push_button,
    row,
    shortcut,
    text_label,
    with_argument,
)

ANNOTATOR = "AcuteFindings/Annotator"
FOLDER = "AcuteFindings/CorrectionsFolder"

LABELS = ("present", "absent", "unsure")
STATUSES = ("not started", "in progress", "completed")


class CorrectionsPanel:
    """Labels of slices, the mask, and the button that saves both.

    Parameters
    ----------
    current_slice
        Gives the index of the slice that the views show: what a label is about.
    on_label
        Called when a label was set.
    """

    def __init__(self, current_slice: Callable[[], int], *, on_label: Callable[[], Any] | None = None) -> None:
        self.result: SceneResult | None = None
        self._current_slice, self._on_label = current_slice, on_label
        self._observed: tuple[Any, int] | None = None
        self.widget, layout = column()
        self.slice_label = text_label(_("The slice to label: the one that the slice views show"))
        self.slice_label.setObjectName("sliceLabel")
        self.label_buttons = self._label_buttons()
        self.correct_button = qt.QPushButton(_("Correct mask"))
        self.correct_button.setObjectName("correctMaskButton")
        self.correct_button.setCheckable(True)
        self.correct_button.setToolTip(
            _("Open the Segment Editor on the mask that the model drew, with its keys: Ctrl+Z, Ctrl+Y, digits")
        )
        self.correct_button.connect("toggled(bool)", self._on_correct)
        layout.addWidget(self.slice_label)
        layout.addWidget(row(*self.label_buttons.values()))
        layout.addWidget(self.correct_button)
        _holder, editor_layout = column(layout)
        self.mask_editor = MaskEditor(editor_layout)
        layout.addLayout(self._form())
        self.save_button = push_button(
            _("Save correction"),
            _("Write image, model's mask, corrected mask and slice labels into a new folder as a training example"),
            self.save,
            name="saveCorrectionButton",
            once=True,
        )
        self.state_label = text_label(_("Whether something is not saved"))
        self.state_label.setObjectName("correctionStateLabel")
        layout.addWidget(self.save_button)
        layout.addWidget(self.state_label)
        layout.addStretch(1)
        self._keys_enabled = True
        self._keys = [
            shortcut(self.widget, str(number), with_argument(self.set_label, label))
            for number, label in enumerate(LABELS, 1)
        ]
        self.show(None)

    def show(self, result: SceneResult | None) -> None:
        """Show a result's corrections; unsaved ones of the result before stay in the scene."""
        self._stop_observing()
        self.correct_button.setChecked(False)
        self.mask_editor.release()
        self._share_keys()
        self.result = result
        self.widget.setEnabled(result is not None)
        if result is not None and result.segmentation is not None:
            segmentation = result.segmentation.GetSegmentation()
            event = slicer.vtkSegmentation.SourceRepresentationModified
            self._observed = (segmentation, segmentation.AddObserver(event, self._on_mask_modified))
        self.correct_button.setEnabled(result is not None and result.segmentation is not None)
        self.status_box.setEnabled(self._segment() is not None)
        for button in self.label_buttons.values():
            button.setEnabled(result is not None and result.table is not None)
        self._show_status()
        self.show_slice()
        self._show_state()

    def show_slice(self) -> None:
        """Say which slice a label is about, and what stands there."""
        if self.result is None:
            self.slice_label.setText(_("There is no result to correct."))
            return
        index = self._current_slice()
        word = {"present": _("present"), "absent": _("absent"), "unsure": _("unsure")}.get(
            labels(self.result).get(index, ""), _("not corrected")
        )
        if len(self.result.finding.slices) > 1:
            self.slice_label.setText(_("Slice {number}: {label}").format(number=index + 1, label=word))
        else:
            self.slice_label.setText(_("This image: {label}").format(label=word))

    def set_label(self, label: str) -> None:
        """Give the current slice a label: ``"present"``, ``"absent"``, ``"unsure"`` or ``""`` for none."""
        if self.result is None or self.result.table is None:
            return
        set_label(self.result, self._current_slice(), label)
        mark_unsaved(self.result)
        self.show_slice()
        self._show_state()
        if self._on_label is not None:
            self._on_label()

    def unsaved(self) -> bool:
        """Whether corrections of the shown result were not saved."""
        return has_unsaved(self.result)

    def confirm_discard(self, *, can_cancel: bool = True) -> bool:
        """Ask about unsaved corrections before they could be lost; return whether to go on.

        Whoever answers that they need not be saved is not asked again until something else changes.
        """
        if self.result is None or not self.unsaved():
            return True
        answer = ask_to_save(
            _("The corrections of this result are not saved as a training example. Save them now?"),
            can_cancel=can_cancel,
        )
        if answer == SAVE:
            return self.save() or not can_cancel
        if answer == CANCEL:
            return not can_cancel
        mark_saved(self.result)
        self._show_state()
        return True

    def save(self) -> bool:
        """Save the corrections as a new training example; return whether that worked."""
        if self.result is None:
            return False
        if not is_of_shown_frame(self.result.text, self.result.volume):
            frame = frame_words(self.result.text, self.result.volume)
            text = _("The correction was not saved: the result is about {frame}; show that frame first.")
            slicer.util.errorDisplay(text.format(frame=frame))
            return False
        annotator = self.annotator_edit.text.strip()
        settings = qt.QSettings()
        settings.setValue(ANNOTATOR, annotator)
        settings.setValue(FOLDER, self.folder_edit.currentPath)
        try:
            with slicer.util.WaitCursor():
                folder = save_correction(self.result, Path(self.folder_edit.currentPath), annotator=annotator)
        except (AcuteFindingsError, OSError) as error:
            slicer.util.errorDisplay(_("The correction was not saved: {reason}").format(reason=error))
            return False
        mark_saved(self.result)
        self.state_label.setText(_("Saved in {folder}").format(folder=folder))
        return True

    def set_keys_enabled(self, enabled: bool) -> None:
        """Let the keys 1, 2 and 3 work and the editor paint, or leave both to other modules.

        While the editor is open the keys are the editor's: digits choose its tools, Ctrl+Z undoes.
        """
        self._keys_enabled = enabled
        if enabled:
            self.mask_editor.resume()
        else:
            self.mask_editor.pause()
        self._share_keys()

    def close(self) -> None:
        """Let go of every node."""
        self.show(None)

    def _label_buttons(self) -> dict[str, Any]:
        texts = {
            "present": (
                _("Present (1)"),
                _("The finding is present in this slice (key 1 while the mask is not corrected)"),
            ),
            "absent": (
                _("Absent (2)"),
                _("The finding is absent from this slice (key 2 while the mask is not corrected)"),
            ),
            "unsure": (_("Unsure (3)"), _("This slice cannot be decided (key 3 while the mask is not corrected)")),
            "": (_("Clear"), _("Remove the label of this slice")),
        }
        return {
            label: push_button(text, tip, with_argument(self.set_label, label), name=f"{label or 'clear'}LabelButton")
            for label, (text, tip) in texts.items()
        }

    def _form(self) -> Any:
        form = qt.QFormLayout()
        self.status_box = qt.QComboBox()
        self.status_box.setObjectName("segmentStatusComboBox")
        self.status_box.addItems([_("Not started"), _("In progress"), _("Completed")])
        self.status_box.setToolTip(_("State of the mask correction; stored with the segment"))
        self.status_box.connect("activated(int)", self._on_status)
        self.annotator_edit = qt.QLineEdit()
        self.annotator_edit.setObjectName("annotatorLineEdit")
        self.annotator_edit.setPlaceholderText(_("anonymous"))
        self.annotator_edit.setToolTip(_("Written into saved corrections as typed; may stay empty"))
        self.annotator_edit.setText(str(qt.QSettings().value(ANNOTATOR, "") or ""))
        self.folder_edit = ctk.ctkPathLineEdit()
        self.folder_edit.setObjectName("correctionsFolderEdit")
        self.folder_edit.filters = ctk.ctkPathLineEdit.Dirs
        self.folder_edit.setToolTip(_("Every saved correction becomes a new folder here"))
        default = Path.home() / "AcuteFindings" / "Corrections"
        self.folder_edit.currentPath = str(qt.QSettings().value(FOLDER, "") or default)
        form.addRow(_("Mask"), self.status_box)
        form.addRow(_("Annotator"), self.annotator_edit)
        form.addRow(_("Folder"), self.folder_edit)
        return form

    def _share_keys(self) -> None:
        # The digits choose the editor's tools while it is open; a key that two listen to works for neither.
        for key in self._keys:
            key.setEnabled(self._keys_enabled and not self.mask_editor.is_open)

    def _segment(self) -> Any | None:
        if self.result is None or self.result.segmentation is None:
            return None
        segmentation = self.result.segmentation.GetSegmentation()
        return segmentation.GetNthSegment(0) if segmentation.GetNumberOfSegments() else None

    def _on_correct(self, checked: bool) -> None:
        if self.result is None or self.result.segmentation is None:
            return
        if not checked:
            self.mask_editor.close()
            self._share_keys()
            return
        self.mask_editor.open(self.result)
        self._share_keys()
        segment = self._segment()
        if segment is not None and segment_status(segment) == "not started":
            set_segment_status(segment, "in progress")
        self._show_status()

    def _on_status(self, place: int) -> None:
        segment = self._segment()
        if segment is not None:
            set_segment_status(segment, STATUSES[place])

    def _show_status(self) -> None:
        segment = self._segment()
        status = "" if segment is None else segment_status(segment)
        self.status_box.setCurrentIndex(STATUSES.index(status) if status in STATUSES else -1)

    def _on_mask_modified(self, _caller: Any, _event: str) -> None:
        if self.result is not None and self.result.scene is not None:
            mark_unsaved(self.result)
            self._show_state()

    def _show_state(self) -> None:
        self.save_button.setEnabled(self.result is not None)
        self.state_label.setText(_("Corrections are not saved.") if self.unsaved() else "")

    def _stop_observing(self) -> None:
        if self._observed is not None:
            segmentation, tag = self._observed
            segmentation.RemoveObserver(tag)
            self._observed = None
