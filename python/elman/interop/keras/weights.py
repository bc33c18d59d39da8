"""Find the weights of a Keras model: in the groups of a file, by their order, or in memory.

A `Find` takes a `Store` and returns its arrays by kind ("kernel", "bias"), each with its name in
the source.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from elman._interrupt import product
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from elman._typing import Array
    from elman.interop.keras.hdf5 import Contents
    from elman.interop.keras.model import Store, Weights

    Find = Callable[[Store], Weights]

NEVER_TRAINED = ("mean", "variance", "count", "moving_mean", "moving_variance")
_UNUSED = ("count", "seed", "seed_generator_state")  # kinds that no output depends on


def complete(store: Store, found: Weights, base: str) -> Weights:
    """Refuse missing weights, and weights that the config does not mention."""
    kinds = set(store.kinds)
    allowed = [kinds] if store.bias is not None else [kinds, kinds - {"bias"}]
    if set(found) not in allowed:
        raise ModelFormatError(
            f"layer {store.layer.label!r}: expected {', '.join(sorted(kinds))} in {base[:80]!r},"
            f" got {', '.join(sorted(found))[:80] or 'nothing'}"
        )
    return found


# --- Keras 3: groups named by class ---------------------------------------------------------------


def root_of(contents: Contents) -> str:
    """Return the group that holds the layers."""
    for root in ("layers", "_layer_checkpoint_dependencies"):
        if any(path.startswith(f"{root}/") for path in contents.arrays):
            return root
    raise UnsupportedModelError("expected weights in 'layers', as Keras 3 writes them, got none")


def by_group(contents: Contents) -> Find:
    """Return a function that finds weights by the group of their layer, as in Keras 3."""
    root = root_of(contents)

    def find(store: Store) -> Weights:
        group = store.layer.group.replace("/layers/", f"/{root}/")
        own = (store.layer.name, store.layer.group)
        name = contents.names.get(f"{root}/{group}/vars", own[0])
        if name not in own and own[0] != own[1]:
            raise ModelFormatError(
                f"layer {store.layer.label!r}: expected its weights in {group[:80]!r}, got those of"
                f" {name[:80]!r}"
            )
        base = "/".join(part for part in (root, group, store.inner, "vars") if part)
        kinds = [*store.kinds, *(["bias"] if store.bias is False else [])]  # not to be there
        paths = {kind: f"{base}/{index}" for index, kind in enumerate(kinds)}
        arrays = contents.arrays
        found = {kind: (path, arrays[path]) for kind, path in paths.items() if path in arrays}
        return complete(store, found, base)

    return find


# --- legacy files: an order -----------------------------------------------------------------------


def kind_of(path: str) -> str:
    """Return the kind of a weight by its name: "kernel" of "rnn/cell/kernel_1:0"."""
    return re.sub(r"(_\d+)?(:\d+)?$", "", path.rpartition("/")[2])


def names_in(contents: Contents, base: str) -> list[str]:
    """Return the paths of the weights of a layer's group, in the order of Keras."""
    given = contents.lists.get((base, "weight_names"))
    if given is None:
        return [path for path in contents.arrays if path.startswith(f"{base}/")]
    return [path for name in given if (path := f"{base}/{name}") in contents.arrays]


def by_order(contents: Contents, root: str, stores: Iterable[Store]) -> Find:
    """Return a function that finds weights as Keras 2 does: by their order in the layer's group.

    Trained weights come first, layer by layer, then those that are frozen or never trained. Of one
    kind, each layer has one.
    """
    groups: dict[str, list[Store]] = {}
    for store in stores:
        groups.setdefault(store.layer.top, []).append(store)
    found: dict[Store, Weights] = {}
    for top, inside in groups.items():
        waiting: dict[str, deque[str]] = {}
        for path in names_in(contents, f"{root}/{top}".lstrip("/")):
            waiting.setdefault(kind_of(path), deque()).append(path)
        for trained in (True, False):
            for store in sorted(inside, key=lambda s: (s.layer.frozen and trained, s.layer.order)):
                weights = found.setdefault(store, {})
                for kind in store.kinds:
                    if (kind not in NEVER_TRAINED) == trained and waiting.get(kind):
                        path = waiting[kind].popleft()
                        _require_own(path, store)
                        weights[kind] = (path, contents.arrays[path])
                if trained and store.lora is not None:
                    _update(weights, store, waiting, contents)
        left = [path for kind, paths in waiting.items() if kind not in _UNUSED for path in paths]
        if left:
            raise UnsupportedModelError(
                f"layer {top!r}: expected only the weights of its config, got {left[0][:120]!r} too"
            )
    return lambda store: complete(store, found[store], f"{root}/{store.layer.top}".lstrip("/"))


def _require_own(path: str, store: Store) -> None:
    """Refuse a weight of another layer: Keras 3 writes the names of the layers around it."""
    plain = re.search(r":\d+$", path) is None
    if plain and store.layer.name not in path.split("/"):
        raise UnsupportedModelError(
            f"layer {store.layer.label!r}: expected its weights, got those of {path[:120]!r}: save"
            " the model as .keras"
        )


def _update(
    weights: Weights, store: Store, waiting: dict[str, deque[str]], contents: Contents
) -> None:
    """Add the low-rank update of a layer, which is in two arrays beside its matrix."""
    kind = store.kinds[0]
    paths = [waiting.get(f"lora_{kind}_{factor}") for factor in "ab"]
    if kind not in weights or not all(paths):
        return
    path, array = weights[kind]
    a, b = (contents.arrays[one.popleft()] for one in paths if one)
    shape = (len(array), a.shape[-1], array.shape[-1])
    if a.ndim != 2 or b.ndim != 2 or (len(a), *b.shape) != shape:
        raise ModelFormatError(
            f"layer {store.layer.label!r}: expected a low-rank update of {array.shape}, got"
            f" {a.shape} and {b.shape}"
        )
    update = product(a.astype("f8"), b.astype("f8"))
    added = array.astype("f8") + (store.lora or 0.0) * update
    weights[kind] = (path, added.astype(array.dtype))


# --- models in memory -----------------------------------------------------------------------------


def in_memory(live: Any, stores: Iterable[Store], package: Any) -> Find:
    """Return a function that finds the weights of a live model."""
    layers: dict[tuple[str, ...], list[Store]] = {}
    for store in stores:
        layers.setdefault(store.layer.live, []).append(store)
    found: dict[Store, Weights] = {}
    for path, cells in layers.items():
        layer, name = _layer(live, path), cells[0].layer.label
        arrays = list(layer.get_weights())  # cell by cell
        if not arrays:
            raise ArgumentError(
                f"source: expected a model with weights, got none in layer {name!r}: call the"
                " model once, or start it with keras.Input"
            )
        for store in cells:
            count = len(store.kinds)
            own, arrays = arrays[:count], arrays[count:]
            if store.lora is not None:  # the matrix with its update, which is in two more arrays
                own[0] = package.ops.convert_to_numpy(getattr(layer, store.kinds[0]))
                arrays = arrays[2:]
            place = "/".join(part for part in (name, store.inner) if part)
            pairs = zip(store.kinds, own, strict=False)
            found[store] = {kind: (f"{place}/{kind}", _real(array)) for kind, array in pairs}
        if arrays and not (store.kinds[0] == "mean" and len(arrays) == 1):  # a count
            raise UnsupportedModelError(
                f"layer {name!r}: expected only its cells' weights, got more weights"
            )
    return lambda store: complete(store, found[store], store.layer.label)


def _layer(live: Any, path: tuple[str, ...]) -> Any:
    """Return a layer of a live model by the names that lead to it; "" leads into a wrapper."""
    layer = live
    for name in path:
        layer = layer.layer if not name else {one.name: one for one in layer.layers}[name]
    return layer


def _real(array: Any) -> Array:
    """Return an array, bfloat16 as float32."""
    real = np.asarray(array)
    return real.astype(np.float32) if real.dtype.name == "bfloat16" else real
