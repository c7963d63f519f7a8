"""Write the table of public models in docs/public-models.md anew from the import descriptions.

python Tools/imports/write_page.py
"""

from pathlib import Path

from AcuteFindingsLib.models.metadata import Published
from AcuteFindingsLib.models.public.description import ImportDescription
from AcuteFindingsLib.models.public.recommended import shipped_descriptions

PAGE = Path(__file__).parents[2] / "docs" / "public-models.md"
HEADING = "## The models\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Return the page with what is said of the models made anew from their descriptions."""
    before, found, _ = text.partition(HEADING)
    if not found:
        raise SystemExit(f"{PAGE} has no heading {HEADING.strip()!r}")
    described = shipped_descriptions()
    rows = [
        "| model | for | size | license | imports today |",
        "|---|---|---|---|---|",
        *(f"| {_name(one)} | {one.task} | {_size(one)} | {_license(one)} | {_today(one)} |" for one in described),
    ]
    parts = [before + HEADING, "Bold ones are recommended for their task. This part is written by "
             "`python Tools/imports/write_page.py`.", "\n".join(rows), *map(_section, described)]  # fmt: skip
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _size(one: ImportDescription) -> str:
    return f"{one.megabytes:.0f} MB" if one.megabytes else "unknown"


def _section(one: ImportDescription) -> str:
    lines = [
        f"### {one.id}",
        f"{one.title}. {one.told.rstrip('.')}.",
        f"- Published at {_link(one)}; license: {_license(one)}"
        + (f" (<{one.license.address}>)" if one.license.address else ""),
        f"- Trained on: {one.training_data.summary} ({one.training_data.count})",
        f"- Limitations: {one.limitations}",
    ]
    if one.needs:
        lines.append(f"- Imports today: no. It needs {one.needs.removeprefix('needs ')}")
    lines = [" ".join(line.split()) for line in lines]
    return "\n\n".join([*lines[:2], "\n".join(lines[2:]), *_figures(one.published)])


def _figures(published: list[Published]) -> list[str]:
    """Return the figures of a model's authors as a table; nothing where there are none."""
    rows = []
    for one in published:
        value = f"{one.value:.3f}" if abs(one.value) <= 1 else f"{one.value:g}"
        if one.low is not None and one.high is not None:
            value += f" ({one.low:.3f} to {one.high:.3f})"
        cells = (f"{one.metric}, {one.label}" if one.label else one.metric, value, one.data, one.count, one.source)
        rows.append(f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |")
    head = ["| published by its authors | value | data | cases | source |", "|---|---|---|---|---|"]
    return ["\n".join([*head, *rows])] if rows else []


def _name(one: ImportDescription) -> str:
    link = f"[{one.id}](#{one.id.replace('.', '')})"
    return f"**{link}**" if one.recommended else link


def _link(one: ImportDescription) -> str:
    if not one.address.startswith("hf:"):
        return f"<{one.address}>"
    name = one.address.removeprefix("hf:")
    return f"[{name}](https://huggingface.co/{name})"


def _license(one: ImportDescription) -> str:
    return one.license.name if one.license.commercial else f"{one.license.name}, not for commercial use"


def _today(one: ImportDescription) -> str:
    if one.needs:
        return " ".join(f"needs {one.needs.removeprefix('needs ').partition('. ')[0].rstrip('.')}".split())
    return "yes, with PyTorch" if one.torch else "yes"


if __name__ == "__main__":
    main()
