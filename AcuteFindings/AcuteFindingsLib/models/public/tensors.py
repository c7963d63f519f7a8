"""The tensors of a public model's files under the names that they have here, checked against its graphs."""

import re

from AcuteFindingsLib.models.public.description import WeightsFile


def prefix_of(key: str, file: WeightsFile) -> str:
    """Return what goes before the names of a file's tensors: its key and a dot where the description says nothing."""
    return f"{key}." if file.prefix is None else file.prefix


def package_name(key: str, file: WeightsFile, name: str) -> str:
    """Return what a tensor of a file is called in the package, in the graphs and in the network's state dict."""
    for rename in file.renames:
        if re.fullmatch(rename.pattern, name):
            name = re.sub(rename.pattern, rename.to, name, count=1)
            break
    return prefix_of(key, file) + name
