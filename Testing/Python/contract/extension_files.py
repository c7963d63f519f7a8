"""Where this extension's files are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULES = ("AcuteFindings", "PEDetect", "HemorrhageDetect", "PneumothoraxSeg")
DETECTOR_MODULES = MODULES[1:]
LIBRARY = ROOT / "AcuteFindings" / "AcuteFindingsLib"
WIDGETS = LIBRARY / "widgets"


def module_file(name: str) -> Path:
    """Return a module's Python file."""
    return ROOT / name / f"{name}.py"


def ui_file(name: str) -> Path:
    """Return a module's .ui file."""
    return ROOT / name / "Resources" / "UI" / f"{name}.ui"


def widget_sources() -> list[Path]:
    """Return the library's files that use Qt."""
    return [path for path in sorted(WIDGETS.rglob("*.py")) if path.name != "__init__.py"]


def panel_sources() -> list[Path]:
    """Return the files that use Qt: modules and widgets."""
    return [module_file(name) for name in MODULES] + widget_sources()


def short_path(path: Path) -> str:
    """Return a file's path below the widgets, or its name."""
    return path.relative_to(WIDGETS).as_posix() if path.is_relative_to(WIDGETS) else path.name
