"""The answer at a glance: verdict, probability, rule and model, and that it is no diagnosis."""

import qt
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.verdict_words import computed_words, verdict_words
from AcuteFindingsLib.detectors.wording import names_of
from AcuteFindingsLib.widgets.parts import text_label


class VerdictBanner:
    """Symbol and word carry the verdict, never a color alone."""

    def __init__(self) -> None:
        self.widget = qt.QFrame()
        self.widget.setObjectName("verdictBanner")
        self.widget.setFrameShape(qt.QFrame.StyledPanel)
        # A role of the palette, so that light and dark themes both set it off from the panel.
        self.widget.setAutoFillBackground(True)
        self.widget.setBackgroundRole(qt.QPalette.AlternateBase)
        layout = qt.QVBoxLayout(self.widget)
        layout.setSpacing(3)
        self.verdict_label = text_label(_("Verdict of the detector for the whole study"), bold=True, larger=5)
        self.probability_label = text_label(
            _("Probability of the finding, and the operating point it is compared with")
        )
        self.rule_label = text_label(_("The decision rule, and how this study met or missed it"))
        self.model_label = text_label(_("Model that gave the verdict, on what it was trained, and what computed it"))
        self.research_label = text_label(_("What this verdict may be used for"), bold=True)
        for label in (
            self.verdict_label,
            self.probability_label,
            self.rule_label,
            self.model_label,
            self.research_label,
        ):
            layout.addWidget(label)

    def show(self, finding: Finding | None, *, frame: str = "") -> None:
        """Show a finding's verdict, of a sequence with the frame that it is about; hidden without one."""
        self.widget.setVisible(finding is not None)
        if finding is None:
            return
        verdict, model = finding.verdict, finding.model
        self.verdict_label.setText(
            verdict_words(
                finding,
                word={
                    "positive": _("▲ POSITIVE"),
                    "negative": _("● NEGATIVE"),
                    "indeterminate": _("◆ INDETERMINATE"),
                }[verdict.label],
            )
        )
        of_frame = f" · {frame}" if frame else ""
        self.probability_label.setText(
            _("{finding}: probability {probability:.2f} (threshold {threshold:.2f})").format(
                finding=names_of(finding.detector).finding,
                probability=verdict.probability,
                threshold=verdict.threshold,
            )
            + of_frame
        )
        rule = _("Rule: {rule}").format(rule=verdict.rule)
        self.rule_label.setText("\n".join(text for text in (verdict.explanation, rule) if text))
        text = _("Model: {model} {version}, trained on {data}").format(
            model=model.id, version=model.version, data=model.trained_on
        )
        computed = computed_words(model)
        self.model_label.setText(f"{text}\n{_('Computed by {what}').format(what=computed)}" if computed else text)
        self.model_label.setToolTip(_("SHA-256 of the weights: {sum}").format(sum=model.sha256))
        self.research_label.setText(_("Research use only. Not a medical device; not for diagnosis."))
