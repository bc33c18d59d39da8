"""`use_isa`, the instruction set within a block of code."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from elman import _core

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Set the instruction set for networks built in a `with` block.

    The setting is global: networks that other threads build in the meantime use it too.

    Parameters
    ----------
    name : str
        One of `elman.available_isas()`.

    Raises
    ------
    IsaError
        If this build or this processor does not support it.

    Examples
    --------
    >>> import elman
    >>> with elman.use_isa("scalar"):
    ...     net = elman.Network(3, 8, 2, seed=0)
    >>> net.isa
    'scalar'
    """
    before = _core.isa()
    _core.set_isa(name)
    try:
        yield
    finally:
        _core.set_isa(before)
