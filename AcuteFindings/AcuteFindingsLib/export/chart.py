"""The chart of a finding's slices, in numbers and words."""

from collections.abc import Mapping

from markupsafe import Markup

from AcuteFindingsLib.detectors.finding import Finding


def finding_chart(finding: Finding, meanings: Mapping[str, str]) -> Markup | None:
    """Return the probabilities of every label over the slices as SVG; None where there are fewer than two slices.

    Slices are numbered from 1, as on a workstation. `meanings` are the labels in words.
    """
    if len(finding.slices) < 2:
        return None
    from AcuteFindingsLib.pages.charts import slice_chart

    main_first = sorted(finding.labels, key=lambda label: label != finding.main_label)
    return slice_chart(
        [item.index + 1 for item in finding.slices],
        [(meanings[label], [item.probabilities[label] for item in finding.slices]) for label in main_first],
        threshold=finding.slice_threshold,
        runs=[(first + 1, last + 1) for first, last in finding.positive_runs],
        described=_described(finding),
    )


def run_text(first: int, last: int) -> str:
    """Return a run of slice indices in words, counted from 1: ``"slices 5 to 9"``."""
    return f"slice {first + 1}" if first == last else f"slices {first + 1} to {last + 1}"


def _described(finding: Finding) -> str:
    values = [item.probabilities[finding.main_label] for item in finding.slices]
    top = finding.slices[max(range(len(values)), key=values.__getitem__)].index + 1
    runs = ", ".join(run_text(*run) for run in finding.positive_runs) or "none"
    return (
        f"Line chart of slice probabilities for {', '.join(finding.labels)} over {len(values)} slices. "
        f"{finding.main_label} is highest at slice {top} with {max(values):.2f}; the slice threshold is "
        f"{finding.slice_threshold:.2f}. Positive runs: {runs}."
    )
