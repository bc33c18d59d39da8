"""Time whole processes: an import, and the start up to the first prediction."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elman
from elman.cli.timing.rounds import Entry, interleave
from results import times_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Facts = dict[str, Any]

BARE, NUMPY = "pass", "import numpy"
IMPORTS = {
    "numpy": NUMPY,
    "numba": "import numba",
    "torch": "import torch",
    "onnxruntime": "import onnxruntime",
    "jax": "import jax.numpy",
    "litert": "import ai_edge_litert.interpreter",
}

ELMAN = """
import elman
elman.load({folder!r} + "/model.safetensors")([[0.0] * 16])
"""
ONNXRUNTIME = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession({folder!r} + "/model.onnx")
session.run(["y"], {{
    "x": numpy.zeros((1, 1, 16), numpy.float32), "h_0": numpy.zeros((1, 1, 32), numpy.float32)
}})
"""
TORCH = """
import torch
with torch.inference_mode():
    torch.jit.load({folder!r} + "/model.pt")(torch.zeros(1, 1, 16), torch.zeros(1, 1, 32))
"""


def imports(
    peers: Iterable[str], rounds: int, done: Callable[[], object] = lambda: None
) -> list[Facts]:
    """Return the times of processes that import; the first is a bare interpreter."""
    programs = {"python": BARE, "elman": "import elman"}
    programs |= {name: code for name, code in IMPORTS.items() if name in peers}
    return _processes(programs, rounds, done)


def cold_start(
    peers: Iterable[str], rounds: int, done: Callable[[], object] = lambda: None
) -> list[Facts]:
    """Return the times of processes from the start to the first prediction from a file."""
    net = elman.Network(input_size=16, hidden_size=32, output_size=4, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder, "model.safetensors"))
        programs = {"import numpy": NUMPY, "elman": ELMAN.format(folder=folder)}
        if "onnxruntime" in peers:
            from peers.graphs import of_rnn

            Path(folder, "model.onnx").write_bytes(of_rnn(net).SerializeToString())
            programs["onnxruntime"] = ONNXRUNTIME.format(folder=folder)
        if "torch" in peers:
            _save_torch(net, Path(folder, "model.pt"))
            programs["torch"] = TORCH.format(folder=folder)
        return _processes(programs, rounds, done)


def _save_torch(net: elman.Network, path: Path) -> None:
    import torch

    from peers.torch import Model

    example = torch.zeros(1, 1, 16), torch.zeros(1, 1, 32)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch 2.14 calls it deprecated
        torch.jit.trace(Model(net).eval(), example).save(str(path))


def _processes(programs: dict[str, str], rounds: int, done: Callable[[], object]) -> list[Facts]:
    """Return the times of the programs. The first run of each compiles its modules."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment)
    entries = [
        Entry(name, "", partial(run, [sys.executable, "-W", "ignore", "-c", code]), 1)
        for name, code in programs.items()
    ]
    return times_of(entries, interleave(entries, rounds, done=done))
