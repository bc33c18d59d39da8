"""Models of other frameworks, run by the frameworks themselves: one file for each.

`run` in each of them takes a source and inputs (B, T, I) and returns a `Trace`. This is where a
framework is imported, because the user asked for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from elman._typing import Array


class Trace(NamedTuple):
    """What a model gave for some inputs."""

    framework: str  # its name and version
    hidden: list[Array | None]  # of each layer (B, T, H) or, of its last step, (B, H)
    output: Array  # (B, T, O) or (B, O)
    vectors: list[Array]  # its biases, one by one
