"""Changes to a recipe from the command line: ``stages.slice.epochs=3``."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from AcuteFindingsLib.errors import RecipeError

_EVERY = "*"


def with_overrides(recipe: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of a recipe's mapping with some values replaced.

    Parameters
    ----------
    recipe
        As read from YAML.
    overrides
        ``key.of.value=value`` each; the value is read as YAML, a number counts a place in a list, ``*`` means every
        entry of a mapping or list. Keys that are not there yet are made; whether the recipe knows them is checked when
        it is validated.

    Raises
    ------
    RecipeError
        Where one has no ``=``, its value is not YAML, or its key leads through something that holds no keys.
    """
    changed = _copy(recipe)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {override}: expected KEY=VALUE, for example stages.slice.epochs=3.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {override}: the value is not readable as YAML: {_first_line(error)}") from error
        _put(changed, key.strip().split("."), value, override)
    return changed


def _put(place: Any, keys: list[str], value: Any, override: str) -> None:
    key, rest = keys[0], keys[1:]
    if isinstance(place, list):
        if key == _EVERY:
            chosen: list[Any] = list(range(len(place)))
        elif key.isdigit() and int(key) < len(place):
            chosen = [int(key)]
        else:
            raise RecipeError(f"--set {override}: {key!r} counts a place in a list of {len(place)} (from 0).")
    elif isinstance(place, dict):
        chosen = list(place) if key == _EVERY else [key]
    else:
        raise RecipeError(f"--set {override}: nothing lies below the value {place!r}; shorten the key before {key!r}.")
    for one in chosen:
        if not rest:
            place[one] = value
            continue
        if isinstance(place, dict) and place.get(one) is None:
            place[one] = {}
        _put(place[one], rest, value, override)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
