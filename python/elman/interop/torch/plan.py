"""Find what a PyTorch model computes before and after its RNN, and what is left out of it.

The names of tensors say little: a matrix may be a linear map or an embedding, a vector may be a
statistic or a part of what is computed. What may change the result is an error, until the user
says what it is or leaves it out.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _arguments
from elman.activation import Activation
from elman.errors import ArgumentError, ArgumentTypeError, UnsupportedModelError
from elman.interop import _source
from elman.interop._source import listed
from elman.interop.torch.model import TorchPart
from elman.interop.torch.names import named, parent, shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Set

    from elman.interop._source import Said
    from elman.interop.torch.model import TorchLayer, TorchModel

    Item = tuple[TorchPart, ...]  # a part of the readout: a module, or those of a Sequential

_NOT_STARTED = "left out: a start state; the network starts at its own"
_ROWS = "left out: the network reads its rows"
_CHANGES = "left out: if the model's forward uses it, the results differ"

_IN_ORDER = "; or pass the modules from the input to the output, such as (rnn, linear)"
_WORDS = re.compile(r"[^\W\d_]+")
_STATISTICS = re.compile(
    "mean|avg|average|mu|std|sigma|var|variance|scaler?|shift|offset|min|max|median|quantile|iqr"
    "|class(?:es)?|freqs?|frequency|pos|positions?|n|num|count|steps?|epochs?|lr|mask|lengths?"
    "|times?|stats?"
)


class Plan(NamedTuple):
    """What a model computes, from the input to the output, and what is left out."""

    parts: list[TorchPart]
    head: list[TorchPart]  # those behind the RNN
    output_activation: Any  # at the end, as the user gives it
    start: str | None  # the name of the learned initial state
    left: Mapping[str, str]  # why tensors are left out


def find_plan(model: TorchModel, layers: list[TorchLayer], said: Said) -> Plan:
    """Return the parts of a model with these recurrent layers."""
    units = list(dict.fromkeys(layer.unit for layer in layers))
    used = {name for layer in layers for name in layer.names}
    spare = model.tensors.keys() - used
    start = start_of(model, layers, said, spare)
    left = {name: _NOT_STARTED for name in start_states(model, layers, spare) if name != start}
    spare = spare - left.keys() - {start}
    _source.require_embedding(said.embedding)
    if model.chain is not None and said.prefix is None and said.readout in (None, False):
        end = 1 + max(index for index, part in enumerate(model.chain) if part.name in units)
        front = _in_front(list(model.chain[:end]), said)
        items = [] if said.readout is False else [model.chain[end:]]
    else:
        embedding = _embedding(model, layers, said, spare)
        front = [*embedding, *(TorchPart("rnn", unit, "an nn.RNN") for unit in units)]
        inner = {f"{part.name}.weight".lstrip(".") for part in embedding}
        items = _items(model, units, said, spare - inner)
    head, last = _with_activations(items, said)
    parts = [part for part in (*front, *head) if part.kind != "nothing"]
    for part in parts:
        if part.kind == "other":
            raise UnsupportedModelError(
                f"readout: expected modules that a network can express, got {part.name!r},"
                f" {part.what}{part.refused}"
            )
    left |= {
        f"{part.name}.weight".lstrip("."): part.refused for part in front if part.kind == "nothing"
    }
    done = {name for part in parts for name in _tensors(part, model.tensors)} | left.keys()
    left |= _left_out(model, units, said, spare - done, parts)
    return Plan(parts, head, last, start, left)


def _tensors(part: TorchPart, tensors: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors of a part behind or in front of the RNN."""
    kinds = {
        "linear": ("weight", "bias"),
        "embedding": ("weight",),
        "norm": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    }
    names = [f"{part.name}.{kind}".lstrip(".") for kind in kinds.get(part.kind, ())]
    return [name for name in names if name in tensors]


# --- the initial state ----------------------------------------------------------------------------


def start_sizes(model: TorchModel, layers: list[TorchLayer]) -> list[int]:
    """Return the sizes of the states that the source starts at: one of each half, or of a cell."""
    by_hand = {size for layer in layers for size in layer.starts if size}
    names = [half["weight_hh"] for layer in layers for half in layer.halves]
    return [*by_hand] or [model.tensors[name].shape[0] for name in names]


def start_states(model: TorchModel, layers: list[TorchLayer], spare: Set[str]) -> list[str]:
    """Return the names of the tensors that may be a learned initial state."""
    states = start_sizes(model, layers)
    sizes = {*states, sum(states)}
    found = []
    for name, tensor in model.tensors.items():
        own = name.rpartition(".")[2]
        shape = tuple(tensor.shape)
        if name not in spare or re.search(r"weight|bias|running_", own) or not 1 <= len(shape) <= 3:
            continue
        fits = math.prod(shape) in sizes and shape[-1] in sizes
        learned = name in model.parameters or len(shape) > 1 or not _is_statistic(own)
        if fits and learned and _is_float(tensor) and not _is_of_loss(name):
            found.append(name)
    return found


def with_starts(model: TorchModel, layers: list[TorchLayer]) -> TorchModel:
    """Return a model with what stands beside its state_dict and may be its initial state."""
    whole = model._replace(tensors={**model.tensors, **model.beside})
    found = start_states(whole, layers, model.beside.keys())
    return model._replace(tensors=model.tensors | {name: model.beside[name] for name in found})


def start_of(
    model: TorchModel, layers: list[TorchLayer], said: Said, spare: Set[str]
) -> str | None:
    """Return the name of the initial state; refuse one that nothing was said of."""
    given = said.initial_state
    if isinstance(given, str):
        found = named([name for name in model.tensors if name in spare], given)
        if len(found) != 1:
            may = start_states(model, layers, spare)
            raise ArgumentError(
                f"initial_state: expected one of {listed(found or may or sorted(spare))}, got"
                f" {given!r}"
            )
        _require_every_state(model, layers, found[0], start_states(model, layers, spare))
        return found[0]
    if given is True:
        raise ArgumentTypeError("initial_state: expected a name, an array or False, got True")
    if given is None and (found := start_states(model, layers, spare)):
        several = len(found) > 1
        what = f"{listed(found)} {'are' if several else 'is'}"
        one, names = ("them" if several else "it"), f"initial_state={found[0]!r}"
        remedy = (
            f"{_EVERY_STATE}, the name of one that holds all," if several else f"{names}, an array,"
        )
        raise ArgumentError(
            f"initial_state: expected what {what}: if the RNN starts at {one}, leaving {one} out"
            f" changes the result; pass {remedy} or False to leave {one} out"
        )
    return None


_EVERY_STATE = "one array of the states of all layers, from the bottom up"


def _require_every_state(
    model: TorchModel, layers: list[TorchLayer], name: str, found: list[str]
) -> None:
    """Refuse the state of one layer where another tensor may be that of another layer."""
    size = math.prod(model.tensors[name].shape)
    others = [one for one in found if one != name and math.prod(model.tensors[one].shape) == size]
    if others and size < sum(start_sizes(model, layers)):
        raise ArgumentError(
            f"initial_state: expected the states of all layers, got {name!r} beside"
            f" {listed(others)}: pass {_EVERY_STATE}"
        )


# --- embeddings -----------------------------------------------------------------------------------


def _in_front(parts: list[TorchPart], said: Said) -> list[TorchPart]:
    """Return the parts up to the last RNN, with the embedding as the user says."""
    if said.embedding is not None and parts[0].kind != "embedding":
        raise ArgumentError(
            f"embedding: expected an nn.Embedding in front, got {parts[0].what}{parts[0].refused}"
        )
    if said.embedding == "rows":
        return [parts[0]._replace(kind="nothing", refused=_ROWS), *parts[1:]]
    return parts


def _embedding(
    model: TorchModel, layers: list[TorchLayer], said: Said, spare: Set[str]
) -> list[TorchPart]:
    """Return the embedding in front of the RNN, as "nothing" if the network reads its rows."""
    I = model.tensors[layers[0].halves[0]["weight_ih"]].shape[1]
    if model.parts is None:
        tables = [name for name in model.tensors if name in spare and _may_embed(name, model, said)]
        parts = [TorchPart("embedding", parent(name), "an nn.Embedding") for name in tables]
    else:
        parts = [own[0] for name, own in model.parts.items() if own and own[0].name == name]
        parts = [part for part in parts if part.what == "an nn.Embedding"]  # also with a max_norm
    found = [
        part
        for part in parts
        if (table := model.tensors.get(f"{part.name}.weight".lstrip("."))) is not None
        and tuple(table.shape)[1:] == (I,)
    ]
    names = listed(part.name for part in found)
    if said.embedding is None:
        if not found or (said.prefix is not None and said.readout is not None):
            return []
        if model.parts is None:
            if said.readout is None and len(_readouts(model, [], spare)) == len(found):
                return []  # it may be the readout
            raise ArgumentError(
                f"embedding: expected what {names} is: pass embedding='one_hot' if it is an"
                " nn.Embedding in front of the RNN, 'rows' if the network shall read its rows, or"
                " set prefix= and readout= to leave it out"
            )
    if len(found) != 1:
        raise ArgumentError(f"embedding: expected one nn.Embedding of {I} numbers, got {names}")
    return _in_front(found, said)


def _may_embed(name: str, model: TorchModel, said: Said) -> bool:
    """Return whether the tensor of a file may be the weight of an nn.Embedding."""
    start, _, own = name.rpartition(".")
    given = [said.readout] if isinstance(said.readout, str) else said.readout
    is_readout = isinstance(given, list | tuple) and any(
        isinstance(one, str) and named([start], one) for one in given
    )
    return own == "weight" and f"{start}.bias".lstrip(".") not in model.tensors and not is_readout


# --- the readout ----------------------------------------------------------------------------------


def _items(model: TorchModel, units: list[str], said: Said, spare: Set[str]) -> list[Item]:
    """Return the parts of each part of the readout that is named, or found."""
    if said.readout is False:
        return []
    names = _readouts(model, units, spare)
    if said.readout is None:
        return _only(model, names, units, spare)
    if said.readout is True:
        raise ArgumentTypeError("readout: expected a name, several or False, got True")
    found: list[Item] = []
    for name in _source.names("readout", said.readout):
        found += _part(model, names, units, _arguments.name("readout", name))
    return found


def _readouts(model: TorchModel, units: list[str], spare: Set[str]) -> dict[str, Item]:
    """Return the parts of what may be a part of the readout, by name."""
    if model.parts is not None:
        return {
            name: parts
            for name, parts in model.parts.items()
            if not any(part.kind in ("rnn", "embedding") for part in parts)
            and not any(f"{unit}.".startswith(f"{name}.".lstrip(".")) for unit in units)
        }
    found: dict[str, Item] = {}
    for tensor in model.tensors:
        name, _, own = tensor.rpartition(".")
        if tensor in spare and own == "weight" and len(model.tensors[tensor].shape) == 2:
            found[name] = (TorchPart("linear", name, "an nn.Linear"),)
        elif tensor in spare and own == "running_var":
            found[name] = (TorchPart("norm", name, "an nn.BatchNorm1d"),)
    return found


def _only(
    model: TorchModel, names: Mapping[str, Item], units: list[str], spare: Set[str]
) -> list[Item]:
    """Return the parts of the readout if there is only one candidate."""
    linear = [name for name, parts in names.items() if any(s.kind == "linear" for s in parts)]
    heads = [name for name in linear if not any(name.startswith(f"{one}.") for one in linear)]
    blocking = [name for name in model.tensors if name in spare and _computes(model, name)]
    if not heads and not blocking:
        return []
    if len(heads) != 1:
        if not heads and model.parts is not None:
            kinds = {parent(name): model.parts.get(parent(name), ()) for name in blocking}
            blocking = [
                f"{name} ({parts[0].what})" if parts else name for name, parts in kinds.items()
            ]
        norms = [name for name, parts in names.items() if parts and parts[0].kind == "norm"]
        got = sorted([*heads, *norms]) if heads else sorted(blocking)
        raise ArgumentError(
            f"readout: expected one nn.Linear, got {listed(got)}: pass the name of the readout,"
            " several from the bottom up, or False for none"
            f"{_IN_ORDER if model.parts is not None else ''}"
        )
    (head,) = heads
    if model.parts is None and f"{head}.bias".lstrip(".") not in model.tensors:
        raise ArgumentError(
            f"readout: expected a weight and a bias, got {head}.weight only, which may be an"
            f" nn.Embedding: pass readout={head!r} if it is the readout, or embedding='one_hot' or"
            " 'rows' if it is in front of the RNN"
        )
    _require_behind(model, units, head, names[head])
    return [names[head]]


def _require_behind(model: TorchModel, units: list[str], head: str, parts: Item) -> None:
    """Refuse linear maps that stand before the RNN and may be in front of it."""
    order = list(model.tensors)
    first = next((i for i, name in enumerate(order) if _is_in(name, units[:1])), 0)
    last = next(part.name for part in reversed(parts) if part.kind == "linear")
    weight = f"{last}.weight".lstrip(".")
    sizes = [tuple(model.tensors[name].shape) for name in order if _is_in(name, units[:1])]
    inputs = {shape[1] for shape in sizes if len(shape) == 2}
    if order == sorted(order) or weight not in model.tensors:
        return  # safetensors: the order says nothing
    if order.index(weight) < first and model.tensors[weight].shape[0] in inputs:
        raise ArgumentError(
            f"readout: expected an nn.Linear behind the RNN, got {head!r}, which stands before it:"
            f" pass readout={head!r} if it is the readout; if it is in front of the RNN, pass the"
            " modules from the input to the output, such as (linear, rnn)"
        )


def _is_in(name: str, units: list[str]) -> bool:
    return any(not unit or name.startswith(f"{unit}.") for unit in units)


def _part(
    model: TorchModel, names: Mapping[str, Item], units: list[str], wanted: str
) -> list[Item]:
    """Return the parts of a named part of the readout: a module, or the numbered ones below it."""
    found = named(names, wanted)
    if len(found) > 1:  # the ones nearest to the RNN
        nearest = max(shared([name, units[-1]]) for name in found)
        found = [name for name in found if shared([name, units[-1]]) == nearest]
    if len(found) == 1:
        return [names[found[0]]]
    if not found and model.parts is None:
        lists = dict.fromkeys(parent(name) for name in names if _number(name) is not None)
        below = named([name for name in lists if name], wanted)
        if len(below) == 1:
            inside = [name for name in names if parent(name) == below[0]]
            return [names[name] for name in sorted(inside, key=lambda name: _number(name) or 0)]
    may = [name for name, parts in names.items() if any(s.kind == "linear" for s in parts)]
    raise ArgumentError(f"readout: expected one of {listed(sorted(found or may))}, got {wanted!r}")


def _number(name: str) -> int | None:
    own = name.rpartition(".")[2]
    return int(own) if own.isdecimal() else None


def _with_activations(items: list[Item], said: Said) -> tuple[list[TorchPart], Any]:
    """Return the parts of the readout, with the activations between its parts, and the last."""
    items = [tuple(part for part in item if part.kind != "nothing") for item in items]
    items = [item for item in items if item]
    given = _given(items, said)
    last = given.pop(len(items) - 1, None)
    parts: list[TorchPart] = []
    for index, item in enumerate(items):
        parts += item
        if index in given:
            known = item[-1].activation
            if known is not None and known != _after(given[index]):
                raise ArgumentError(
                    f"output_activation: expected {str(known)!r}, as in the source's"
                    f" {item[-1].name!r}, got {str(given[index])!r}"
                )
            if known is None:
                parts.append(TorchPart("function", "", "", _after(given[index])))
    return parts, last


def at_the_end(plan: Plan) -> Activation | None:
    """Return the activation behind the last part, None if it is a part already."""
    mapped = [part.name for part in plan.head if part.kind in ("linear", "norm")]
    known = plan.head[-1].activation if plan.head else None
    given = plan.output_activation
    given = None if given is None else _after(given)
    settled = _source.output_activation(given, known, mapped[-1] if mapped else None)
    return settled if known is None else None


def _given(items: list[Item], said: Said) -> dict[int, Any]:
    """Return the activations that the user gives, by the part of the readout in front."""
    linear = [
        index
        for index, item in enumerate(items)
        if item[-1].kind != "function" and any(part.kind == "linear" for part in item)
    ]
    apart = not any(
        index + 1 < len(items) and items[index + 1][0].kind == "norm" for index in linear
    )
    parts, what = ([items[i] for i in linear], "linear map") if apart else (items, "part")
    names = listed(item[-1].name for item in parts)
    expected = f"a sequence of {len(parts)}, one for each {what} of the readout ({names})"
    output = said.output_activation
    if output is None or isinstance(output, str | Activation):
        if len(linear) > 1:
            raise ArgumentError(f"output_activation: expected {expected}, got {output!r}")
        return {len(items) - 1: output}
    several = _arguments.listed("output_activation", output, "a name or a sequence of them")
    if len(several) == len(items):
        return dict(enumerate(several))
    if len(several) == len(linear) and apart:
        return dict(zip(linear, several, strict=True))
    raise ArgumentError(f"output_activation: expected {expected}, got {len(several)}")


def _after(activation: Any) -> Activation:
    """Return an activation after the readout."""
    return _source.activation_of("output_activation", activation)


# --- what is left out -----------------------------------------------------------------------------


def _left_out(
    model: TorchModel, units: list[str], said: Said, spare: Set[str], parts: list[TorchPart]
) -> dict[str, str]:
    """Return why tensors are left out; refuse those that may compute."""
    rest = [name for name in model.tensors if name in spare and _computes(model, name)]
    below = [name for name in rest if any(unit and _is_in(name, [unit]) for unit in units)]
    if below:
        raise ArgumentError(f"source: expected the weights of an RNN only, got {listed(below)} too")
    rest += _may_compute(model, said, parts)
    knowingly = (said.prefix is not None and said.readout is not None) or said.readout is False
    if rest and not knowingly:
        names = [part.name for part in parts if part.kind == "linear"]
        norms = sorted(parent(name) for name in rest if name.endswith("running_var"))
        remedy = f"add {listed(norms)} to readout= to read it, or " if norms else ""
        raise ArgumentError(
            f"source: expected an RNN and its readout {listed(names)}, got {listed(sorted(rest))}"
            f" too: if forward uses them, the result differs without them; {remedy}set prefix= and"
            f" readout= to leave them out{_IN_ORDER if model.parts is not None else ''}"
        )
    return {name: _CHANGES if _is_float(model.tensors[name]) else "left out" for name in spare}


def _may_compute(model: TorchModel, said: Said, parts: list[TorchPart]) -> list[str]:
    """Return the modules without tensors that may compute, but for the activations given."""
    given = said.output_activation
    several = given if isinstance(given, list | tuple) else [given]
    known = [_after(one) for one in several if one is not None] + [Activation("identity")]
    used = {part.name for part in parts}
    return [
        f"{part.name} ({part.what})"
        for part in without_tensors(model)
        if part.name not in ("", *used)
        and part.kind != "nothing"
        and part.activation not in known
        and not part.what.endswith(_NEVER)
        and not _is_of_loss(f"{part.name}.")
        and ".parametrizations." not in f".{part.name}"
    ]


def without_tensors(model: TorchModel) -> Iterator[TorchPart]:
    """Yield the modules without tensors."""
    for name, parts in (model.parts or {}).items():
        for part in parts:
            alone = part.name == name and part.kind in ("function", "nothing", "other")
            if alone and not any(tensor.startswith(f"{name}.") for tensor in model.tensors):
                yield part


_NEVER = ("Loss", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")  # to compute


def _computes(model: TorchModel, name: str) -> bool:
    """Return whether a tensor may take part in what a model computes."""
    tensor = model.tensors[name]
    if not _is_float(tensor) or _is_of_loss(name):
        return False
    own = name.rpartition(".")[2]
    if own.startswith("running_") or len(tensor.shape) > 1:
        return True
    if model.parts is not None:
        return name in model.parameters
    return "weight" in own or "bias" in own or not _is_statistic(own)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}


def _is_statistic(name: str) -> bool:
    return any(_STATISTICS.fullmatch(word) for word in _words(name))


def _is_of_loss(name: str) -> bool:
    """Return whether a tensor belongs to a loss: "criterion.weight", "class_weights"."""
    own = name.rpartition(".")[2].replace("_", "")
    return own in ("classweight", "classweights", "posweight") or any(
        word.endswith("loss") or word in ("losses", "criterion", "metric", "metrics")
        for word in _words(name)
    )


def _is_float(tensor: Any) -> bool:
    """Return whether a tensor holds real numbers; True if its dtype is unknown."""
    dtype = getattr(tensor, "dtype", None) or getattr(
        getattr(tensor, "storage", None), "dtype", "f"
    )
    return "float" in str(dtype) or str(dtype) == "u2" or str(dtype).lstrip("<>=").startswith("f")
