"""Infer the layers of a Keras model from the names of its weights."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from elman import _arguments
from elman._text import show
from elman.errors import ArgumentError, UnsupportedModelError
from elman.interop import _source
from elman.interop._source import Row, listed
from elman.interop.keras.model import (
    CELL,
    KerasCell,
    KerasDense,
    KerasEmbedding,
    KerasLayer,
    KerasModel,
    Place,
    Store,
    stacked,
)
from elman.interop.keras.parts import halves_are_zero
from elman.interop.keras.weights import kind_of, names_in

if TYPE_CHECKING:
    from typing import Any

    from elman.interop._source import Said
    from elman.interop.keras.hdf5 import Contents
    from elman.interop.keras.model import KerasPart

_SETTINGS = (  # of layers whose settings a weights file does not store
    "save the whole model as .keras, because a weights file does not store its settings"
)


# --- Keras 3: groups named by class, without an order ---------------------------------------------


def of_groups(paths: list[str], said: Said) -> KerasModel:
    """Return the chain of a weights file, from the names of its groups and the user's options."""
    layers = None if said.layers is None else _arguments.listed("layers", said.layers, "names")
    groups: dict[str, list[str]] = {}
    for path in paths:
        _, group, rest = [*path.split("/", 2), "", ""][:3]
        groups.setdefault(group, []).append(rest)
    found = {group: _of_group(group, rests) for group, rests in groups.items()}
    recurrent = [name for name, part in found.items() if isinstance(part, KerasLayer)]
    heads = [name for name, part in found.items() if isinstance(part, KerasDense)]
    order = _order(recurrent, [n for n in found if n not in recurrent], layers)
    above = _head([name for name in heads if name not in order], said.readout)
    front = [n for n, s in found.items() if isinstance(s, KerasEmbedding) and n not in order]
    left = [n for n in found if n not in (*front, *order, *above) and said.readout is not False]
    if left:
        raise ArgumentError(
            f"layers: expected the order of all layers up to the top RNN, which a weights file does"
            f" not store, or readout= with those above it, got [{listed(sorted(left))}] in neither"
        )
    return KerasModel([found[name] for name in (*front, *order, *above)], [], known=False)


def _of_group(group: str, rests: list[str]) -> KerasLayer | KerasDense | KerasEmbedding:
    """Return the layer of a group of weights."""
    places = {rest.rpartition("vars/")[0].rstrip("/") for rest in rests}
    kind = re.sub(r"_\d+$", "", group)
    own = Place(group, group, group)

    def cells(*inner: str) -> list[KerasCell]:
        return [KerasCell(Store(own, CELL, place, bias=None)) for place in inner]

    if places == {"cell"}:
        return KerasLayer(group, cells("cell"))
    if places == {"forward_layer/cell", "backward_layer/cell"}:
        forward, backward = cells("forward_layer/cell", "backward_layer/cell")
        return KerasLayer(group, [forward], backward, zero_output=True)
    stack = list(itertools.islice(stacked("cell"), len(places)))
    if places == set(stack):
        return KerasLayer(group, cells(*stack))
    if kind in ("normalization", "batch_normalization"):
        raise UnsupportedModelError(f"layer {group[:80]!r} ({kind}): {_SETTINGS}")
    if kind == "embedding" and places == {""}:
        return KerasEmbedding(group, Store(own, ("embeddings",)))
    if places in ({""}, {"layer"}):
        store = Store(own, ("kernel", "bias"), places.pop(), bias=None)
        return KerasDense(group, store)
    raise UnsupportedModelError(
        f"layer {group[:80]!r}: expected the weights of SimpleRNN, RNN, Bidirectional, Embedding or"
        f" Dense, got {', '.join(map(show, sorted(rests)[:4]))[:200]}"
    )


def _order(recurrent: list[str], others: list[str], layers: list[str] | None) -> list[str]:
    """Return the layers up to the top RNN, from the bottom up."""
    if layers is not None:
        known = [*recurrent, *others]
        missing = [name for name in recurrent if name not in layers]
        if missing or len({*layers}) < len(layers) or any(name not in known for name in layers):
            raise ArgumentError(f"layers: expected an order of [{listed(recurrent)}], got {layers}")
        return layers
    kinds = {re.sub(r"_\d+$", "", name) for name in recurrent}
    if not recurrent:
        raise UnsupportedModelError("expected the weights of a SimpleRNN, got none")
    if len(kinds) > 1:
        raise ArgumentError(
            f"layers: expected the order of [{listed(sorted(recurrent))}] from the bottom up,"
            " which a weights file does not store, got none"
        )
    return sorted(recurrent, key=_number)


def _number(name: str) -> tuple[int, str]:
    """Return a key that sorts "rnn", "rnn_1", "rnn_2", ..., "rnn_10"."""
    digits = re.sub(r".*?(\d*)$", r"\1", name).lstrip("0")
    return len(digits), digits


def _head(heads: list[str], readout: Any) -> list[str]:
    """Return the Dense layers above the RNN, from the bottom up."""
    if readout is False:
        return []
    if readout is not None and not isinstance(readout, bool):
        names = _source.names("readout", readout)
        if any(name not in heads for name in names) or len({*names}) < len(names):
            raise ArgumentError(f"readout: expected one of [{listed(heads)}], got {readout!r}")
        return names
    if len(heads) > 1:
        raise ArgumentError(
            f"readout: expected the order of [{listed(sorted(heads))}] from the bottom up,"
            " which a weights file does not store, got none"
        )
    return heads


# --- Keras 2: an order, and names -----------------------------------------------------------------


def of_order(contents: Contents) -> KerasModel:
    """Return the chain of a file of `save_weights` of Keras 2: its layers are in order."""
    parts: list[KerasPart] = []
    rows: list[Row] = []
    zero = halves_are_zero(contents.attributes.get("keras_version", "2"))
    for name in contents.lists["", "layer_names"]:
        paths = names_in(contents, name)
        if paths:
            parts += _of_names(name, paths, zero)
        elif not re.match(r"input|dropout|top_level_model_weights", name):
            note = "has no weights: a file of weights does not tell what it does"
            rows.append(Row(name, "", note))
    if not any(isinstance(part, KerasLayer) for part in parts):
        raise UnsupportedModelError("expected the weights of a SimpleRNN, got none")
    return KerasModel(parts, rows, known=False)


def check_order(model: KerasModel, said: Said, what: str) -> None:
    """Refuse an order of layers, and names of Dense layers that are not those behind the RNN."""
    if said.layers is not None:
        raise ArgumentError(f"layers: expected none, because the {what} has an order, got some")
    if said.readout is None or isinstance(said.readout, bool):
        return
    names = [dense.name for dense in model.readouts]
    if _source.names("readout", said.readout) != names:
        has = listed(names) if len(names) == 1 else f"[{listed(names)}]"
        has = has if names else "no Dense layer"
        raise ArgumentError(f"readout: expected {has}, as in the {what}, got {said.readout!r}")


def _of_names(name: str, paths: list[str], zero: bool) -> list[KerasPart]:
    """Return the layers of a group, which are several in the group of a model."""
    kinds = [kind_of(path) for path in paths]
    starts = [at for at, kind in enumerate(kinds) if at == 0 or kind in ("kernel", "embeddings")]
    parts: list[KerasPart] = []
    for start, end in itertools.pairwise([*starts, len(kinds)]):
        own = tuple(kinds[start:end])
        store = Store(Place(name, name, name, top=name, order=(start,)), own)
        below = parts[-1] if parts else None
        if own == ("embeddings",):
            parts.append(KerasEmbedding(name, store))
        elif own in (("kernel",), ("kernel", "bias")):
            parts.append(KerasDense(name, store))
        elif own not in (CELL, CELL[:2]):
            other = next((kind for kind in own if kind not in CELL), own[-1])
            raise UnsupportedModelError(f"layer {name[:80]!r} ({show(other)}): {_SETTINGS}")
        elif isinstance(below, KerasLayer) and _are_halves(paths[start - 1], paths[start]):
            parts[-1] = below._replace(backward=KerasCell(store), zero_output=zero)
        else:
            parts.append(KerasLayer(name, [KerasCell(store)]))
    return parts


def _are_halves(first: str, second: str) -> bool:
    """Return whether two cells are the halves of a bidirectional layer, by their names."""
    pairs = zip(first.split("/"), second.split("/"), strict=False)
    return any(a.startswith("forward_") and b.startswith("backward_") for a, b in pairs)
