"""Measure training: a whole update (forward, backward, clipping by norm, Adam) of each trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import elman
import trainers
from cases import Case, sets, weights
from elman.cli.timing.answers import Wrong
from elman.cli.timing.rounds import Entry, interleave
from measure import described, multiply_adds, pinned
from results import BOTH, FORWARD
from trainers.elman import Elman
from trainers.numpy import NumPy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from trainers import Trainer

    Array = NDArray[Any]
    Facts = dict[str, Any]

UPDATES_TO_CHECK = 5
ALLOWED = 1e-4  # relative to a parameter's change; without clipping the error is at least 8e-4


SHAPES = (  # I, H, O, T, B
    (1, 2, 1, 100, 1),
    (5, 20, 5, 100, 1),
    (16, 32, 4, 100, 16),
    (31, 150, 31, 50, 8),
    (64, 128, 64, 50, 32),
    (64, 256, 64, 100, 32),
)
UPDATES = [Case("training", "update", *shape) for shape in SHAPES]
OF_SETS = [update._replace(group="isa") for update in UPDATES]


def measure(case: Case, peers: Iterable[str], rounds: int) -> tuple[Facts, dict[str, str]]:
    """Return the results of a case, and one sentence for each wrong peer."""
    net, x, y = problem(case)
    start = trainers.weights(net)
    expected = _trained(NumPy(net, x.astype(np.float64), y.astype(np.float64)))
    entries, wrong = [], {}
    for name, mode, trainer in _trainers(case, peers):
        if said := _wrong(_trained(trainer), expected, start):
            if name == "elman":
                raise Wrong(said)
            wrong[name] = f"update of {case.I}, {case.H}, {case.O}: {mode or 'update'}: {said}"
            continue
        entries += _entries(case, name, mode, trainer)
    limits = multiply_adds(case, count(case))
    with pinned():
        times = interleave([*entries, *limits], rounds)
    return described(case, net.isa, (entries, limits, []), times), wrong


def count(case: Case) -> int:
    """Return the number of multiply-adds: forward, the gradients of the weights, and those of h.

    A weight of W_xh takes part in two per step (x needs no gradient), one of W_hh or W_hy in three.
    """
    return case.B * case.T * (2 * case.I + 3 * case.H + 3 * case.O) * case.H


def _trainers(case: Case, peers: Iterable[str]) -> Iterator[tuple[str, str, Trainer]]:
    """Yield the name and mode of each trainer, and a new one."""
    net, x, y = problem(case)
    if case.group == "isa":
        for isa in sets(weights(case)):
            with elman.use_isa(isa):
                yield "elman", isa, Elman(*problem(case))
        peers = [name for name in peers if name == "numpy"]
    for name, modes in trainers.available(peers).items():
        for mode, make in modes.items():
            yield name, mode, make(net, x, y)


def problem(case: Case) -> tuple[elman.Network, Array, Array]:
    """Return the network, inputs (B, T, I) and targets (B, T, O)."""
    net = elman.Network(
        input_size=case.I,
        hidden_size=case.H,
        output_size=case.O,
        output_activation="identity",
        dtype=case.dtype,
        seed=0,
    )
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((case.B, case.T, n), case.dtype) for n in (case.I, case.O))
    return net, x, y


def _trained(trainer: Trainer) -> dict[str, Array]:
    """Return the parameters after a few updates."""
    for _ in range(UPDATES_TO_CHECK):
        trainer.update()
    return {name: np.array(w, np.float64) for name, w in trainer.parameters().items()}


def _wrong(found: dict[str, Array], expected: dict[str, Array], start: dict[str, Array]) -> str:
    """Return a sentence on the first parameter that differs, or an empty string."""
    norm = np.linalg.norm
    for name, w in expected.items():
        error = norm(found[name] - w) / norm(w - start[name])
        if not error <= ALLOWED:
            return f"{name} is off by {error:.2g} of its way, more than {ALLOWED:.2g}"
    return ""


def _entries(case: Case, name: str, mode: str, trainer: Trainer) -> list[Entry]:
    """Return an entry for the update, and for elman also for its parts."""
    calls = {mode: trainer.update}
    if name == "elman" and case.group != "isa":
        calls |= {FORWARD: trainer.forward, BOTH: trainer.gradients}
    return [Entry(name, mode, call, 1) for mode, call in calls.items()]
