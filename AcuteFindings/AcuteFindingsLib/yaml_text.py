"""YAML from elsewhere, checked against the budgets before anything is built from it; plain values only."""

from typing import Any

import yaml

from AcuteFindingsLib.budgets import budgets


def parse_yaml(text: str) -> Any:
    """Return what YAML says: plain values only, whatever tags it holds.

    Raises
    ------
    ValueError
        Where it is no YAML, too long or nested too deep, repeats parts by aliases (ten lines of these unfold to more
        than any memory holds) or gives a key twice; the text goes after the name of what was read.
    """
    limits = budgets()
    if len(text) > limits.settings_bytes:
        raise ValueError(f"is larger than {limits.settings_bytes >> 20} MB")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("repeats parts by YAML's aliases; write them out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > limits.nesting:
                raise ValueError(f"is nested deeper than {limits.nesting} levels")
        return yaml.load(text, Loader=OnceLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"is not readable as YAML: {' '.join(str(error).split())[:300]}") from error
    except RecursionError as error:
        raise ValueError(f"is nested deeper than {limits.nesting} levels") from error


class OnceLoader(yaml.SafeLoader):
    """Refuses a key that comes twice, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys are all different."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is repeated", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
