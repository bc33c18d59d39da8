"""Other ways to compute a network, each in its fastest honest mode, behind one small interface.

    peers, left_out = elman.peers.available()
    numpy = peers["numpy"](net)         # prepared from the network's weights, once
    y = numpy.run(numpy.input(x))       # (T, I) or (B, T, I) -> (..., T, O)
    step = numpy.steps()[""]            # x_t -> y_t, with the state inside

Only what is asked for is imported. Call `one_thread` before anything imports NumPy.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from elman.peers.base import Peer, Unavailable, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SIZES", "TITLES", "Peer", "Unavailable", "Unsupported", "available", "one_thread"]

# The modules of this package that hold a peer, and what people call it. elman comes first.
TITLES = {
    "elman": "elman",
    "pure_python": "pure Python",
    "numpy": "NumPy",
    "numba": "numba",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
    "eigen": "plain Eigen",
}
# What is measured unless someone brings a network of his own: I, H and O.
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


def available(names: Iterable[str] = TITLES) -> tuple[dict[str, type[Peer]], dict[str, str]]:
    """Return the peers that can be used here, and of each other one why it is left out."""
    peers, left_out = {}, {}
    for name in names:
        try:
            peers[name] = importlib.import_module(f"elman.peers.{name}").PEER
        except ModuleNotFoundError as error:
            left_out[name] = f"{error.name} is not installed"
        except (ImportError, Unavailable) as error:
            left_out[name] = str(error)
    return peers, left_out


def one_thread() -> None:
    """Keep the libraries of the peers to one thread; they read these variables when imported."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
