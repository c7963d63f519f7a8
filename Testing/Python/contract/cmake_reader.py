"""Reads a module's CMakeLists.txt: which scripts and resources it installs."""

import re
from pathlib import Path


def listed(path: Path, variable: str) -> list[str]:
    """Return the entries of a list, with the module's name and the lists of found files filled in."""
    text = re.sub(r"#.*", "", path.read_text())
    name = re.search(r"set\(MODULE_NAME\s+(\w+)\)", text)
    variables = {"MODULE_NAME": name[1] if name else "", "CMAKE_CURRENT_SOURCE_DIR": str(path.parent)}
    for shared in re.findall(r"set\((\w+_source_dir)\s+(\S+)\)", text):
        variables[shared[0]] = filled(shared[1], variables)
    for found, body in re.findall(r"file\(GLOB_RECURSE (\w+)\s([^)]*)\)", text):
        variables[found] = " ".join(globbed(filled(body, variables).split()))
    block = re.search(rf"set\({variable}\s([^)]*)\)", text)
    return filled(block[1] if block else variables.get(variable, ""), variables).split()


def filled(text: str, variables: dict[str, str]) -> str:
    """Replace `${NAME}` where the name is known."""
    return re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], match[0]), text)


def globbed(words: list[str]) -> list[str]:
    """Return what `RELATIVE folder CONFIGURE_DEPENDS pattern...` finds."""
    assert (words[0], words[2]) == ("RELATIVE", "CONFIGURE_DEPENDS")
    folder, patterns = Path(words[1]).resolve(), [Path(word) for word in words[3:]]
    found = [path for pattern in patterns for path in sorted(pattern.parent.resolve().rglob(pattern.name))]
    return [path.relative_to(folder).as_posix() for path in found if path.is_file()]


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
