"""What belongs to a radiograph alone: tubes and other findings, what the answer leans on, mask and heat map."""

from typing import Any

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.wording import TUBES, label_measured, picture_measured
from AcuteFindingsLib.scene.results import SceneResult
from AcuteFindingsLib.widgets.panel.overlays import (
    heatmap_opacity,
    mask_opacity,
    set_heatmap_opacity,
    set_mask_opacity,
)
from AcuteFindingsLib.widgets.parts import column


class RadiographPanel:
    """Bars for probabilities, sliders for what lies over the picture."""

    def __init__(self) -> None:
        self.result: SceneResult | None = None
        self.widget, layout = column()
        self.shortcut_group, self._shortcut_form = _group(
            _("What the answer depends on"),
            _(
                "Probability of the finding on the whole picture, with the lungs alone, and with the lungs or the "
                "tubes taken out. An answer that stays without the lungs depends on something else."
            ),
        )
        self.tubes_group, self._tubes_form = _group(
            _("Tubes"),
            _("Probability that a tube is in the picture; a finding and the tube that treats it often occur together"),
        )
        self.others_group, self._others_form = _group(
            _("Other findings"), _("Probabilities of the chest findings model for other findings")
        )
        self.overlay_group, overlay_form = _group(_("Over the picture"), _("How strongly mask and heat map are drawn"))
        self.mask_slider = _opacity_slider(_("Opacity of the outline's filling"), self._on_mask, "maskOpacitySlider")
        self.heatmap_slider = _opacity_slider(
            _("Opacity of the heat map: where the network looked"), self._on_heatmap, "heatmapOpacitySlider"
        )
        overlay_form.addRow(_("Mask"), self.mask_slider)
        overlay_form.addRow(_("Heat map"), self.heatmap_slider)
        for group in (self.overlay_group, self.shortcut_group, self.tubes_group, self.others_group):
            layout.addWidget(group)
        layout.addStretch(1)
        self.bars: dict[str, Any] = {}
        self.show(None)

    def show(self, result: SceneResult | None) -> None:
        """Show a result's bars and the opacities that its nodes have; hidden without one."""
        self.result = result
        self.widget.setVisible(result is not None)
        for form in (self._shortcut_form, self._tubes_form, self._others_form):
            while form.rowCount():
                form.removeRow(0)
        self.bars = {}
        if result is None:
            return
        finding = result.finding
        tubes, others = chest_probabilities(finding)
        for group, form, items in (
            (self.shortcut_group, self._shortcut_form, picture_probabilities(finding)),
            (self.tubes_group, self._tubes_form, tubes),
            (self.others_group, self._others_form, others),
        ):
            group.setVisible(bool(items))
            for name, value in items.items():
                self.bars[name] = _bar(name, value)
                form.addRow(name, self.bars[name])
        self._show_opacity(self.mask_slider, mask_opacity(result))
        self._show_opacity(self.heatmap_slider, heatmap_opacity(result))

    def _show_opacity(self, slider: Any, opacity: float | None) -> None:
        slider.setEnabled(opacity is not None)
        slider.blockSignals(True)
        slider.setValue(round(100 * (opacity or 0.0)))
        slider.blockSignals(False)

    def _on_mask(self, percent: int) -> None:
        if self.result is not None:
            set_mask_opacity(self.result, percent / 100)

    def _on_heatmap(self, percent: int) -> None:
        if self.result is not None:
            set_heatmap_opacity(self.result, percent / 100)


def picture_probabilities(finding: Finding) -> dict[str, float]:
    """Return the finding's probability by what the picture showed: ``"whole picture"``, ``"lungs only"``, ..."""
    return {shown: item.value for item in finding.measurements if (shown := picture_measured(item))}


def chest_probabilities(finding: Finding) -> tuple[dict[str, float], dict[str, float]]:
    """Return the probabilities of tubes and of other findings, by the words a clinician uses for them."""
    by_label = {name: value for name, value in finding.slices[0].probabilities.items() if name != finding.main_label}
    measured = [word for item in finding.measurements if (word := label_measured(item))]
    words = [word for word in measured if word.lower() != finding.main_label]
    # The measurements stand in the order of the labels; where they do not belong together the labels have to do.
    if len(words) != len(by_label):
        words = [name.replace("_", " ").capitalize() for name in by_label]
    tubes: dict[str, float] = {}
    others: dict[str, float] = {}
    for word, (name, value) in zip(words, by_label.items(), strict=True):
        (tubes if name.replace(" ", "_") in TUBES else others)[word] = value
    return tubes, others


def _group(title: str, tool_tip: str) -> tuple[Any, Any]:
    group = qt.QGroupBox(title)
    group.setToolTip(tool_tip)
    form = qt.QFormLayout(group)
    form.setLabelAlignment(qt.Qt.AlignLeft)
    form.setFieldGrowthPolicy(qt.QFormLayout.AllNonFixedFieldsGrow)
    return group, form


def _bar(name: str, value: float) -> Any:
    bar = qt.QProgressBar()
    bar.setRange(0, 100)
    bar.setValue(round(100 * value))
    bar.setFormat(f"{value:.2f}")
    bar.setTextVisible(True)
    bar.setToolTip(_("Probability, {name}: {value:.3f}").format(name=name, value=value))
    return bar


def _opacity_slider(tool_tip: str, on_change: Any, name: str) -> Any:
    slider = qt.QSlider()
    slider.setOrientation(qt.Qt.Horizontal)
    slider.setObjectName(name)
    slider.setRange(0, 100)
    slider.setPageStep(10)
    slider.setToolTip(tool_tip)
    slider.connect("valueChanged(int)", on_change)
    return slider
