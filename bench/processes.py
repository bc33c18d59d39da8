"""Time whole processes: an import, and the start up to the first prediction."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elman
from elman.cli.timing.rounds import Entry, interleave, ratios, spread

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
}
MILLISECONDS = 1e6

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
    """Return the milliseconds of processes that import, in total and over a bare interpreter."""
    programs = {"python": BARE, "elman": "import elman"}
    programs |= {name: code for name, code in IMPORTS.items() if name in peers}
    return _processes(programs, rounds, done)


def cold_start(
    peers: Iterable[str], rounds: int, done: Callable[[], object] = lambda: None
) -> list[Facts]:
    """Return the milliseconds from the start of a process to its first prediction from a file."""
    net = elman.Network(input_size=16, hidden_size=32, output_size=4, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder, "model.safetensors"))
        programs = {"import numpy": NUMPY, "elman": ELMAN.format(folder=folder)}
        if "onnxruntime" in peers:
            from peers.onnxruntime import model

            Path(folder, "model.onnx").write_bytes(model(net).SerializeToString())
            programs["onnxruntime"] = ONNXRUNTIME.format(folder=folder)
        if "torch" in peers:
            _save_torch(net, Path(folder, "model.pt"))
            programs["torch"] = TORCH.format(folder=folder)
        return _processes(programs, rounds, done)


def _save_torch(net: elman.Network, path: Path) -> None:
    import torch

    from peers.torch import Model

    example = torch.zeros(1, 1, 16), torch.zeros(1, 1, 32)
    with torch.no_grad():
        torch.jit.trace(Model(net).eval(), example).save(str(path))


def _processes(programs: dict[str, str], rounds: int, done: Callable[[], object]) -> list[Facts]:
    """Time the programs; the others are compared with the first."""
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    entries = [
        Entry(name, "", partial(run, [sys.executable, "-c", code]), MILLISECONDS)
        for name, code in programs.items()
    ]
    times = interleave(entries, rounds, done=done)
    return [
        {
            "name": entry.name,
            "unit": "ms",
            **spread(ms)._asdict(),
            "ratio": ratios(ms, times[0])._asdict(),
            "over": spread([a - b for a, b in zip(ms, times[0], strict=True)])._asdict(),
        }
        for entry, ms in zip(entries, times, strict=True)
    ]
