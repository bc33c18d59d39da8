"""Check and time ways to compute a network, with three of them: elman, pure Python and NumPy.

Call `one_thread` before anything imports NumPy.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elman.cli.timing.base import Peer

__all__ = ["SIZES", "TITLES", "one_thread", "peer"]

# The peers: their modules in this package and their titles. elman is first.
TITLES = {"elman": "elman", "pure_python": "pure Python", "numpy": "NumPy"}
# The sizes I, H and O that are timed by default.
SIZES = (
    (1, 8, 1),
    (4, 16, 1),
    (16, 32, 4),
    (16, 64, 8),
    (32, 128, 8),
    (64, 256, 16),
    (64, 512, 16),
    (64, 1024, 16),
)


def peer(name: str) -> type[Peer]:
    """Return the peer of this name."""
    found: type[Peer] = importlib.import_module(f"{__name__}.{name}").PEER
    return found


def one_thread() -> None:
    """Keep NumPy to one thread; its libraries read these variables when imported."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
