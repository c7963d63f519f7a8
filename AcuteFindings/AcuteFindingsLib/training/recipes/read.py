"""Reading recipes: found by name, put together with those they extend, checked with errors that name the key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.training.recipes.overrides import with_overrides
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.yaml_text import OnceLoader

_SUFFIX = ".yaml"
_EXTENDS = "extends"


@dataclass(frozen=True)
class RecipeFile:
    """A recipe that was found: its name is that of its file."""

    name: str
    path: Path


def list_recipes(folders: Sequence[Path] = ()) -> list[RecipeFile]:
    """Return the recipes of the given folders and those that ship; of one name the first counts."""
    found: dict[str, RecipeFile] = {}
    for folder in (*folders, resource_path("Recipes")):
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            found.setdefault(path.stem, RecipeFile(path.stem, path))
    return sorted(found.values(), key=lambda one: one.name)


def find_recipe(recipe: str | Path, folders: Sequence[Path] = ()) -> Path:
    """Return the file of a recipe: a path, or the name of one that ships or lies in one of the folders.

    Raises
    ------
    RecipeError
        When there is none; names those that are close.
    """
    path = Path(recipe)
    if path.suffix in (_SUFFIX, ".yml"):
        if path.is_file():
            return path
        raise RecipeError(
            f"{path}: there is no such file; name a YAML file, or a recipe of `acutefindings recipes list`."
        )
    known = {one.name: one.path for one in list_recipes(folders)}
    if str(recipe) in known:
        return known[str(recipe)]
    close = get_close_matches(str(recipe), known, n=3)
    advice = f"did you mean {' or '.join(close)}?" if close else "`acutefindings recipes list` shows all."
    raise RecipeError(f"There is no recipe {str(recipe)!r}; {advice}")


def read_recipe(recipe: str | Path, *, overrides: Sequence[str] = (), folders: Sequence[Path] = ()) -> Recipe:
    """Read, put together and check a recipe.

    Parameters
    ----------
    recipe
        Name or YAML file.
    overrides
        ``key.of.value=value`` each, as `with_overrides` takes them.
    folders
        With one's own recipes.

    Raises
    ------
    RecipeError
        The message names file and key, and what was expected there.
    """
    path = find_recipe(recipe, folders)
    values = _without_removed(with_overrides(merged_recipe(path), overrides))
    return check_recipe(values, source=path.name, overridden=bool(overrides))


def check_recipe(values: Mapping[str, Any], *, source: str, overridden: bool = False) -> Recipe:
    """Validate a recipe's mapping.

    Raises
    ------
    RecipeError
        The message names `source`, every key that is wrong, and what was expected there.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        told = "; ".join(_told(one) for one in error.errors())
        changed = " (with the values given by --set)" if overridden else ""
        raise RecipeError(f"{source}{changed}: {told}") from error


def merged_recipe(path: Path, _chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a recipe's mapping laid over that of the recipe it extends.

    ``extends`` names a recipe beside the file, or one that ships. Mappings are merged key by key; anything else
    replaces what was there, and an empty value removes it.

    Raises
    ------
    RecipeError
        Where a file is not readable as YAML, holds no mapping, or extends itself.
    """
    path = path.resolve()
    if path in _chain:
        raise RecipeError(f"{path.name}: {_EXTENDS}: the recipes extend each other in a circle.")
    own = _load(path)
    base = own.pop(_EXTENDS, None)
    if base is None:
        return _without_removed(own)
    if not isinstance(base, str):
        raise RecipeError(f"{path.name}: {_EXTENDS}: expected the name of a recipe, got {base!r}.")
    beside = path.with_name(f"{base}{_SUFFIX}")
    inherited = merged_recipe(beside if beside.is_file() else find_recipe(base), (*_chain, path))
    return _without_removed(_merge(inherited, own))


def recipe_yaml(recipe: Recipe) -> str:
    """Return a recipe as YAML, complete: every default is written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True, width=110)


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} cannot be read: {error}") from error
    try:
        # The safe loader makes plain values only, whatever tags the file holds.
        values = yaml.load(text, Loader=OnceLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path.name}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path.name}: expected keys with values, got {type(values).__name__}.")
    return values


def _merge(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(value, Mapping) and isinstance(below, dict) else value
    return merged


def _without_removed(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_removed(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _told(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_at(error["loc"][:-1])
        close = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return f"{place}: there is no such key; {hint}"
    if error["type"] == "missing":
        return f"{place}: this key is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    got = error["input"]
    shown = "" if isinstance(got, Mapping | BaseModel) else f", got {got!r}"
    return f"{place}: {message}{shown}" if place else message


def _keys_at(loc: Sequence[Any]) -> list[str]:
    """Return the keys that the schema knows at a place."""
    model: Any = Recipe
    for part in loc:
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else model
        model = _model_in(annotation) or model
    return list(getattr(model, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
