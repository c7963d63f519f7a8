"""What a run knows of data, images and reference, in sentences for a checklist."""

from collections import Counter
from collections.abc import Iterable

from AcuteFindingsLib.counting import counted, plural
from AcuteFindingsLib.detectors.acquisition import Acquisition
from AcuteFindingsLib.evaluation.checklist_known import Known
from AcuteFindingsLib.evaluation.checklist_model import preprocessing, software

_MOST_NAMED = 6


def sources(known: Known) -> str:
    """Return where predictions and truth come from; empty where the run does not know."""
    where = [f"Predictions: {known.result.predictions}. Truth: {known.result.truth}."]
    phantoms = sum(bool(one.get("phantom")) for one in known.findings)
    if phantoms:
        where.append(f"{phantoms} of {counted(len(known.findings), 'finding')} are of computer-made phantoms.")
    return " ".join(where)


def checked(known: Known) -> str:
    """Return what the check of the images left out; empty where the run does not know."""
    if not known.findings:
        return ""
    refused = Counter(
        notice["code"] for one in known.findings for notice in one.get("warnings", ()) if notice["severity"] == "refuse"
    )
    said = "The software's check of the images decides whether a study is read; studies that it refuses have no result"
    if not refused:
        return f"{said}, and none of the {len(known.findings)} measured was read against a refusal."
    words = ", ".join(f"{code} {count}" for code, count in refused.most_common(_MOST_NAMED))
    return f"{said}. Read against a refusal and measured all the same: {words}."


def selection(known: Known) -> str:
    """Return what was chosen among the cases; empty where the run does not know."""
    levels = {level.level for level in known.result.levels}
    said = f"Measured: {', '.join(plural(level) for level in sorted(levels))}" if levels else ""
    if known.request.labels:
        said += f"; labels chosen: {', '.join(known.request.labels)}"
    return f"{said}. Nothing else was selected by the evaluation." if said else ""


def missing(known: Known) -> str:
    """Return how many cases were left out, and why; empty where the run does not know."""
    said = [f"{label.label} ({level.level}): {label.missing}" for level, label in known.labels if label.missing]
    if not known.labels:
        return ""
    if not said:
        return "No case was without truth or prediction."
    return f"Cases without truth or prediction were left out, by label: {'; '.join(said)}."


def acquisition(known: Known) -> str:
    """Return what headers state of scanners and protocols; empty where the run does not know."""
    made = known.acquisitions
    if not made:
        return ""
    parts = [f"Headers of {counted(len(made), 'study')} state: scanners {_counts(_scanner(one) for one in made)}"]
    if any(one.kernel for one in made):
        parts.append(f"kernels {_counts(one.kernel or 'not stated' for one in made)}")
    if any(one.kvp for one in made):
        parts.append(f"tube voltages {_counts(f'{one.kvp:g} kV' if one.kvp else 'not stated' for one in made)}")
    thickness = [one.thickness_mm for one in made if one.thickness_mm]
    if thickness:
        parts.append(f"slice thickness {min(thickness):g} to {max(thickness):g} mm")
    if any(one.view for one in made):
        parts.append(f"views {_counts(one.view or 'not stated' for one in made)}")
    stated = [one.contrast for one in made if one.contrast is not None]
    if stated:
        parts.append(f"contrast agent stated in {sum(stated)} of {len(stated)}")
    return f"{'; '.join(parts)}."


def protocol(known: Known) -> str:
    """Return scanners, protocols and preprocessing; empty where the run does not know."""
    return " ".join(filter(None, (acquisition(known), preprocessing(known))))


def devices(known: Known) -> str:
    """Return scanners and software; empty where the run does not know."""
    made = known.acquisitions
    scanners = f"Scanners: {_counts(_scanner(one) for one in made)}." if made else ""
    return " ".join(filter(None, (scanners, software(known))))


def truth(known: Known) -> str:
    """Return where the reference is read from; empty where the run does not know."""
    columns = sorted({label.truth for _, label in known.labels})
    said = f"The reference is read from {known.result.truth}"
    said += f", column {', '.join(columns)}." if columns else "."
    if known.result.masks:
        said += f" True masks: {counted(known.result.masks[0].images, 'image')}."
    return said


def disjoint(known: Known) -> str:
    """Return which cases belong together; empty where the run does not know."""
    said = []
    for level in known.result.levels:
        if level.patients < level.cases:
            said.append(
                f"{counted(level.cases, level.level)} of {level.patients} groups (column {level.grouped_by}); "
                "intervals are by bootstrap over the groups"
            )
        else:
            said.append(f"each {level.level} counts as one group")
    return f"Within the testing data: {'; '.join(said)}." if said else ""


def sample(known: Known) -> str:
    """Return how many cases of each label were measured; empty where the run does not know."""
    said = [
        f"{label.cases} for {label.label} ({level.level}), {label.positives} positive" for level, label in known.labels
    ]
    return f"Number of cases measured: {'; '.join(said)}." if said else ""


def counts_of_cases(known: Known) -> str:
    """Return how many cases were measured; empty where the run does not know."""
    said = [
        counted(level.cases, level.level)
        + (f" of {level.patients} groups (column {level.grouped_by})" if level.patients < level.cases else "")
        for level in known.result.levels
    ]
    said += [f"masks of {counted(mask.images, 'image')} ({mask.segment})" for mask in known.result.masks]
    return f"Measured: {'; '.join(said)}. {missing(known)}".strip() if said else ""


def characteristics(known: Known) -> str:
    """Return who the cases are, as far as columns and headers say; empty where the run does not know."""
    said = [
        f"{group.column}: {', '.join(f'{row.group} {row.cases} ({row.positives} positive)' for row in group.rows)}"
        for level in known.result.levels
        for group in level.subgroups
    ]
    return " ".join([f"By subgroup: {'; '.join(said)}." if said else "", acquisition(known)]).strip()


def prevalence(known: Known) -> str:
    """Return the share of positive cases; empty where the run does not know."""
    said = [
        f"{label.label} ({level.level}) {100 * label.positives / label.cases:.1f} %"
        for level, label in known.labels
        if label.cases
    ]
    return f"Share of positive cases measured: {'; '.join(said)}." if said else ""


def indeterminate(known: Known) -> str:
    """Return how many verdicts are indeterminate; empty where the run does not know."""
    labels = [one["verdict"]["label"] for one in known.findings]
    if not labels:
        return ""
    unsure = labels.count("indeterminate")
    if not unsure:
        return f"None of {counted(len(labels), 'verdict')} of the index test is indeterminate."
    return f"{unsure} of {counted(len(labels), 'verdict')} are indeterminate; they count by their probability."


def audit(known: Known) -> str:
    """Return what is kept of every result; empty where the run does not know."""
    if not known.findings:
        return ""
    return (
        "Each study has a folder with its finding, report and pictures, a list of their checksums, and the SHA-256 of "
        "the model's weights."
    )


def _scanner(made: Acquisition) -> str:
    return f"{made.manufacturer} {made.model}".strip() or "not stated"


def _counts(words: Iterable[str]) -> str:
    found = Counter(words).most_common()
    shown = ", ".join(f"{word} ({count})" for word, count in found[:_MOST_NAMED])
    return f"{shown} and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else shown
