"""Reads a module's CMakeLists.txt: which scripts and resources it installs."""

import re
from pathlib import Path


def listed(path: Path, variable: str) -> list[str]:
    """Return the entries of `set(VARIABLE ...)`, with the module's name filled in."""
    text = re.sub(r"#.*", "", path.read_text())
    name = re.search(r"set\(MODULE_NAME\s+(\w+)\)", text)
    block = re.search(rf"set\({variable}\s([^)]*)\)", text)
    entries = block[1].split() if block else []
    return [entry.replace("${MODULE_NAME}", name[1] if name else "") for entry in entries]


def install_mistakes(path: Path, *, but: tuple[str, ...] = ()) -> list[str]:
    """Say what is named and not there, what is there and not named, and what is named twice or absolutely."""
    folder = path.parent
    scripts, resources = listed(path, "MODULE_PYTHON_SCRIPTS"), listed(path, "MODULE_PYTHON_RESOURCES")
    named = scripts + resources
    mistakes = [f"{entry}: no such file" for entry in named if not (folder / entry).is_file()]
    mistakes += [f"{entry}: an absolute path" for entry in named if Path(entry).is_absolute() or "${" in entry]
    mistakes += [f"{entry}: named twice" for entry in sorted({entry for entry in named if named.count(entry) > 1})]
    mistakes += [f"{entry}: not a script" for entry in scripts if not entry.endswith(".py")]
    for found in sorted(folder.rglob("*")):
        entry = found.relative_to(folder).as_posix()
        made = any(part == "__pycache__" or part.startswith(".") for part in found.relative_to(folder).parts)
        if not found.is_file() or made or entry == "CMakeLists.txt" or entry.startswith(but):
            continue
        if entry not in named:
            mistakes.append(f"{entry}: not installed")
    return mistakes
