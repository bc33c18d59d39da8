"""Time installs: from nothing to a first prediction, and the bytes on disk.

A turn is three processes: `python -m venv`, without pip; pip, which installs a package and what it
needs, of the versions that the benchmark runs, from wheels in a folder; and the new Python, which
makes a prediction by a model file. The wheels are downloaded before, and that of elman is built
from this checkout; they are kept for the next run, one folder for each digest of the sources. A
package that pip cannot install is left out.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
import processes
import sources
from elman.cli.timing.weights import weights
from peers import native
from results import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Facts = dict[str, Any]

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip"]
PACKAGES = {  # whose names differ from those of the peers
    "litert": ["ai-edge-litert"],
    "jax": ["jax", "jaxlib"],
}
# numba needs SciPy for products, but not for sums.
BY_HAND = """
import numpy{imports}
w = numpy.load({folder!r} + "/model.npz")
W_xh, W_hh, b_h, h, W_hy, b_y = (w[name] for name in ("W_xh", "W_hh", "b_h", "h", "W_hy", "b_y"))
{decorator}
def step(x, h):
    h = {numpy}.tanh((W_xh * x).sum(1) + (W_hh * h).sum(1) + b_h)
    return h, 1 / (1 + {numpy}.exp(-((W_hy * h).sum(1) + b_y)))
{numpy}.asarray(step(numpy.zeros(16, numpy.float32), h)[1])
"""
FORMS = {  # of BY_HAND: imports, a decorator, and the module with tanh
    "numpy": ("", "", "numpy"),
    "numba": (", numba", "@numba.njit", "numpy"),
    "jax": (", jax, jax.numpy", "@jax.jit", "jax.numpy"),
}
NAMES = ("elman", *FORMS, *processes.PREDICTIONS)


def installs(
    peers: Iterable[str], rounds: int, done: Callable[[], object] = lambda: None
) -> tuple[list[Facts], dict[str, str]]:
    """Return the times and bytes of each install, and a sentence for each that is not possible."""
    with tempfile.TemporaryDirectory() as name:
        folder, kept = Path(name), native.cache() / "wheels" / sources.digest()
        programs = programs_of(peers, folder)
        wheels, left_out = {}, {}
        for peer in programs:
            wanted = requirements(peer)
            if fetched(peer, wanted, kept):
                wheels[peer] = wanted
            else:
                left_out[f"install, {peer}"] = f"pip cannot install {' '.join(wanted)}"
            done()
        if "elman" not in wheels:  # all are compared with it
            return [], left_out
        found = {peer: {"name": peer, "mode": "", "times": [], "bytes": 0} for peer in wheels}
        for _, peer in itertools.product(range(rounds), list(found)):
            if peer not in found:
                continue
            try:
                ns, size = install(wheels[peer], programs[peer], kept)
            except subprocess.CalledProcessError:
                del found[peer]
                left_out[f"install, {peer}"] = "the new environment makes no prediction"
                continue
            found[peer]["times"].append(short(ns))
            found[peer]["bytes"] = size
            done()
        return list(found.values()) if "elman" in found else [], left_out


def programs_of(peers: Iterable[str], folder: Path) -> dict[str, str]:
    """Return a program of each peer that makes a prediction; save the model files of all."""
    net = elman.Network(input_size=16, hidden_size=32, output_size=4, seed=0)
    net.save(folder / "model.safetensors")
    w = weights(net)
    ((W_xh, W_hh, b_h, h),) = w.layers
    np.savez(folder / "model.npz", W_xh=W_xh, W_hh=W_hh, b_h=b_h, h=h, W_hy=w.W_hy, b_y=w.b_y)
    programs = {"elman": processes.ELMAN}
    for name in (name for name in NAMES[1:] if name in peers):
        if name in FORMS:
            imports, decorator, numpy = FORMS[name]
            form = {"imports": imports, "decorator": decorator, "numpy": numpy}
            programs[name] = BY_HAND.format(folder=str(folder), **form)
        else:
            processes.SAVES[name](net, folder)
            programs[name] = processes.PREDICTIONS[name].format(folder=str(folder))
    return programs | {"elman": processes.ELMAN.format(folder=str(folder))}


def requirements(peer: str) -> list[str]:
    """Return the packages of a peer with their versions here."""
    names = PACKAGES.get(peer, [peer])
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


def fetched(peer: str, wanted: list[str], folder: Path) -> bool:
    """Build or download the wheels; return whether that succeeded."""
    commands = [["download", "--quiet", "--dest", folder, "--only-binary", ":all:", *wanted]]
    commands[0] += ["--find-links", folder]
    if peer == "elman" and not list(folder.glob("elman-*.whl")):
        commands.insert(0, ["wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT])
    return all(
        subprocess.run([*PIP, *command], capture_output=True, check=False).returncode == 0
        for command in commands
    )


def install(wanted: list[str], program: str, wheels: Path) -> tuple[int, int]:
    """Return the nanoseconds from nothing to the first prediction, and the bytes on disk."""
    with tempfile.TemporaryDirectory() as name:
        python = Path(name, "Scripts" if os.name == "nt" else "bin", "python")
        get = ["install", "--quiet", "--no-index", "--no-cache-dir", "--find-links", wheels]
        start = time.perf_counter_ns()
        for command in (
            [sys.executable, "-m", "venv", "--without-pip", name],
            [*PIP, "--python", python, *get, *wanted],
            [python, "-W", "ignore", "-c", program],
        ):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment())
        return time.perf_counter_ns() - start, _bytes(Path(name))


def _environment() -> dict[str, str]:
    """Return the environment without what would let the new Python find packages of this one."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
