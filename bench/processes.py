"""Time whole processes: an import, a start up to the first prediction, and stored sequences."""

from __future__ import annotations

import importlib.util
import json
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
STORED = Path(__file__).with_name("stored.py")
KINDS = {"npy": "numpy", "parquet": "pyarrow"}  # of stored sequences, and what they need
SEQUENCES = 8_000
IMPORTS = {
    "numpy": NUMPY,
    "numba": "import numba",
    "torch": "import torch",
    "onnxruntime": "import onnxruntime",
    "jax": "import jax.numpy",
    "litert": "import ai_edge_litert.interpreter",
    "openvino": "import openvino",
    "tract": "import tract",
    "ncnn": "import ncnn",
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
LITERT = """
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter({folder!r} + "/model.tflite", num_threads=1)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], numpy.zeros((1, 16), "f"))
interpreter.invoke()
"""
OPENVINO = """
import numpy, openvino
options = {{"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}}
compiled = openvino.Core().compile_model({folder!r} + "/model.xml", "CPU", options)
compiled([numpy.zeros((1, 16), numpy.float32)])
"""
TRACT = """
import numpy, tract
model = tract.onnx().load({folder!r} + "/model.onnx")
model.set_input_fact(0, "1,1,16,f32")
model.set_input_fact(1, "1,1,32,f32")
zeros = [numpy.zeros((1, 1, n), numpy.float32) for n in (16, 32)]
model.into_model().into_runnable().run(zeros)
"""
NCNN = """
import ncnn, numpy
net = ncnn.Net()
net.load_param({folder!r} + "/ncnn.param")
net.load_model({folder!r} + "/ncnn.bin")
extractor = net.create_extractor()
extractor.input("x", ncnn.Mat(numpy.zeros((1, 16), numpy.float32)))
extractor.input("h_0", ncnn.Mat(numpy.zeros((1, 32), numpy.float32)))
extractor.extract("y")
"""
PREDICTIONS = {
    "onnxruntime": ONNXRUNTIME,
    "torch": TORCH,
    "litert": LITERT,
    "openvino": OPENVINO,
    "tract": TRACT,
    "ncnn": NCNN,
}


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
        for name, program in PREDICTIONS.items():
            if name in peers:
                SAVES[name](net, Path(folder))
                programs[name] = program.format(folder=folder)
        return _processes(programs, rounds, done)


def stored(
    rounds: int, sequences: int = SEQUENCES, done: Callable[[], object] = lambda: None
) -> list[Facts]:
    """Return the times of ways to run stored sequences, from a process on all processors."""
    found = []
    for kind, module in KINDS.items():
        if importlib.util.find_spec(module):
            run = [sys.executable, STORED, "--json", "--kinds", kind]
            run += ["--rounds", str(rounds), "--sequences", str(sequences)]
            said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
            found += json.loads(said)
        done()
    return found


def _save_onnx(net: elman.Network, folder: Path) -> None:
    from peers.graphs import of_rnn

    Path(folder, "model.onnx").write_bytes(of_rnn(net).SerializeToString())


def _save_torch(net: elman.Network, folder: Path) -> None:
    import torch

    from peers.torch import Model

    example = torch.zeros(1, 1, 16), torch.zeros(1, 1, 32)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch 2.14 calls it deprecated
        torch.jit.trace(Model(net).eval(), example).save(str(folder / "model.pt"))


def _save_litert(net: elman.Network, folder: Path) -> None:
    from peers.litert import model

    Path(folder, "model.tflite").write_bytes(model(net, 1))


def _save_openvino(net: elman.Network, folder: Path) -> None:
    import openvino

    from peers.openvino import one_step

    openvino.save_model(one_step(net, 1), folder / "model.xml", compress_to_fp16=False)


def _save_ncnn(net: elman.Network, folder: Path) -> None:
    from elman.cli.timing.weights import weights
    from peers.ncnn import constants, description

    Path(folder, "ncnn.param").write_text(description(weights(net)), encoding="ascii")
    Path(folder, "ncnn.bin").write_bytes(constants(weights(net)))


SAVES = {
    "onnxruntime": _save_onnx,
    "torch": _save_torch,
    "litert": _save_litert,
    "openvino": _save_openvino,
    "tract": _save_onnx,
    "ncnn": _save_ncnn,
}


def _processes(programs: dict[str, str], rounds: int, done: Callable[[], object]) -> list[Facts]:
    """Return the times of the programs. The first run of each compiles its modules."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment)
    entries = [
        Entry(name, "", partial(run, [sys.executable, "-W", "ignore", "-c", code]), 1)
        for name, code in programs.items()
    ]
    return times_of(entries, interleave(entries, rounds, done=done))
