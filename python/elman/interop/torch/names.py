"""Find the recurrent layers of a PyTorch model by the names of its tensors.

An `nn.RNN` named `rnn` holds `rnn.weight_ih_l0`, `rnn.weight_hh_l0`, `rnn.bias_ih_l0` and
`rnn.bias_hh_l0`, then `_l1` and so on, and the same with `_reverse` for its second direction; an
`nn.RNNCell` has no `_l0`. A user's name matches the end of a name, or of what contains it;
ambiguous names are refused and listed.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from elman import _arguments
from elman.errors import ArgumentError, LimitError, UnsupportedModelError
from elman.interop import _source
from elman.interop._source import MAX_LISTED, MAX_SHOWN, listed
from elman.interop.torch.computed import resolved
from elman.interop.torch.model import KINDS, PickledModule, TorchLayer, TorchModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any


MAX_TENSORS = 10_000  # of a checkpoint: tensors and dictionaries
MAX_ENTRIES = 10_000_000  # all entries of its dictionaries
MAX_DEPTH = 16
MAX_COPIES = 16  # of a model in one state_dict

_WEIGHT_HH = re.compile(r"(?:(.*)\.)?weight_hh(?:_l0)?", re.DOTALL)
_WRAPPERS = ("module", "_orig_mod")  # DataParallel, torch.compile
_NO_MODEL = re.compile(  # the states of optimizers, and the versions of modules
    r"optim(?!iz?s?ed|al|um)|exp_avg|momentum_buffer|(?:^|\.)_metadata$", re.IGNORECASE
)
_QUANTIZED = re.compile(r"_packed_(?:params|weight).*", re.DOTALL)
_OWN = re.compile(r"(?:weight|bias)_\w+|parametrizations\..*", re.DOTALL)  # of an RNN


# --- the tensors of a state_dict or a checkpoint ---


def of_mapping(mapping: Any, prefix: str | Sequence[str] | None) -> TorchModel:
    """Return the tensors of a state_dict, or of the chosen one in a checkpoint."""
    checkpoint = _Checkpoint(mapping)
    models: dict[str, dict[str, Any]] = {}
    for path, tensors in checkpoint.groups.items():
        if units_of(tensors):
            models |= _copies(path, tensors)
    if len(models) > 1 and prefix is not None:
        units = [unit for tensors in models.values() for unit in units_of(tensors)]
        chosen = set(_chosen(units, prefix))
        models = {
            path: tensors for path, tensors in models.items() if chosen & set(units_of(tensors))
        }
    if len(models) > 1:
        raise ArgumentError(
            f"source: expected one state_dict with an RNN, got {listed(_written(models))}: set"
            " prefix= to the name of one"
        )
    others = {path: own for path, own in checkpoint.groups.items() if not units_of(own)}
    for path, tensors in models.items():
        if path and units_of(tensors) == [path]:  # of an RNN: those of other modules are beside it
            near = [own for other, own in others.items() if other and parent(other) == parent(path)]
            tensors |= _joined(near)
        beside = {name: t for name, t in _joined(others.values()).items() if name not in tensors}
        return TorchModel(tensors, nonlinearities=checkpoint.nonlinearities, beside=beside)
    return TorchModel(_joined(others.values()))


def all_of(mapping: Any) -> TorchModel:
    """Return the tensors of a state_dict, or of all in a checkpoint."""
    return TorchModel(_joined(_Checkpoint(mapping).groups.values()))


def _joined(groups: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: tensor for group in groups for name, tensor in group.items()}


class _Checkpoint:
    """The tensors of each of nested mappings, by its name and theirs; not of optimizers."""

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self.groups: dict[str, dict[str, Any]] = {}
        self.nonlinearities: dict[str, str] = {}  # of modules that were saved whole
        self._tensors = self._entries = 0
        self._add(mapping, "", 0)
        self.groups = {path: resolved(tensors) for path, tensors in self.groups.items()}

    def _add(self, mapping: Mapping[Any, Any], path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise LimitError(f"source: expected dictionaries at most {MAX_DEPTH} deep, got more")
        if isinstance(mapping, PickledModule):
            self.nonlinearities |= {
                f"{path}.{unit}".strip("."): kind for unit, kind in mapping.nonlinearities.items()
            }
        for name, value in mapping.items():
            nested = hasattr(value, "items")
            self._count(is_tensor=nested or hasattr(value, "shape"))
            if _QUANTIZED.fullmatch(str(name).rpartition(".")[2]):
                raise UnsupportedModelError(
                    f"source: {name} belongs to a quantized module, which is not supported: read"
                    " the model from before its quantization"
                )
            own = f"{path}.{name}".lstrip(".")
            if nested:
                self._add(value, own, depth + 1)
            elif hasattr(value, "shape") and not _NO_MODEL.search(path):
                self.groups.setdefault(path, {})[own] = value

    def _count(self, *, is_tensor: bool) -> None:
        self._entries += 1
        self._tensors += is_tensor
        if self._entries > MAX_ENTRIES or self._tensors > MAX_TENSORS:
            raise LimitError(
                f"source: expected at most {MAX_TENSORS} entries that are tensors or dictionaries,"
                f" and {MAX_ENTRIES} of any kind, got more"
            )


def _copies(path: str, tensors: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the copies of a model in one state_dict, such as an average of its weights."""
    units = units_of(tensors)
    end = shared(units) + 1
    starts = list(dict.fromkeys(".".join(unit.split(".")[:end]) for unit in units))
    if not 1 < len(starts) <= MAX_COPIES:
        return {path: tensors}
    copies = {
        start: {name: t for name, t in tensors.items() if name.startswith(f"{start}.")}
        for start in starts
    }
    inner = {
        frozenset(
            tuple(_plain(name)[len(_plain(start)) :]) for name, t in copy.items() if len(t.shape)
        )
        for start, copy in copies.items()
    }
    more = all(
        any(not any(name.startswith(f"{unit}.") for unit in units) for name in copy)
        for copy in copies.values()
    )
    return copies if len(inner) == 1 and more else {path: tensors}


# --- the recurrent layers ---


def find_recurrent(source: TorchModel, prefix: str | Sequence[str] | None) -> list[TorchLayer]:
    """Return the recurrent layers, from the bottom up."""
    units = units_of(source.tensors)
    if prefix is not None:
        chosen = _chosen(units, prefix)
    elif source.chain is not None:
        chosen = [part.name for part in source.chain if part.kind == "rnn"]
    elif len(units) > 1 and all(f"{unit}.weight_hh" in source.tensors for unit in units):
        chosen = _numbered(units)  # the cells of one ModuleList
    else:
        chosen = units if len(units) == 1 else []
    if not chosen:
        raise ArgumentError(
            f"source: expected one RNN, got {listed(_written(units))}: set prefix= to one name,"
            " or to several from the bottom up"
        )
    return [layer for unit in chosen for layer in _layers(source.tensors, unit)]


def units_of(names: Iterable[str]) -> list[str]:
    """Return the names of the RNNs and cells; "" is one without a parent module."""
    matches = (_WEIGHT_HH.fullmatch(name) for name in names)
    return list(dict.fromkeys(match[1] or "" for match in matches if match))


def _chosen(units: list[str], prefix: str | Sequence[str]) -> list[str]:
    """Return the RNNs that the user chose."""
    chosen = []
    for name in _source.names("prefix", prefix):
        found = _named(units, _arguments.name("prefix", name))
        if not found:
            raise ArgumentError(f"prefix: expected one of {listed(_written(units))}, got {name!r}")
        chosen += found
    if len(set(chosen)) < len(chosen):
        raise ArgumentError(f"prefix: expected different RNNs, got {listed(chosen)}")
    return chosen


def _named(units: list[str], name: str) -> list[str]:
    """Return the RNN of this name, or those of a ModuleList or the only one of a container."""
    found = named(units, name)
    if len(found) == 1:
        return found
    found = found or within(units, name)
    if len(found) > 1 and not _numbered(found):
        raise ArgumentError(
            f"prefix: expected the name of one RNN, got {name!r} for {listed(_written(found))}"
        )
    return _numbered(found) or found


def containers(names: Iterable[str]) -> list[str]:
    """Return the names of all modules that contain these."""
    split = [name.split(".") for name in names]
    return list(
        dict.fromkeys(".".join(parts[:end]) for parts in split for end in range(1, len(parts)))
    )


def within(names: Sequence[str], name: str) -> list[str]:
    """Return the names in the containers that a user's name means."""
    meant = named(containers(names), name)
    return [one for one in names if any(one.startswith(f"{container}.") for container in meant)]


def named(names: Iterable[str], name: str) -> list[str]:
    """Return the names that a user's name means: the same, or else those that end in it."""
    given = list(names)
    plain = _plain(name)
    rules: list[Callable[[str], bool]] = [
        lambda one: one == name.rstrip("."),
        lambda one: _plain(one) == plain,
        lambda one: bool(plain) and _plain(one)[-len(plain) :] == plain,
    ]
    for rule in rules:
        if found := [one for one in given if rule(one)]:
            return found
    return []


def _plain(name: str) -> list[str]:
    """Return the parts of a name, without those of wrappers."""
    return [part for part in name.split(".") if part and part not in _WRAPPERS]


def shared(names: Iterable[str]) -> int:
    """Return the number of containers, from the outermost on, that all names share."""
    levels = zip(*(name.split(".") for name in names), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda parts: len(set(parts)) == 1, levels))


def parent(name: str) -> str:
    """Return the name of what contains this."""
    return name.rpartition(".")[0]


def _written(names: Iterable[str]) -> list[str]:
    """Return names as a user may write them: of long ones, the end that is not ambiguous."""
    given = list(names)
    short = []
    for name in given[:MAX_LISTED]:
        parts = _plain(name)
        ends = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        end = next((end for end in ends if named(given, end) == [name]), name)
        short.append(end if len(name) > MAX_SHOWN else name)
    return short + given[MAX_LISTED:]


def _numbered(units: list[str]) -> list[str]:
    """Return units in order if they are numbered 0, 1, 2, ... in one list, else none."""
    ordered = {name.rpartition(".")[2]: name for name in units}
    names = [str(index) for index in range(len(units))]
    one_list = len({parent(name) for name in units}) == 1
    return [ordered[name] for name in names] if one_list and set(ordered) == set(names) else []


def _layers(tensors: Mapping[str, Any], unit: str) -> list[TorchLayer]:
    """Return the layers of an RNN or a cell; refuse its other recurrent tensors."""
    start = f"{unit}.".lstrip(".")
    numbered = (f"_l{index}" for index in itertools.count())
    ends = itertools.takewhile(lambda end: f"{start}weight_hh{end}" in tensors, numbered)
    layers = []
    for end in [""] if f"{start}weight_hh" in tensors else ends:
        two = end and f"{start}weight_hh{end}_reverse" in tensors
        suffixes = (end, f"{end}_reverse") if two else (end,)
        halves = tuple(_half(tensors, start, suffix) for suffix in suffixes)
        layers.append(TorchLayer(unit, halves))
    used = {name for layer in layers for name in layer.names}
    for name in tensors:
        own = name.removeprefix(start)
        if name.startswith(start) and name not in used and _OWN.fullmatch(own):
            if own.startswith("weight_hr"):
                raise UnsupportedModelError(
                    f"{name}: proj_size, a projection of states, is not supported"
                )
            raise ArgumentError(f"source: {name} is not part of a layer of {unit or 'the RNN'}")
    return layers


def _half(tensors: Mapping[str, Any], start: str, suffix: str) -> dict[str, str]:
    """Return the tensor names of one layer in one direction."""
    names = {kind: f"{start}{kind}{suffix}" for kind in KINDS}
    if names["bias_ih"] not in tensors and names["bias_hh"] not in tensors:
        names = {kind: names[kind] for kind in KINDS[:2]}
    for name in names.values():
        if name not in tensors:
            raise ArgumentError(f"source: {name} is missing")
    return names
