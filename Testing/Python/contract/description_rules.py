"""The rules for an extension's description file in the Slicer Extensions Index.

After the catalogue entry schema v1.0.2 of Slicer (`Schemas/` in its repository) and the checks that the index runs on a
submission (`scripts/check_description_files.py` in `Slicer/ExtensionsIndex`), as far as they need no network.
"""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json"
)
TYPES = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
REQUIRED = ("$schema", "category", "scm_url")
CATEGORIES = ("Analysis", "Cardiac", "Chest Imaging Platform", "DICOM", "Informatics", "Neuroimaging", "Quantification",
              "Segmentation", "Utilities")  # fmt: skip
"""Those of the index's list that an extension such as this could take."""
LICENSES = ("LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt")


def description_mistakes(path: Path, root: Path) -> list[str]:
    """Say what the index would refuse."""
    try:
        told = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        return [f"not JSON: {error}"]
    mistakes = [f"{key}: missing" for key in REQUIRED if not told.get(key)]
    for key, value in told.items():
        kind = TYPES.get(key)
        if kind is None:
            mistakes.append(f"{key}: not allowed")
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            mistakes.append(f"{key}: not {kind.__name__}")
    if mistakes:
        return mistakes
    if told["$schema"].partition("#")[0] != SCHEMA:
        mistakes.append("$schema: not version 1.0.2")
    if told["category"] not in CATEGORIES:
        mistakes.append(f"category: {told['category']} is not one of the index's")
    if told.get("scm_type", "git") not in ("git", "local"):
        mistakes.append("scm_type: neither git nor local")
    if not 1 <= told.get("tier", 1) <= 5:
        mistakes.append("tier: not from 1 to 5")
    mistakes += [f"build_dependencies: {item!r}" for item in told.get("build_dependencies", ()) if not _is_name(item)]
    url = urlsplit(told["scm_url"])
    if url.scheme not in ("git", "https"):
        mistakes.append("scm_url: neither git:// nor https://")
    if not Path(url.path).stem.startswith("Slicer"):
        mistakes.append("scm_url: the repository's name should start with Slicer")
    if not any((root / name).is_file() for name in LICENSES):
        mistakes.append("no license file")
    return mistakes + _cmake_mistakes(path.stem, root / "CMakeLists.txt", told)


def _is_name(item: object) -> bool:
    return isinstance(item, str) and bool(re.fullmatch(r"\w+", item))


def _cmake_mistakes(name: str, path: Path, told: dict) -> list[str]:
    if not path.is_file():
        return ["no CMakeLists.txt"]
    text = path.read_text()
    mistakes = []
    project = re.search(r"project\s*\(\s*([^\s)]+)", text, re.IGNORECASE)
    if project is None or project[1] != name:
        mistakes.append(f"CMakeLists.txt: the project is not called {name}")
    values = dict(re.findall(r'set\(EXTENSION_(\w+)\s+"([^"]*)"[ ]*\)', text))
    for key in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS"):
        if not values.get(key):
            mistakes.append(f"CMakeLists.txt: no EXTENSION_{key}")
    for key in ("HOMEPAGE", "ICONURL", "SCREENSHOTURLS"):
        mistakes += [f"EXTENSION_{key}: {url}" for url in values.get(key, "").split() if not url.startswith("http")]
    if sorted(values.get("DEPENDS", "").split()) != sorted(told.get("build_dependencies", [])):
        mistakes.append("EXTENSION_DEPENDS and build_dependencies differ")
    return mistakes
