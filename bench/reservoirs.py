"""Echo-state networks beside reservoirpy and rclib: steps, a sequence, and a ridge fit.

All are dense, in float64 and without leak (rate 1). reservoirpy takes the weights of elman. Those
of rclib cannot be set, so they are found from its own states: arctanh(h_t) is linear in x_t, 1 and
h_(t-1). A network of elman with these weights must give the outputs of rclib. Its ridge fit
penalizes the bias too.

ns per step of reservoirpy at (1, 100, 1), (3, 300, 3): `Model.step` 10557, 19503; the `step` of
each node 7273, 13709; the private `_step` of each 5487, 13010. A sequence by `Model.run` 9168,
21743; by the nodes' `run` 9148, 22596; by its nodes for JAX 571558, 403200. A step of rclib by
`predict_online` 4177, 26600, by the reservoir and the readout one after the other 5092, 29174.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from cases import each
from elman import reference
from elman.cli.timing.rounds import Entry, interleave
from measure import described, pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from cases import Case

    Array = NDArray[Any]
    Facts = dict[str, Any]

NAMES = ("reservoirpy", "rclib")
ALPHA, WASHOUT = 1e-6, 100  # of the ridge fit
STEPS = 200  # in a timed loop
ALLOWED = 1e-8  # relative to the largest output: weights that were found, and normal equations


SIZES = ((1, 32, 1), (1, 100, 1), (3, 300, 3))
RESERVOIRS = [
    case
    for work in ("step", "sequence", "ridge")
    for case in each("reservoirs", work, SIZES, T=1000, dtype="float64")
]


class Elman:
    """The network, and the same with another readout."""

    def __init__(self, net: elman.Network) -> None:
        self.net = net

    def loops(self, rows: list[Array]) -> dict[str, Callable[[], None]]:
        """Return the loop as a user writes it: a call around `step` would be timed too."""
        step, y = self.net.stream().step, np.empty(self.net.output_size)

        def loop() -> None:
            for x_t in rows:
                step(x_t, out=y)

        return {"out=": loop}

    def run(self, x: Array) -> Array:
        return self.net(x)

    def fit(self, x: Array, y: Array) -> elman.Network:
        return elman.ridge_readout(self.net, x, y, alpha=ALPHA, washout=WASHOUT)


class Peer(Elman):
    """A peer; `net` has its weights."""

    penalizes_bias = False

    def steps(self) -> dict[str, Callable[[Array], Array]]:
        """Return a new callable x_t -> y_t for each mode; it keeps the state."""
        raise NotImplementedError

    def fitted(self, x: Array, y: Array) -> Array:
        """Return the outputs over x after a fit."""
        raise NotImplementedError

    def loops(self, rows: list[Array]) -> dict[str, Callable[[], None]]:
        def loop(step: Callable[[Array], Array], rows: list[Array]) -> None:
            for x_t in rows:
                step(x_t)

        rows = [self.row(x_t) for x_t in rows]
        return {mode: partial(loop, step, rows) for mode, step in self.steps().items()}

    def row(self, x_t: Array) -> Array:
        """Return the inputs of a step in the form of this peer."""
        return x_t


class ReservoirPy(Peer):
    """The weights of a network in two nodes."""

    def __init__(self, net: elman.Network, x: Array, y: Array) -> None:
        super().__init__(net)
        self.nodes = importlib.import_module("reservoirpy.nodes")
        (layer,), readout, self.x = net.layers, net.readout, x
        self.weights = {"W": layer.W_hh.copy(), "Win": layer.W_xh.copy(), "bias": layer.b_h.copy()}
        self.readout = {"Wout": readout.W_hy.T.copy(), "bias": readout.b_y.copy()}
        self.model = self._model()[2]

    def _model(self) -> tuple[Any, Any, Any]:
        """Return a reservoir, its readout, and both as a model."""
        reservoir, ridge = self._reservoir(), self.nodes.Ridge(ridge=ALPHA, **self.readout)
        model = reservoir >> ridge
        model.initialize(self.x[0])
        return reservoir, ridge, model

    def _reservoir(self) -> Any:
        return self.nodes.Reservoir(lr=1.0, **self.weights)

    def steps(self) -> dict[str, Callable[[Array], Array]]:
        reservoir, ridge, _ = self._model()
        advance, read, state = reservoir._step, ridge._step, reservoir.state

        def step(x_t: Array) -> Array:
            nonlocal state
            state = advance(state, x_t)
            return read(None, state["out"])["out"]

        return {"Model.step": self._model()[2].step, "private _step": step}

    def run(self, x: Array) -> Array:
        self.model.reset()
        return self.model.run(x)

    def fit(self, x: Array, y: Array) -> Any:
        model = self._reservoir() >> self.nodes.Ridge(ridge=ALPHA)
        return model.fit(x, y, warmup=WASHOUT)

    def fitted(self, x: Array, y: Array) -> Array:
        model = self.fit(x, y)
        model.reset()
        return model.run(x)


class Rclib(Peer):
    """A random reservoir of the same size, and the network that its states reveal."""

    penalizes_bias = True

    def __init__(self, net: elman.Network, x: Array, y: Array) -> None:
        rclib = importlib.import_module("rclib")
        self.model = rclib.ESN()
        self.model.add_reservoir(
            rclib.reservoirs.RandomSparse(
                n_neurons=net.hidden_sizes[0],
                spectral_radius=0.9,
                sparsity=1.0,  # the share of weights that are not zero
                leak_rate=1.0,
                input_scaling=0.2,
                include_bias=True,
                seed=1,
            )
        )
        self.model.set_readout(rclib.readouts.Ridge(alpha=ALPHA, include_bias=True))
        self.model.fit(x, y, washout_len=WASHOUT)
        super().__init__(self._revealed(net))

    def _revealed(self, net: elman.Network) -> elman.Network:
        """Return a network with the weights that explain the states."""
        reservoir, I = self.model._cpp_model.getReservoir(0), net.input_size
        count = 4 * (1 + I + net.hidden_sizes[0])
        x = np.random.default_rng(5).standard_normal((count, I))
        reservoir.resetState()
        h = np.array([reservoir.advance(x_t[np.newaxis])[0] for x_t in x])
        before = np.vstack([np.zeros_like(h[:1]), h[:-1]])
        known = np.column_stack([x, np.ones(count), before])
        W = np.linalg.lstsq(known, np.arctanh(h), rcond=None)[0].T
        V = self.model._cpp_model.getReadout().getWeights().T
        weights = {
            "rnn.weight_ih_l0": W[:, :I],
            "rnn.weight_hh_l0": W[:, I + 1 :],
            "rnn.bias_ih_l0": W[:, I],
            "rnn.bias_hh_l0": np.zeros(len(W)),
            "linear.weight": V[:, :-1],
            "linear.bias": V[:, -1],
        }
        weights = {name: np.ascontiguousarray(w) for name, w in weights.items()}
        return elman.from_torch(weights, activation="tanh", output_activation="identity")

    def row(self, x_t: Array) -> Array:
        return x_t[np.newaxis]

    def steps(self) -> dict[str, Callable[[Array], Array]]:
        self.model.reset_reservoirs()
        private = self.model._cpp_model.predictOnline
        return {"predict_online": self.model.predict_online, "private predictOnline": private}

    def run(self, x: Array) -> Array:
        return self.model.predict(x)

    def fit(self, x: Array, y: Array) -> Any:
        self.model.fit(x, y, washout_len=WASHOUT)
        return self.model

    def fitted(self, x: Array, y: Array) -> Array:
        return self.fit(x, y).predict(x)


PEERS = {"reservoirpy": ReservoirPy, "rclib": Rclib}


def missing() -> dict[str, str]:
    """Return a sentence for each peer that is not installed."""
    found = {name: importlib.util.find_spec(name) for name in NAMES}
    return {name: f"{name} is not installed" for name, spec in found.items() if spec is None}


def measure(case: Case, _: Iterable[str], rounds: int) -> tuple[Facts, dict[str, str]]:
    """Return the results of a case, and one sentence for each wrong peer."""
    net, x, y = problem(case)
    entries, wrong = entries_of("elman", case, Elman(net), x, y), {}
    for name in NAMES:
        if name in missing():
            continue
        peer = PEERS[name](net, x, y)
        if said := wrong_answer(case, peer, x, y):
            wrong[name] = f"{case.work} of {case.I}, {case.H}, {case.O}: {said}"
        else:
            entries += entries_of(name, case, peer, x, y)
    with pinned():
        times = interleave(entries, rounds)
    return described(case, net.isa, (entries, [], []), times), wrong


def problem(case: Case) -> tuple[elman.Network, Array, Array]:
    """Return the network, inputs (T, I) and targets (T, O)."""
    net = elman.Network(
        input_size=case.I,
        hidden_size=case.H,
        output_size=case.O,
        output_activation="identity",
        init="echo_state",
        dtype=case.dtype,
        seed=0,
    )
    rng = np.random.default_rng(1)
    return net, *(rng.standard_normal((case.T, size)) for size in (case.I, case.O))


def wrong_answer(case: Case, peer: Peer, x: Array, y: Array) -> str | None:
    """Return how a peer differs from a network with its weights, or None."""
    if case.work == "ridge":
        return _differ(peer.fitted(x, y), _by_least_squares(peer, x, y))
    expected = reference.run(peer.net, x).output
    if case.work == "sequence":
        return _differ(peer.run(x), expected)
    for mode in peer.steps():
        step = peer.steps()[mode]
        found = [np.array(step(peer.row(x_t))).reshape(-1) for x_t in x[:STEPS]]
        if said := _differ(np.array(found), expected[:STEPS]):
            return f"{mode}: {said}"
    return None


def _by_least_squares(peer: Peer, x: Array, y: Array) -> Array:
    """Return the outputs over x of a readout that is fitted with the penalty as further rows."""
    (layer,), h = peer.net.layers, np.zeros(peer.net.state_size)
    states = []
    for u in x @ layer.W_xh.T + layer.b_h:
        h = np.tanh(u + layer.W_hh @ h)
        states.append([*h, 1.0])
    states = np.array(states)
    penalty = np.sqrt(ALPHA) * np.eye(states.shape[1])
    if not peer.penalizes_bias:
        penalty = penalty[:-1]
    known = np.vstack([states[WASHOUT:], penalty])
    wanted = np.vstack([y[WASHOUT:], np.zeros((len(penalty), y.shape[1]))])
    return states @ np.linalg.lstsq(known, wanted, rcond=None)[0]


def _differ(found: Array, expected: Array) -> str | None:
    error = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
    return None if error <= ALLOWED else f"off by {error:.2g}, more than {ALLOWED:.2g}"


def entries_of(name: str, case: Case, peer: Elman, x: Array, y: Array) -> list[Entry]:
    """Return an entry for each mode of a step, or for the run or the fit."""
    if case.work == "step":
        loops = peer.loops(list(x[:STEPS]))
        return [Entry(name, mode, loop, STEPS) for mode, loop in loops.items()]
    if case.work == "sequence":
        return [Entry(name, "", partial(peer.run, x), case.T)]
    return [Entry(name, "", partial(peer.fit, x, y), 1)]
