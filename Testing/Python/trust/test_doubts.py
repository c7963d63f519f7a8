"""Which reasons change a verdict, and how that is said."""

from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Finding, ModelIdentity, Reason, Verdict
from AcuteFindingsLib.detectors.kind import DetectorKind
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.trust.reasons import doubted


@pytest.fixture
def kind() -> DetectorKind:
    return replace(find_kind("pe"), doubts=("brighter",))


def found(label: str, *codes: str) -> Finding:
    return Finding(
        "pe",
        ModelIdentity("m", "1", "ab", "none"),
        Verdict(label, 0.9, 0.5, "rule", "It reaches 0.90."),
        (),
        "pe",
        0.5,
        np.eye(4),
        (0.0, 1.0),
        reasons=tuple(Reason(code, "against", f"It is {code}.") for code in codes),
    )


def test_a_reason_that_the_kind_doubts_leaves_a_positive_verdict_indeterminate_and_keeps_what_the_rule_said(
    kind: DetectorKind,
) -> None:
    verdict = doubted(found("positive", "small", "brighter"), kind).verdict
    assert (verdict.label, verdict.by_rule, verdict.probability) == ("indeterminate", "positive", 0.9)
    assert verdict.explanation.startswith("It reaches 0.90. Indeterminate")
    assert verdict.explanation.endswith("It is brighter.")


@pytest.mark.parametrize(("label", "code"), [("positive", "small"), ("negative", "brighter")])
def test_no_other_reason_and_no_other_verdict_changes(kind: DetectorKind, label: str, code: str) -> None:
    finding = found(label, code)
    assert doubted(finding, kind) is finding


def test_what_the_rule_said_is_kept_where_something_changed_the_verdict_before(kind: DetectorKind) -> None:
    finding = found("positive", "brighter")
    before = replace(finding, verdict=replace(finding.verdict, by_rule="negative"))
    assert doubted(before, kind).verdict.by_rule == "negative"
