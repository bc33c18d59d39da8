"""Loading of the model that a command is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import elman

if TYPE_CHECKING:
    from elman._network import Network


def load(path: str, source: str | None = None) -> Network:
    """Load a model file; `source` is the data that the command was given beside it."""
    return elman.load(path)
