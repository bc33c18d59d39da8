"""Show the tensors in the values of a pickle as nested dictionaries.

Nothing with a tensor in it is hidden: an object of an unknown class shows as a dictionary of its
attributes and items, a list or tuple as one of its positions, and a pickled module (`torch.save` of
the model itself) as its state_dict, with the names of its parameters, buffers and modules. Numbers,
text and whatever holds no tensor are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from elman.errors import LimitError
from elman.interop.torch.model import PickledModule
from elman.interop.torch.pickles import Opaque, kind_of
from elman.interop.torch.tensors import StoredTensor, Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_NAME = 400  # characters of one key
MAX_VISIBLE = 50_000  # tensors, and dictionaries with tensors

_REGISTERED = ("_parameters", "_buffers", "_modules")
_WEIGHT = re.compile(r"(.*\.)?(weight|bias)(_[ih]h.*)?", re.DOTALL)
_SETTINGS = ("weight", "bias")  # may also be lists among other settings
_DICTIONARIES = (
    *("collections.OrderedDict", "collections.Counter", "collections.defaultdict"),
    *("builtins.dict", "__builtin__.dict"),
)
_SIMPLE = {"torch.nn.modules.rnn.RNN": "mode", "torch.nn.modules.rnn.RNNCell": "nonlinearity"}
_NONLINEARITIES = {"RNN_TANH": "tanh", "RNN_RELU": "relu", "tanh": "tanh", "relu": "relu"}


def visible(root: Any) -> Any:
    """Return nested dictionaries with the tensors in a value, None if it has none.

    A value that contains itself is shown once; no recursion, since a file chooses the depth.
    """
    done: dict[int, Any] = {}
    opened: set[int] = set()
    stack = [root] if _has_children(root) else []
    room = MAX_VISIBLE
    while stack:
        value = stack[-1]
        if id(value) in done:
            stack.pop()
        elif id(value) not in opened:
            opened.add(id(value))
            stack += [
                child
                for _, child in _children(value)
                if _has_children(child) and id(child) not in opened
            ]
        else:
            names = _module(value, done) if _is_module(value) else _shown(value, done)
            room -= len(names)
            if room < 0:
                raise _too_many()
            done[id(value)] = names or None
            stack.pop()
    shown = done.get(id(root))
    _drop_copies(shown)
    return shown


def _too_many() -> LimitError:
    return LimitError(f"expected at most {MAX_VISIBLE} tensors, got more")


def _drop_copies(shown: Any) -> None:
    """Leave out modules whose tensors all stand outside too, as in Lightning's hyper_parameters."""
    plain: dict[int, dict[str, Any]] = {}  # nested dictionaries outside of modules
    stack = [shown]
    while stack:
        names = stack.pop()
        if type(names) is dict and id(names) not in plain:
            plain[id(names)] = names
            stack += names.values()
    known: set[Any] = set().union(*map(_places, plain.values()))
    copies: dict[int, bool] = {}
    for names in plain.values():
        for name, child in [*names.items()]:
            if isinstance(child, PickledModule):
                if id(child) not in copies:
                    copies[id(child)] = _places(child) <= known
                if copies[id(child)]:
                    del names[name]


def _places(names: dict[str, Any]) -> set[Any]:
    """Return where each tensor of a dictionary is stored."""
    return {
        (id(tensor.storage), tensor.offset, tensor.shape)
        if type(tensor) is StoredTensor
        else id(tensor)
        for tensor in names.values()
    }


def _has_children(value: Any) -> bool:
    return type(value) in (dict, list, tuple, Opaque)


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the parts of a value by name."""
    if type(value) is dict:
        yield from value.items()
    elif type(value) is not Opaque:
        yield from enumerate(value)
    elif _is_module(value):  # its other attributes may lead back to the modules around it
        for kind in _REGISTERED:
            yield kind, _attribute(value, kind)
    else:
        yield from _parts(value)


def _parts(value: Opaque) -> Iterator[tuple[Any, Any]]:
    """Yield the items, elements, attributes and arguments of an object."""
    if value.kind in _DICTIONARIES:
        yield from _pairs(value)
    else:
        yield from value.items.items() if value.items else ()
        yield from enumerate(value.args)
    yield from enumerate(value.elements or ())
    alone = value.items is None and value.elements is None and value.kind not in _DICTIONARIES
    for state in value.states:
        for part in state if type(state) is tuple and len(state) == 2 else (state,):
            if alone and type(part) is dict:
                yield from part.items()
            else:
                yield "__dict__", part


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys and values of a dictionary, which Python 2 writes as a list of pairs."""
    if type(value) is dict:
        yield from value.items()
    elif type(value) is Opaque:
        for arg in value.args:
            if type(arg) is dict:
                yield from arg.items()
            for pair in arg if type(arg) is list else ():
                if type(pair) in (list, tuple) and len(pair) == 2:
                    yield pair[0], pair[1]
                else:
                    yield kind_of(pair), pair
        yield from value.items.items() if value.items else ()


def _shown(value: Any, done: dict[int, Any]) -> dict[str, Any]:
    """Return the tensors, and the dictionaries with tensors, in a value."""
    result = _named((key, _seen(key, child, done)) for key, child in _children(value))
    settings = all(type(shown) is Unread and name in _SETTINGS for name, shown in result.items())
    return {} if settings else result


def _seen(key: Any, child: Any, done: dict[int, Any]) -> Any:
    """Return a part as it is shown, None if it is left out."""
    if type(child) in (StoredTensor, Unread):
        return child
    shown = done.get(id(child)) if _has_children(child) else None
    if shown is None and _has_children(child) and type(key) is str and _WEIGHT.fullmatch(key[-64:]):
        return Unread(kind_of(child))  # where a weight should be
    return shown


def _named(entries: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return what is shown, by the text of its key; a repeated one has a number."""
    result: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for key, shown in entries:
        if shown is None:
            continue
        if len(result) >= MAX_VISIBLE:
            raise _too_many()
        name = text = _text(key)
        while name in result:
            counts[text] = counts.get(text, 1) + 1
            name = f"{text} ({counts[text]})"
        result[name] = shown
    return result


def _text(key: Any) -> str:
    """Return a key as text."""
    text = key if type(key) is str else f"<{kind_of(key)}>".replace("'", "")
    if key is None or type(key) in (int, float, bool):
        text = str(key)
    if len(text) > MAX_NAME:
        raise LimitError(f"expected names of at most {MAX_NAME} characters, got {len(text)}")
    return text


# --- pickled modules ---


def _attribute(value: Opaque, name: str) -> Any:
    for state in value.states:
        if type(state) is dict and name in state:
            return state[name]
    return None


def _is_module(value: Any) -> bool:
    if type(value) is not Opaque:
        return False
    return all(type(_attribute(value, name)) in (dict, Opaque) for name in _REGISTERED)


def _members(value: Any) -> set[str]:
    """Return the text in a set, which old protocols write as a call with a list."""
    if type(value) is not Opaque or value.kind not in ("set", "builtins.set", "__builtin__.set"):
        return set()
    lists = [value.elements or [], *(arg for arg in value.args if type(arg) is list)]
    return {name for names in lists for name in names if type(name) is str}


def _module(value: Opaque, done: dict[int, Any]) -> PickledModule:
    """Return the state_dict of a module, from those of the modules in it."""
    result = PickledModule()
    result.update(_named(_inside(value, done, result.nonlinearities)))
    if value.kind in _SIMPLE:
        setting = _attribute(value, _SIMPLE[value.kind])
        if type(setting) is str and setting in _NONLINEARITIES:
            result.nonlinearities[""] = _NONLINEARITIES[setting]
    return result


def _inside(
    value: Opaque, done: dict[int, Any], nonlinearities: dict[str, str]
) -> Iterator[tuple[Any, Any]]:
    """Yield the tensors of a module and those of the modules in it; add their nonlinearities."""
    left_out = _members(_attribute(value, "_non_persistent_buffers_set"))
    for key, child in _pairs(_attribute(value, "_parameters")):
        yield key, _seen(key, child, done)
    for key, child in _pairs(_attribute(value, "_buffers")):
        if key not in left_out:
            yield key, _seen(key, child, done)
    for key, child in _pairs(_attribute(value, "_modules")):
        shown = done.get(id(child)) if _has_children(child) else None
        if not isinstance(shown, PickledModule):
            yield key, shown
            continue
        name = _text(key)
        for inner, tensor in shown.items():
            yield f"{name}.{inner}", tensor
        for inner, nonlinearity in shown.nonlinearities.items():
            nonlinearities[f"{name}.{inner}".rstrip(".")] = nonlinearity
