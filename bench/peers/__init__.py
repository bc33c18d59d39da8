"""Other ways to compute a network, each in its fastest fair mode, behind one interface.

    found, left_out = peers.available()
    numpy = found["numpy"](net)         # prepared from the network's weights, once
    y = numpy.run(numpy.input(x))       # (T, I) or (B, T, I) -> (..., T, O)
    step = numpy.steps()["np.dot"]      # x_t -> y_t; keeps the state

elman, pure Python and NumPy come from `elman.cli.timing`. Only requested peers are imported.
Call `one_thread` before anything imports NumPy.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from elman.cli import timing
from peers import avx2
from peers.native import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman.cli.timing.base import Peer

# The modules that hold a peer, there or here, and their titles. elman is first.
TITLES = {
    **timing.TITLES,
    "numba": "numba",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
    "litert": "LiteRT",
    "openvino": "OpenVINO",
    "tract": "tract",
    "ncnn": "ncnn",
    "libxsmm": "LIBXSMM",
    "eigen": "plain Eigen",
}

# OpenVINO reports its use over the network, from a forked process, unless this is set.
os.environ["CI"] = "true"


def available(names: Iterable[str] = TITLES) -> tuple[dict[str, type[Peer]], dict[str, str]]:
    """Return the usable peers, and for each other peer the reason why it is left out."""
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
    """Limit the peers' libraries to one thread; they read these variables when imported.

    With ELMAN_ISA=avx2 they are limited to AVX2 as well (see `peers.avx2`), otherwise not at all:
    what the environment says of it is dropped. OPENBLAS_CORETYPE=Haswell halves NumPy's products.
    """
    timing.one_thread()
    for switch in avx2.SWITCHES:
        os.environ.pop(switch, None)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if os.environ.get("ELMAN_ISA") == "avx2":
        avx2.keep()
