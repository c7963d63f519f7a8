"""Finds modules of the library that import each other in a circle: ``python import_circles.py``, part of `make check`.

Counts every import, also one inside a function or for types only: what needs such a one to avoid a circle has two
things in one module, or one thing in two.
"""

import sys
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import grimp

LIBRARY = "AcuteFindingsLib"


def find_circle(imports: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in this order, the first one again at the end; empty where none do."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        # It lists each module after one that it is imported by.
        return error.args[1][::-1]
    return []


def main() -> int:
    """Tell of a circle and return the exit status."""
    graph = grimp.build_graph(LIBRARY, cache_dir=None)
    circle = find_circle({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    if not circle:
        print(f"No import circle in the {len(graph.modules)} modules of {LIBRARY}.")
        return 0
    print("These modules import each other in a circle:", file=sys.stderr)
    for importer, imported in pairwise(circle):
        for detail in graph.get_import_details(importer=importer, imported=imported):
            print(f"  {importer}, line {detail['line_number']}: {detail['line_contents']}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
