"""What reads a series of features in a researcher's checkpoint: a GRU or LSTM and its linear layers, told apart."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.networks.slab_reader import POOLINGS, RECURRENT

_FIRST = "weight_ih_l0"
_RECURRENT = re.compile(r"(weight|bias)_(ih|hh)_l\d+(_reverse)?")
_GATES = {3: "gru", 4: "lstm"}
_ATTENTION = re.compile(r"att|score|gate", re.IGNORECASE)
_SLICES = re.compile(r"slice|frame|image|instance|step", re.IGNORECASE)
_STUDY = re.compile(r"study|exam|series|scan|patient|stack|volume|bag|pool", re.IGNORECASE)


@dataclass(frozen=True)
class SeriesFile:
    """Tensors of a checkpoint that read a series.

    Attributes
    ----------
    arguments
        Of `networks.slab_reader.SeriesReader`, without `outputs`.
    recurrent
        Tensors of the GRU or LSTM, as torch names them.
    layers
        Weight and bias of the linear layers: ``"slices"``, ``"study"``, ``"attention.0"`` and so on.
    outputs
        Numbers of slice and study.
    remark
        What was assumed.
    """

    arguments: dict[str, Any]
    recurrent: dict[str, Tensor]
    layers: dict[str, tuple[Tensor, Tensor]]
    outputs: int
    remark: str

    def state(self) -> dict[str, Tensor]:
        """Return the tensors by the names of `SeriesReader`."""
        state = {f"recurrent.{name}": value for name, value in self.recurrent.items()}
        for name, (weight, bias) in self.layers.items():
            state |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return state

    def read(self, encodings: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return logits of slices and study as torch's own layers give them, for ``(b, n, f + 1)``."""
        said = self.arguments
        network = RECURRENT[said["kind"]](
            said["features"] + said["place"],
            said["hidden"],
            said["layers"],
            bias=said["bias"],
            batch_first=True,
            bidirectional=said["bidirectional"],
        )
        network.load_state_dict(self.recurrent)
        read = network.eval()(encodings if said["place"] else encodings[..., :-1])[0]
        slices = functional.linear(read, *self.layers["slices"]) if said["slices"] else None
        if said["pooling"] == "none":
            return slices, None
        if said["pooling"] == "attention":
            weights = read
            steps = [pair for name, pair in self.layers.items() if name.startswith("attention")]
            for number, pair in enumerate(steps):
                weights = functional.linear(torch.tanh(weights) if number else weights, *pair)
            pooled = torch.einsum("bnk,bnf->bf", weights.softmax(dim=1), read)
        else:
            pooled = read.mean(1) if said["pooling"] == "mean" else read.max(1).values
        return slices, functional.linear(pooled, *self.layers["study"])


def has_series(tensors: Mapping[str, Tensor]) -> bool:
    """Whether there is a recurrent layer among tensors."""
    return any(name.endswith(_FIRST) for name in tensors)


def read_series(tensors: Mapping[str, Tensor], *, features: int, pooling: str | None, file: str) -> SeriesFile:
    """Tell apart what reads a series.

    Parameters
    ----------
    tensors
        One GRU or LSTM and linear layers, under any names; nothing else.
    features
        Numbers of a slice that the slice network gives; with one more, the last is the slice's place in the series.
    pooling
        One of `POOLINGS` where the study has a layer of its own; None where each slice alone is answered.
    file
        For messages.

    Raises
    ------
    ModelError
        There are several, or layers whose use does not show; says which, and what to do.
    """
    firsts = [name for name in tensors if name.endswith(_FIRST)]
    if len(firsts) != 1:
        raise ModelError(f"{file} holds {len(firsts)} recurrent layers ({', '.join(firsts)}); one reads a series.")
    prefix = firsts[0].removesuffix(_FIRST)
    recurrent = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix) and _RECURRENT.fullmatch(name.removeprefix(prefix))
    }
    first, second = recurrent[_FIRST], recurrent.get("weight_hh_l0")
    if second is None or second.ndim != 2 or second.shape[0] // second.shape[1] not in _GATES:
        raise ModelError(f"{file}: the recurrent layer {prefix.rstrip('.')} is neither a GRU nor an LSTM.")
    taken, hidden = first.shape[1], second.shape[1]
    if taken not in (features, features + 1):
        raise ModelError(
            f"{file}: its recurrent layer takes {taken} numbers a slice and the slice network gives {features} (or "
            f"{features + 1} with the slice's place): they do not belong together."
        )
    bidirectional = f"{_FIRST}_reverse" in recurrent
    width = hidden * (2 if bidirectional else 1)
    others = {name: value for name, value in tensors.items() if name not in {prefix + part for part in recurrent}}
    layers, outputs = _layers(others, width, pooling, file)
    attention = [len(weight) for name, (weight, _) in layers.items() if name.startswith("attention")]
    arguments: dict[str, Any] = {
        "kind": _GATES[second.shape[0] // hidden],
        "features": features,
        "place": taken > features,
        "hidden": hidden,
        "layers": sum(bool(re.fullmatch(r"weight_ih_l\d+", name)) for name in recurrent),
        "bidirectional": bidirectional,
        "bias": "bias_ih_l0" in recurrent,
        "slices": "slices" in layers,
        "pooling": pooling or "none",
        "attention": attention[:-1],
    }
    told = {
        None: "each slice gets its own answer from it, and the study the highest of these",
        "mean": "the study is read from its mean over the slices",
        "max": "the study is read from its maximum over the slices",
        "attention": "the study is read from its mean over the slices, weighed by a softmax of its attention, with "
        "tanh between the layers of that",
    }[pooling]
    remark = f"The series is read by the {arguments['kind'].upper()} {prefix.rstrip('.') or 'of the file'}; {told}."
    return SeriesFile(arguments, recurrent, layers, outputs, remark)


def _layers(
    others: Mapping[str, Tensor], width: int, pooling: str | None, file: str
) -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """Return the linear layers by what they are for, and how many numbers they give."""
    if pooling not in (None, *POOLINGS):
        raise ModelError(f"There is no pooling {pooling!r}; choose --pooling {', '.join(POOLINGS)}.")
    linear = {
        name.removesuffix(".weight"): value
        for name, value in others.items()
        if name.endswith(".weight") and value.ndim == 2
    }
    known = {f"{name}.{part}" for name in linear for part in ("weight", "bias")}
    strange = [name for name in others if name not in known]
    if strange:
        raise ModelError(
            f"{file}: what {strange[0]} does beside the recurrent layer does not show; export the whole as ONNX, or "
            "describe it (docs/import.md)."
        )
    steps = _attention(linear, width, file) if pooling == "attention" else []
    heads = {name: value for name, value in linear.items() if name not in steps}
    if not 1 <= len(heads) <= (2 if pooling else 1) or any(value.shape[1] != width for value in heads.values()):
        told = ", ".join(f"{name} {tuple(value.shape)}" for name, value in heads.items()) or "none"
        raise ModelError(
            f"{file}: of the layers behind the recurrent one ({told}), one of {width} numbers is expected, or with "
            "--pooling mean, max or attention one for the study and one for its slices."
        )
    roles = _roles(list(heads), pooling, file)
    named = {f"attention.{2 * number}": name for number, name in enumerate(steps)} | roles
    count = {len(heads[name]) for name in roles.values()}
    if len(count) != 1:
        raise ModelError(
            f"{file}: its layers for slices and study give {sorted(count)} numbers; equally many are read."
        )
    zero = {name: torch.zeros(len(value)) for name, value in linear.items()}
    pairs = {role: (linear[name], others.get(f"{name}.bias", zero[name])) for role, name in named.items()}
    return pairs, count.pop()


def _attention(linear: Mapping[str, Tensor], width: int, file: str) -> list[str]:
    """Return the layers that weigh slices, in order: from `width` numbers to 1."""
    steps = [name for name in linear if _ATTENTION.search(name)]
    at = width
    for name in steps:
        if linear[name].shape[1] != at:
            break
        at = len(linear[name])
    if not steps or at != 1:
        raise ModelError(
            f"{file}: no layers whose name says attention lead from {width} numbers to one weight a slice; choose "
            "another --pooling, or export the whole as ONNX."
        )
    return steps


def _roles(heads: list[str], pooling: str | None, file: str) -> dict[str, str]:
    """Return which layer is for slices and which for the study."""
    if len(heads) == 1:
        return {"study" if pooling else "slices": heads[0]}
    slices = [name for name in heads if _SLICES.search(name) and not _STUDY.search(name)]
    study = [name for name in heads if _STUDY.search(name) and not _SLICES.search(name)]
    if len(slices) > 1 or len(study) > 1 or not (slices or study):
        raise ModelError(f"{file}: which of {' and '.join(heads)} is for slices and which for the study does not show.")
    (one,) = slices or [name for name in heads if name not in study]
    (other,) = [name for name in heads if name != one]
    return {"slices": one, "study": other}
