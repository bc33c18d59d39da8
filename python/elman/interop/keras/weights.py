"""Find the weights of a Keras model: in the groups of a file, by their order, or in memory.

A `Find` takes a `Store` and returns its arrays by kind ("kernel", "bias"), each with its name in
the source.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from elman.interop.keras.hdf5 import Contents
    from elman.interop.keras.model import Store

    Weights = dict[str, tuple[str, NDArray[Any]]]
    Find = Callable[[Store], Weights]

NEVER_TRAINED = ("mean", "variance", "count", "moving_mean", "moving_variance")
_UNUSED = ("count", "seed", "seed_generator_state")  # kinds that no output depends on


def complete(store: Store, found: Weights, base: str) -> Weights:
    """Refuse missing weights, and weights that the config does not mention."""
    kinds = set(store.kinds)
    allowed = [kinds] if store.bias is not None else [kinds, kinds - {"bias"}]
    if set(found) not in allowed:
        raise ModelFormatError(
            f"layer {store.name!r}: expected {', '.join(sorted(kinds))} in {base[:80]!r}, got"
            f" {', '.join(sorted(found))[:80] or 'nothing'}"
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
        group = store.group.replace("/layers/", f"/{root}/")
        name = contents.names.get(f"{root}/{group}/vars", store.own)
        if name not in (store.own, store.group) and store.own != store.group:
            raise ModelFormatError(
                f"layer {store.name!r}: expected its weights in {group[:80]!r}, got those of"
                f" {name[:80]!r}"
            )
        base = "/".join(part for part in (root, group, store.place, "vars") if part)
        kinds = [*store.kinds, *(["bias"] if store.bias is False else [])]  # not to be there
        found = {
            kind: (f"{base}/{index}", contents.arrays[f"{base}/{index}"])
            for index, kind in enumerate(kinds)
            if f"{base}/{index}" in contents.arrays
        }
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
        groups.setdefault(store.top, []).append(store)
    found: dict[tuple[str, tuple[int, ...]], Weights] = {}
    bases: dict[str, str] = {}
    for top, inside in groups.items():
        base = bases[top] = f"{root}/{top}".lstrip("/")
        waiting: dict[str, deque[str]] = {}
        for path in names_in(contents, base):
            waiting.setdefault(kind_of(path), deque()).append(path)
        for trained in (True, False):
            for store in sorted(inside, key=lambda s: (s.frozen and trained, s.order)):
                weights = found.setdefault((store.top, store.order), {})
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

    def find(store: Store) -> Weights:
        return complete(store, found[store.top, store.order], bases[store.top])

    return find


def _require_own(path: str, store: Store) -> None:
    """Refuse a weight of another layer: Keras 3 writes the names of the layers around it."""
    plain = re.search(r":\d+$", path) is None
    if plain and store.own not in path.split("/"):
        raise UnsupportedModelError(
            f"layer {store.name!r}: expected its weights, got those of {path[:120]!r}: save the"
            " model as .keras"
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
            f"layer {store.name!r}: expected a low-rank update of {array.shape}, got {a.shape} and"
            f" {b.shape}"
        )
    added = array.astype("f8") + (store.lora or 0.0) * (a.astype("f8") @ b.astype("f8"))
    weights[kind] = (path, added.astype(array.dtype))


# --- models in memory -----------------------------------------------------------------------------


def in_memory(live: Any, stores: Iterable[Store], package: Any) -> Find:
    """Return a function that finds the weights of a live model."""
    layers: dict[tuple[str, ...], list[Store]] = {}
    for store in stores:
        layers.setdefault(store.live, []).append(store)
    found: dict[tuple[str, str], Weights] = {}
    for path, cells in layers.items():
        layer = _layer(live, path)
        given = list(layer.get_weights())  # cell by cell
        name = cells[0].name
        if not given:
            raise ArgumentError(
                f"source: expected a model with weights, got none in layer {name!r}: call the"
                " model once, or start it with keras.Input"
            )
        arrays = iter(given)
        for store in cells:
            weights = found[store.name, store.place] = {}
            for kind, array in zip(store.kinds, arrays, strict=False):
                where = "/".join(part for part in (store.name, store.place, kind) if part)
                weights[kind] = (where, _real(array))
            if store.lora is not None:  # the matrix with its update, which is in two more arrays
                merged = package.ops.convert_to_numpy(getattr(layer, store.kinds[0]))
                weights[store.kinds[0]] = (weights[store.kinds[0]][0], _real(merged))
                next(arrays, None), next(arrays, None)
        left = list(arrays)
        if left and not (store.kinds[0] == "mean" and len(left) == 1):  # a count
            raise UnsupportedModelError(
                f"layer {name!r}: expected only its cells' weights, got more weights"
            )

    def find(store: Store) -> Weights:
        return complete(store, found[store.name, store.place], store.name)

    return find


def _layer(live: Any, path: tuple[str, ...]) -> Any:
    """Return a layer of a live model by the names that lead to it; "" leads into a wrapper."""
    layer = live
    for name in path:
        layer = layer.layer if not name else {one.name: one for one in layer.layers}[name]
    return layer


def _real(array: Any) -> NDArray[Any]:
    """Return an array, bfloat16 as float32."""
    import numpy as np

    real = np.asarray(array)
    return real.astype(np.float32) if real.dtype.name == "bfloat16" else real
