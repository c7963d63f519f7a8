"""Draw the layers of the library as SVG, from the import contract in pyproject.toml.

``python Tools/draw_layers.py`` writes docs/layers.svg; with ``--check`` it only says whether that file is up to date.
"""

import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "layers.svg"
LIBRARY = "AcuteFindingsLib"

WIDTH, BOX_HEIGHT, GAP, MARGIN = 1000, 40, 12, 20
STYLE = (
    "text{font:15px sans-serif;fill:#1c2733}.box{fill:#eef4f9;stroke:#3c6e91}.note{font-size:13px;fill:#4a5866}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.box{fill:#16222d}.note{fill:#a9b7c4}}"
)


def read_layers(pyproject: Path) -> list[list[str]]:
    """Return the layers of the import contract, the top one first, each as the names of its packages."""
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[part.strip().removeprefix(f"{LIBRARY}.") for part in layer.split("|")] for layer in layers]


def draw(layers: list[list[str]]) -> str:
    """Return the picture: a row for each layer; packages in one row do not import each other."""
    height = 2 * MARGIN + 24 + len(layers) * (BOX_HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Layers of {LIBRARY}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="note" x="{MARGIN}" y="{MARGIN + 8}">A package imports only from rows below its own.</text>',
    ]
    for row, names in enumerate(layers):
        y = MARGIN + 24 + row * (BOX_HEIGHT + GAP)
        width = (WIDTH - 2 * MARGIN - (len(names) - 1) * GAP) / len(names)
        for column, name in enumerate(names):
            x = MARGIN + column * (width + GAP)
            parts.append(f'<rect class="box" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX_HEIGHT}" rx="6"/>')
            middle = x + width / 2
            parts.append(f'<text x="{middle:.1f}" y="{y + 26}" text-anchor="middle">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Write the picture, or check it."""
    picture = draw(read_layers(ROOT / "pyproject.toml"))
    if "--check" in sys.argv[1:]:
        sys.exit(None if PICTURE.read_text(encoding="utf-8") == picture else f"{PICTURE} is not up to date.")
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
