"""Find the recurrent layers and the readout of a PyTorch model by the names of its tensors.

An `nn.RNN` named `rnn` holds `rnn.weight_ih_l0`, `rnn.weight_hh_l0`, `rnn.bias_ih_l0` and
`rnn.bias_hh_l0`, then `_l1` and so on, and the same with `_reverse` for its second direction; an
`nn.RNNCell` has no `_l0`. Ambiguous names are refused and listed.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from elman import _arguments
from elman.errors import ArgumentError, LimitError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from elman.interop._source import Row

MAX_ENTRIES = 10_000  # of a checkpoint: dictionaries, tensors and numbers
MAX_DEPTH = 16

_WEIGHT_HH = re.compile(r"(?:(.*)\.)?weight_hh(?:_l0)?", re.DOTALL)
_WRAPPERS = ("module", "_orig_mod")  # DataParallel, torch.compile


class TorchModel(NamedTuple):
    """Tensors by name, and the known settings of their modules."""

    tensors: dict[str, Any]
    rows: list[Row] = []  # noqa: RUF012 - never modified
    nonlinearities: Mapping[str, str] = {}  # by the name of the RNN
    linears: frozenset[str] | None = None  # the names of the nn.Linear; None if unknown
    stack: tuple[str, ...] | None = None  # the RNNs, if the source gives their order
    output_activation: str | None = None
    modules: Any = None  # for PyTorch to run


class TorchLayer(NamedTuple):
    """The names of one layer's tensors, by `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`."""

    unit: str  # the name of the RNN
    forward: dict[str, str]
    reverse: dict[str, str] | None = None

    @property
    def halves(self) -> list[dict[str, str]]:
        """The tensor names of each direction."""
        return [self.forward] if self.reverse is None else [self.forward, self.reverse]

    @property
    def names(self) -> list[str]:
        """All tensor names."""
        return [name for half in self.halves for name in half.values()]


class TorchTensors(NamedTuple):
    """The tensors of a file or a state_dict, and the modules that they belong to."""

    source: Any
    prefix: str | Sequence[str] | None
    layers: list[TorchLayer]
    nonlinearities: list[str]  # of layers
    head: tuple[str, str | None] | None
    output_activation: str | None


def of_mapping(mapping: Any, prefix: str | Sequence[str] | None) -> TorchModel:
    """Return the tensors of a state_dict, or of the only one in a checkpoint."""
    groups: dict[str, dict[str, Any]] = {}
    count = itertools.count(1)
    for path, name, tensor in _leaves(mapping, "", 0, count):
        groups.setdefault(path, {})[f"{path}.{name}".lstrip(".")] = tensor
    models = {path: tensors for path, tensors in groups.items() if _units(tensors)}
    if len(models) > 1 and prefix is not None:
        wanted = [prefix] if isinstance(prefix, str) else list(prefix)
        models = {
            path: tensors
            for path, tensors in models.items()
            if all(_named(_units(tensors), name) for name in wanted)
        }
    if len(models) > 1:
        raise ArgumentError(
            f"source: expected one state_dict with an RNN, got {_listed(models)}: pass one of them"
        )
    everything = {name: tensor for tensors in groups.values() for name, tensor in tensors.items()}
    return TorchModel(next(iter(models.values()), everything))


def _leaves(
    mapping: Mapping[Any, Any], path: str, depth: int, count: Iterator[int]
) -> Iterator[tuple[str, str, Any]]:
    """Yield the path, the name and the value of each tensor in nested mappings."""
    if depth > MAX_DEPTH:
        raise LimitError(f"source: expected dictionaries at most {MAX_DEPTH} deep, got more")
    for name, value in mapping.items():
        if next(count) > MAX_ENTRIES:
            raise LimitError(f"source: expected at most {MAX_ENTRIES} entries, got more")
        if hasattr(value, "items"):
            yield from _leaves(value, f"{path}.{name}".lstrip("."), depth + 1, count)
        elif hasattr(value, "shape"):
            yield path, str(name), value


# --- the recurrent layers ---


def find_recurrent(source: TorchModel, prefix: str | Sequence[str] | None) -> list[TorchLayer]:
    """Return the recurrent layers, from the bottom up."""
    units = _units(source.tensors)
    if not units:
        raise ArgumentError(
            "source: expected the weights of an nn.RNN or nn.RNNCell (weight_ih_l0, weight_hh_l0),"
            f" got {_listed(source.tensors)}"
        )
    if prefix is not None:
        chosen = _chosen(units, prefix)
    elif source.stack is not None:
        chosen = list(source.stack)
    else:
        chosen = units if len(units) == 1 else _cells(source.tensors, units)
    if not chosen:
        raise ArgumentError(
            f"source: expected one RNN, got {_listed(units)}: set prefix= to one name, or to"
            " several from the bottom up"
        )
    return [layer for unit in chosen for layer in _layers(source.tensors, unit)]


def _units(names: Iterable[str]) -> list[str]:
    """Return the names of the RNNs and cells; "" is one without a parent module."""
    matches = (_WEIGHT_HH.fullmatch(name) for name in names)
    return list(dict.fromkeys(match[1] or "" for match in matches if match))


def _chosen(units: list[str], prefix: str | Sequence[str]) -> list[str]:
    """Return the RNNs that the user chose."""
    expected = "a name or several"
    wanted = [prefix] if isinstance(prefix, str) else _arguments.listed("prefix", prefix, expected)
    chosen = []
    for name in wanted:
        found = _named(units, _arguments.name("prefix", name))
        if not found:
            raise ArgumentError(f"prefix: expected one of {_listed(units)}, got {name!r}")
        chosen += found
    return chosen


def _named(units: list[str], name: str) -> list[str]:
    """Return the RNN of this name, or the RNNs in a ModuleList of this name."""
    plain = _plain(name)
    exact = [unit for unit in units if unit == name.rstrip(".")]
    exact = exact or [unit for unit in units if _plain(unit) == plain]
    return exact or _numbered([unit for unit in units if _plain(_parent(unit)) == plain])


def _plain(name: str) -> str:
    """Return a name without its last dot and without the names of wrappers."""
    return ".".join(part for part in name.rstrip(".").split(".") if part not in _WRAPPERS)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _numbered(units: list[str]) -> list[str]:
    """Return units in order if they are numbered 0, 1, 2, ... in one list, else none."""
    ordered = {name.rpartition(".")[2]: name for name in units}
    names = [str(index) for index in range(len(units))]
    one_list = len({_parent(name) for name in units}) == 1
    return [ordered[name] for name in names] if one_list and set(ordered) == set(names) else []


def _cells(tensors: Mapping[str, Any], units: list[str]) -> list[str]:
    """Return the units in order if they are the cells of one ModuleList, else none."""
    return _numbered(units) if all(f"{unit}.weight_hh" in tensors for unit in units) else []


def _layers(tensors: Mapping[str, Any], unit: str) -> Iterator[TorchLayer]:
    """Yield the layers of an RNN or a cell; refuse its other recurrent tensors."""
    start = f"{unit}.".lstrip(".")
    seen: set[str] = set()
    for layer in _walk(tensors, unit, start):
        seen.update(layer.names)
        yield layer
    for name in tensors:
        own = name.removeprefix(start)
        if name.startswith(start) and re.match("(weight|bias)_[ih][hr]", own) and name not in seen:
            if own.startswith("weight_hr"):
                raise UnsupportedModelError(
                    f"{name}: proj_size, a projection of states, is not supported"
                )
            raise ArgumentError(f"source: {name} is not part of a layer of {unit or 'the RNN'}")


def _walk(tensors: Mapping[str, Any], unit: str, start: str) -> Iterator[TorchLayer]:
    if f"{start}weight_hh" in tensors:
        yield TorchLayer(unit, _half(tensors, start, ""))
        return
    for index in itertools.count():
        suffix = f"_l{index}"
        if f"{start}weight_hh{suffix}" not in tensors:
            return
        two = f"{start}weight_hh{suffix}_reverse" in tensors
        reverse = _half(tensors, start, f"{suffix}_reverse") if two else None
        yield TorchLayer(unit, _half(tensors, start, suffix), reverse)


def _half(tensors: Mapping[str, Any], start: str, suffix: str) -> dict[str, str]:
    """Return the tensor names of one layer in one direction."""
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    names = {kind: f"{start}{kind}{suffix}" for kind in kinds}
    if names["bias_ih"] not in tensors and names["bias_hh"] not in tensors:
        names = {kind: names[kind] for kind in kinds[:2]}
    for name in names.values():
        if name not in tensors:
            raise ArgumentError(f"source: {name} is missing")
    return names


# --- the readout ---


def find_readout(
    source: TorchModel, stack: list[TorchLayer], readout: str | bool | None, *, alone: bool
) -> tuple[str, str | None] | None:
    """Return the names of the readout's weight and bias; `alone`: ignore other tensors."""
    if readout is False:
        return None
    used = {name for layer in stack for name in layer.names}
    others = {name: tensor for name, tensor in source.tensors.items() if name not in used}
    heads = {
        _parent(name)
        for name, tensor in others.items()
        if name.rpartition(".")[2] == "weight" and len(tensor.shape) == 2
    }
    if source.linears is not None:
        heads &= source.linears
    if readout is None:
        head = _only_head(others, heads, known=source.linears is not None)
        if head is None:
            return None
    else:
        head = _named_head(heads, _arguments.name("readout", readout))
    weight, bias = (f"{head}.{name}".lstrip(".") for name in ("weight", "bias"))
    rest = others.keys() - {weight, bias}
    if rest and not (alone and readout is not None):
        raise ArgumentError(
            f"source: expected an RNN and its readout {head!r}, got {_listed(sorted(rest))} too:"
            " set prefix= and readout= to leave them out"
        )
    return weight, bias if bias in others else None


def _only_head(others: dict[str, Any], heads: set[str], *, known: bool) -> str | None:
    """Return the name of the readout if there is only one candidate."""
    if not others:
        return None
    if len(heads) != 1:
        raise ArgumentError(
            f"readout: expected one nn.Linear, got {_listed(sorted(heads or others))}: pass the"
            " name of the readout, or False for none"
        )
    (head,) = heads
    if not known and f"{head}.bias".lstrip(".") not in others:
        raise ArgumentError(
            f"readout: expected a weight and a bias, got {head}.weight only, which may be an"
            f" nn.Embedding: pass readout={head!r} if it is the readout"
        )
    return head


def _named_head(heads: set[str], name: str) -> str:
    exact = [head for head in heads if head == name.rstrip(".")]
    found = exact or [head for head in heads if _plain(head) == _plain(name)]
    if len(found) != 1:
        raise ArgumentError(f"readout: expected one of {_listed(sorted(heads))}, got {name!r}")
    return found[0]


def _listed(names: Iterable[str]) -> str:
    """Return up to six names for a message."""
    shown = [repr(name[:60]) for name in names]
    if not shown:
        return "none"
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more
