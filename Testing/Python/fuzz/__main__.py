"""Try inputs and say what failed: `python -m fuzz --count 20000 --seed 7`, in Testing/Python.

`python -m fuzz --seed 7 --write 123 FOLDER` writes input 123 of seed 7 to disk and says what it is;
`--try 123` tries it in this process, for a debugger.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzz.watch import try_inputs


def main() -> int:
    """Run and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", help="only inputs of the kind of this name")
    parser.add_argument("--write", nargs=2, metavar=("NUMBER", "FOLDER"), help="write one input to disk")
    parser.add_argument("--try", dest="one", type=int, metavar="NUMBER", help="try one input in this process")
    parser.add_argument("--json", type=Path, help="write what came of every input")
    arguments = parser.parse_args()
    if arguments.write or arguments.one is not None:
        return _one(arguments)
    from fuzz.kinds import kind_of

    numbers = range(arguments.count)
    if arguments.kind:
        numbers = [n for n in range(arguments.count * 200) if kind_of(n).__name__ == arguments.kind][: arguments.count]
    results = try_inputs(arguments.seed, list(numbers), told=_progress)
    if arguments.json:
        arguments.json.write_text(json.dumps(results), encoding="utf-8")
    failed = [one for one in results if one["fault"]]
    for one in failed:
        print(_line(one, arguments.seed))
    print(f"{len(results)} inputs of seed {arguments.seed}: {dict(Counter(one['outcome'] for one in results))}")
    return bool(failed)


def _progress(result: dict, done: int, count: int) -> None:
    if result["fault"]:
        print(f"{result['number']} {result['kind']}: {result['outcome']}", file=sys.stderr, flush=True)
    elif done % 200 == 0:
        print(f"{done} of {count}", file=sys.stderr, flush=True)


def _line(result: dict, seed: int) -> str:
    again = f"python -m fuzz --seed {seed} --write {result['number']} FOLDER"
    fault = "\n    ".join(result["fault"].strip().splitlines())
    return f"{result['kind']} ({result['told']}): {result['outcome']}: {fault}\n    to write it: {again}"


def _one(arguments: argparse.Namespace) -> int:
    import numpy as np

    from fuzz.child import try_one
    from fuzz.kinds import kind_of

    if arguments.write:
        number, folder = int(arguments.write[0]), Path(arguments.write[1])
        folder.mkdir(parents=True, exist_ok=True)
        trial = kind_of(number)(np.random.default_rng([arguments.seed, number]), folder)
        print(f"{kind_of(number).__name__}: {trial.told}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        result = try_one(arguments.seed, arguments.one, Path(folder))
    print(_line({"number": arguments.one, **result}, arguments.seed))
    return bool(result["fault"])


if __name__ == "__main__":
    sys.exit(main())
