"""Write the ONNX graphs of an import description beside it: the network with random weights, exported without them.

    python Tools/imports/make_graphs.py ID

The description's network is built, settled on noise in the range of its images, exported and compared with torch; the
graphs are written to ``Resources/Imports/ID``, and what the description has to say of them (``graphs:``) is printed.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Hub"))

from random_weights import random_network  # noqa: E402

from AcuteFindingsLib.models.graphs.make import NOISE, make_graphs  # noqa: E402
from AcuteFindingsLib.models.graphs.prove import largest_map_difference  # noqa: E402
from AcuteFindingsLib.models.public.card import card_of, data_format_of  # noqa: E402
from AcuteFindingsLib.models.public.recommended import read_description  # noqa: E402
from AcuteFindingsLib.models.runtime.gradcam import run_with_maps  # noqa: E402

# So many times torch's own rounding may ONNX Runtime be off in the maps of random weights.
_TIMES = 4.0


def main(name: str) -> None:
    """Write the graphs of one description."""
    description = read_description(ROOT / "Resources" / "Imports" / f"{name}.yaml")
    image = description.image
    if description.network is None or image is None:
        raise SystemExit(f"{name} names no network or no images")
    low, high = image.value_range
    noise = np.random.default_rng(23).uniform(low, high, (2, image.channels, *image.shape)).astype(np.float32)
    network = random_network(description.network.name, description.network.arguments, torch.from_numpy(noise))
    asked = {
        "card": card_of(description),
        "data_format": data_format_of(description),
        "images": noise,
        "compared_on": f"{NOISE}, with random weights",
    }
    stated, files = make_graphs(network, **asked)
    if stated.explaining is None and "differ" in stated.unexplained:
        stated, files = make_graphs(network, **asked, map_tolerance=_TIMES * rounding(network, noise))
    if not files:
        raise SystemExit(f"{name}: {stated.reason}")
    folder = ROOT / "Resources" / "Imports" / name
    folder.mkdir(exist_ok=True)
    for file, content in files.items():
        (folder / Path(file).name).write_bytes(content)
        print(f"{folder / Path(file).name}: {len(content) / 1e6:.2f} MB", file=sys.stderr)
    told = stated.model_dump(mode="json", exclude_defaults=True)
    print(yaml.safe_dump({"graphs": told}, sort_keys=False, width=110), end="")


def rounding(network: torch.nn.Module, images: np.ndarray) -> float:
    """Return how far torch's own maps of a mask are from those in double precision, as a share of their maximum.

    Random weights carry rounding on from layer to layer, where trained ones lose it.
    """
    maps = [
        run_with_maps(one, torch.from_numpy(images).to(kind), outputs=("mask",))[1]["mask"].numpy()
        for one, kind in ((network, torch.float32), (copy.deepcopy(network).double(), torch.float64))
    ]
    return largest_map_difference({"mask": maps[1]}, {"mask": maps[0]})


if __name__ == "__main__":
    main(*sys.argv[1:])
