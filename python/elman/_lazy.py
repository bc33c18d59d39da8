"""Public names of a package whose modules are imported when a name is first used.

A thread that imports a module of a package holds the lock of the module while it waits for that of
the package. If the package imported the module in turn, two threads could wait for each other, and
one of them would get an error or a module without its names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def names(
    package: str, public: Sequence[str], *modules: str
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package; `modules` define its public names."""

    def find(name: str) -> object:
        for module in modules if name in public else ():
            found = vars(importlib.import_module(f"{package}.{module}"))
            if name in found:
                return found[name]
        # Without its name: Python then adds the module too, and suggests a near name.
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find, lambda: list(public)
