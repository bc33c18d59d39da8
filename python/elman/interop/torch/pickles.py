"""Interpret pickles without running them: whatever they name is neither made nor called.

A pickle is a program for a small stack machine. Dictionaries, lists, tuples, numbers and text are
what they are. Everything else, such as an object of a class or the result of a call, becomes an
`Opaque` value, which only holds what the pickle gave to it; the caller may know better for a few
functions. Time and memory are limited by the size of the pickle.
"""

from __future__ import annotations

import pickletools
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.errors import ElmanError, LimitError, ModelFormatError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    Call = Callable[[str, "list[Any]"], object]  # NotImplemented: an unknown function
    Load = Callable[[object], object]

MAX_PICKLE_BYTES = 32 * 2**20  # a vocabulary of a million words
MAX_VALUES = 16  # memory of the values, in sizes of the pickle: a vocabulary takes 10
FREE_BYTES = 64 * 2**20  # memory that every pickle may take

_MAKERS = {  # functions that make an object of the class in their first argument
    *(
        f"{module}.{function}"
        for module in ("copyreg", "copy_reg")
        for function in ("_reconstructor", "__newobj__", "__newobj_ex__")
    ),
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
}


class Global(NamedTuple):
    """The name of a function or a class in the pickle; never the object itself."""

    name: str


class Opaque:
    """A value that is not made, with everything that the pickle would have put into it."""

    __slots__ = ("args", "elements", "items", "kind", "states")

    def __init__(self, kind: str, args: tuple[Any, ...] = ()) -> None:
        self.kind = kind  # the class or the function
        self.args = args
        self.states: list[Any] = []  # attributes
        self.items: dict[Any, Any] | None = None
        self.elements: list[Any] | None = None


def kind_of(value: object) -> str:
    """Return the kind of a value for a message."""
    if isinstance(value, Global):
        return repr(value.name[:80])
    if hasattr(value, "shape"):
        return "a tensor"
    return repr(value.kind[:80]) if isinstance(value, Opaque) else type(value).__name__


class Machine:
    """The machine; it may read several pickles of a file, one after another."""

    def __init__(self, call: Call, load: Load, what: str) -> None:
        self._call = call  # of a function by name
        self._load = load  # of a persistent id
        self._what = what  # the name of the pickle, for messages
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: list[Any] = []
        self._others: dict[int, Any] = {}  # entries of the memo that do not follow one another
        self._size = self._room = 0

    def run(self, file: io.BytesIO, size: int) -> Any:
        """Return the value of the next pickle in the `size` bytes that are left of a file."""
        self._stack, self._marks, self._memo, self._others = [], [], [], {}
        self._size = min(size, MAX_PICKLE_BYTES)
        self._room = FREE_BYTES + MAX_VALUES * self._size
        end = file.tell() + MAX_PICKLE_BYTES
        try:
            for operation, argument, position in pickletools.genops(file):
                if (position or 0) >= end:
                    raise LimitError(f"expected at most {MAX_PICKLE_BYTES} bytes, got more")
                cost = _COSTS.get(operation.name, 16)
                self._charge(cost if argument is None else cost + sys.getsizeof(argument))
                _OPERATIONS[operation.name](self, argument)
            return self._stack.pop()
        except (IndexError, KeyError) as error:
            raise ModelFormatError(
                f"{self._what}: it uses an undefined stack or memo entry"
            ) from error
        except ElmanError as error:
            if str(error).startswith(self._what):
                raise
            raise type(error)(f"{self._what}: {error}") from None
        except (ValueError, OverflowError, Warning) as error:  # warnings may be errors
            raise ModelFormatError(f"{self._what} is damaged: {str(error)[:200]}") from error

    def _charge(self, size: int) -> None:
        """Count memory, and time that does not follow from the size of the pickle."""
        self._room -= size
        if self._room < 0:
            raise LimitError(
                f"{self._what}: expected values that take at most {FREE_BYTES} bytes and"
                f" {MAX_VALUES} times its {self._size} bytes, got more"
            )

    # --- the stack and the memo ---

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _integer(self, value: int) -> None:
        self._stack.append(value if -(2**127) <= value < 2**127 else Opaque("int"))

    def _opaque(self, kind: str) -> None:
        self._stack.append(Opaque(kind))

    def _mark(self, _: object) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _pop(self, _: object) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def _pop_mark(self, _: object) -> None:
        self._since_mark()

    def _duplicate(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _tuple_of(self, count: int) -> None:
        items = [self._stack.pop() for _ in range(count)]
        self._stack.append(tuple(reversed(items)))

    def _put(self, index: int) -> None:
        if index == len(self._memo):
            self._memo.append(self._stack[-1])
        elif 0 <= index < len(self._memo):
            self._memo[index] = self._stack[-1]
        else:
            self._others[index] = self._stack[-1]

    def _memoize(self, _: object) -> None:
        self._put(len(self._memo) + len(self._others))

    def _get(self, index: int) -> None:
        inside = 0 <= index < len(self._memo)
        self._stack.append(self._memo[index] if inside else self._others[index])

    # --- dictionaries, lists and sets ---

    def _dictionary(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        """Add alternating keys and values; keys that may be slow to hash become opaque."""
        target = self._stack[-1]
        if type(target) is Opaque:
            target.items = {} if target.items is None else target.items
            target = target.items
        if type(target) is not dict:
            raise ModelFormatError(f"expected a dictionary, got {kind_of(target)}")
        if len(items) % 2:
            raise ModelFormatError("expected a value for each key of a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            simple = type(key) in (str, int, float, bool, bytes, Global, Opaque) or key is None
            if type(key) is int and not -(2**63) <= key < 2**63:  # many of them may share a hash
                simple = False
            target[key if simple else Opaque(kind_of(key).strip("'"))] = value

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is Opaque:
            target.elements = [] if target.elements is None else target.elements
            target = target.elements
        if type(target) is not list:
            raise ModelFormatError(f"expected a list, got {kind_of(target)}")
        target.extend(items)

    def _frozenset(self, _: object) -> None:
        self._stack.append(Opaque("frozenset", tuple(self._since_mark())))

    # --- names, calls and objects ---

    def _global(self, name: str) -> None:
        self._stack.append(Global(name.replace(" ", ".", 1)))

    def _stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ModelFormatError(f"expected a name, got {kind_of(name)}")
        self._charge(len(module) + len(name))
        self._stack.append(Global(f"{module}.{name}"))

    def _reduce(self, _: object) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        self._made(function, self._listed(args))

    def _listed(self, args: Any) -> list[Any]:
        """Return arguments as a list; a pickle may use long ones many times."""
        if type(args) is not tuple:
            return [args]
        self._charge(16 * len(args))
        return list(args)

    def _new_with_keywords(self, _: object) -> None:
        keywords, args, kind = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._made(kind, [*self._listed(args), keywords])

    def _instance(self, name: str) -> None:
        self._made(Global(name.replace(" ", ".", 1)), self._since_mark())

    def _object(self, _: object) -> None:
        kind, *args = self._since_mark() or [None]
        self._made(kind, args)

    def _made(self, function: Any, args: list[Any]) -> None:
        """Push the result of a call or a new object, unless known without making it."""
        name = function.name if type(function) is Global else kind_of(function).strip("'")
        if name in _MAKERS and args and type(args[0]) is Global:
            name, args = args[0].name, args[1:]
        result = self._call(name, args)
        if result is NotImplemented:
            result = Opaque(name, tuple(args))
            for arg in args:
                self._charge(100 * len(arg) if type(arg) in (dict, list) else 0)
        self._stack.append(result)

    def _build(self, _: object) -> None:
        """Give attributes to an object; those of a tensor do not count."""
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is Opaque:
            target.states.append(state)
            self._charge(100 * len(state) if type(state) in (dict, list, tuple) else 0)
        elif not hasattr(target, "shape"):
            raise ModelFormatError(f"expected an object, got {kind_of(target)}")

    def _persistent(self, _: object) -> None:
        self._stack.append(self._load(self._stack.pop()))


_PUSHED = (  # operations that push their argument
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING"),
    *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("FLOAT", "BINFLOAT"),
)
_OPERATIONS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP", "READONLY_BUFFER"), lambda machine, _: None),
    **dict.fromkeys(_PUSHED, Machine._push),
    **dict.fromkeys(
        ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), Machine._integer
    ),
    "NONE": lambda machine, _: machine._push(None),
    "NEWTRUE": lambda machine, _: machine._push(True),
    "NEWFALSE": lambda machine, _: machine._push(False),
    "EMPTY_TUPLE": lambda machine, _: machine._push(()),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    "EMPTY_SET": lambda machine, _: machine._opaque("set"),
    "NEXT_BUFFER": lambda machine, _: machine._opaque("an out-of-band buffer"),
    **dict.fromkeys(
        ("EXT1", "EXT2", "EXT4"), lambda machine, code: machine._opaque(f"the extension {code}")
    ),
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": Machine._pop_mark,
    "DUP": Machine._duplicate,
    "TUPLE": lambda machine, _: machine._push(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "LIST": lambda machine, _: machine._push(machine._since_mark()),
    "DICT": Machine._dictionary,
    "FROZENSET": Machine._frozenset,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    "MEMOIZE": Machine._memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    "SETITEM": lambda machine, _: machine._set_items([machine._stack.pop() for _ in "kv"][::-1]),
    "SETITEMS": lambda machine, _: machine._set_items(machine._since_mark()),
    "APPEND": lambda machine, _: machine._append([machine._stack.pop()]),
    **dict.fromkeys(
        ("APPENDS", "ADDITEMS"), lambda machine, _: machine._append(machine._since_mark())
    ),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine._reduce),
    "NEWOBJ_EX": Machine._new_with_keywords,
    "INST": Machine._instance,
    "OBJ": Machine._object,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
    "PERSID": lambda machine, key: machine._push(machine._load(key)),
}
_COSTS = {  # bytes of memory, besides the arguments
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "LIST", "TUPLE", "DICT", "MARK"), 72),
    **dict.fromkeys(("TUPLE1", "TUPLE2", "TUPLE3", "GLOBAL", "STACK_GLOBAL", "FROZENSET"), 160),
    **dict.fromkeys(("REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ", "EMPTY_SET"), 240),
    **dict.fromkeys(("BINPERSID", "PERSID", "NEXT_BUFFER", "EXT1", "EXT2", "EXT4"), 240),
    **dict.fromkeys(("SETITEM", "BUILD"), 160),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), 16),
}
