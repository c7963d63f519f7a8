"""Write the ONNX graphs of an import description beside it: the network with random weights, exported without them.

    python Tools/imports/make_graphs.py ID

The description's network is built, settled on noise in the range of its images, exported and compared with torch; the
graphs are written to ``Resources/Imports/ID``, and what the description has to say of them (``graphs:``) is printed.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Hub"))

from random_weights import random_network  # noqa: E402

from AcuteFindingsLib.models.graphs.make import NOISE, make_graphs  # noqa: E402
from AcuteFindingsLib.models.public.card import card_of, data_format_of  # noqa: E402
from AcuteFindingsLib.models.public.recommended import read_description  # noqa: E402


def main(name: str) -> None:
    """Write the graphs of one description."""
    description = read_description(ROOT / "Resources" / "Imports" / f"{name}.yaml")
    image = description.image
    if description.network is None or image is None:
        raise SystemExit(f"{name} names no network or no images")
    low, high = image.value_range
    noise = np.random.default_rng(23).uniform(low, high, (2, image.channels, *image.shape)).astype(np.float32)
    network = random_network(description.network.name, description.network.arguments, torch.from_numpy(noise))
    stated, files = make_graphs(
        network,
        card=card_of(description),
        data_format=data_format_of(description),
        images=noise,
        compared_on=f"{NOISE}, with random weights",
    )
    if not files:
        raise SystemExit(f"{name}: {stated.reason}")
    folder = ROOT / "Resources" / "Imports" / name
    folder.mkdir(exist_ok=True)
    for file, content in files.items():
        (folder / Path(file).name).write_bytes(content)
        print(f"{folder / Path(file).name}: {len(content) / 1e6:.2f} MB", file=sys.stderr)
    told = stated.model_dump(mode="json", exclude_defaults=True)
    print(yaml.safe_dump({"graphs": told}, sort_keys=False, width=110), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
