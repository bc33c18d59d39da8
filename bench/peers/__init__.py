"""Other ways to compute a network, each in its fastest honest mode, behind one small interface.

    found, left_out = peers.available()
    numpy = found["numpy"](net)         # prepared from the network's weights, once
    y = numpy.run(numpy.input(x))       # (T, I) or (B, T, I) -> (..., T, O)
    step = numpy.steps()["np.dot"]      # x_t -> y_t, with the state inside

elman, pure Python and NumPy are those of `elman.cli.timing`. Only what is asked for is imported.
Call `one_thread` before anything imports NumPy.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from elman.cli import timing
from peers.native import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman.cli.timing.base import Peer

# The modules that hold a peer, there or here, and what people call it. elman comes first.
TITLES = {
    **timing.TITLES,
    "numba": "numba",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
    "eigen": "plain Eigen",
}


def available(names: Iterable[str] = TITLES) -> tuple[dict[str, type[Peer]], dict[str, str]]:
    """Return the peers that can be used here, and of each other one why it is left out."""
    found, left_out = {}, {}
    for name in names:
        try:
            if name in timing.TITLES:
                found[name] = timing.peer(name)
            else:
                found[name] = importlib.import_module(f"peers.{name}").PEER
        except ModuleNotFoundError as error:
            left_out[name] = f"{error.name} is not installed"
        except (ImportError, Unavailable) as error:
            left_out[name] = str(error)
    return found, left_out


def one_thread() -> None:
    """Keep the libraries of the peers to one thread; they read these variables when imported."""
    timing.one_thread()
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
