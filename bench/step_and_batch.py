"""One step and one batch against NumPy and pure Python, in one run.

    OPENBLAS_NUM_THREADS=1 python bench/step_and_batch.py

Every answer is checked before anything is timed; the rounds are interleaved; what is printed are
medians of ratios within a round, with the range of the middle half of the rounds.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time

import numpy as np

import elman
from elman import pure

ROUNDS = 21


def numpy_step(net):
    """Return a step as one writes it in NumPy, with the state inside."""
    (layer,) = net.layers
    W_xh, W_hh, b_h = (a.copy() for a in (layer.W_xh, layer.W_hh, layer.b_h))
    W_hy, b_y = (a.copy() for a in (net.readout.W_hy, net.readout.b_y))
    h = np.zeros_like(b_h)

    def step(x):
        nonlocal h
        h = np.tanh(W_hh @ h + W_xh @ x + b_h)
        return 1 / (1 + np.exp(-(W_hy @ h + b_y)))

    return step


def preallocated_numpy_step(net):
    """Return a step that writes every intermediate result into memory of its own."""
    (layer,) = net.layers
    W_xh, W_hh, b_h = (a.copy() for a in (layer.W_xh, layer.W_hh, layer.b_h))
    W_hy, b_y = (a.copy() for a in (net.readout.W_hy, net.readout.b_y))
    h, u = np.zeros_like(b_h), np.zeros_like(b_h)
    y = np.zeros_like(b_y)
    dot, add, tanh, exp, negative, divide = (
        np.dot, np.add, np.tanh, np.exp, np.negative, np.divide
    )  # fmt: skip

    def step(x):
        dot(W_xh, x, u)
        add(u, b_h, u)
        add(u, dot(W_hh, h), u)
        tanh(u, h)
        dot(W_hy, h, y)
        add(y, b_y, y)
        negative(y, y)
        exp(y, y)
        add(y, 1, y)
        return divide(1, y, y)

    return step


def numpy_batch(net):
    """Return the outputs for (B, T, I), the input product hoisted over time."""
    (layer,) = net.layers
    W_xh, W_hh, b_h = (np.ascontiguousarray(a) for a in (layer.W_xh.T, layer.W_hh.T, layer.b_h))
    W_hy, b_y = np.ascontiguousarray(net.readout.W_hy.T), net.readout.b_y.copy()

    def run(x):
        u = x.transpose(1, 0, 2) @ W_xh + b_h
        h = np.zeros_like(u[0])
        for t in range(len(u)):
            h = np.tanh(u[t] + h @ W_hh, out=u[t])
        y = 1 / (1 + np.exp(-(u @ W_hy + b_y)))
        return y.transpose(1, 0, 2)

    return run


def nanoseconds(function, x, loops):
    """Return the time of one row of x: of a step, or of a sequence of the batch."""
    start = time.perf_counter_ns()
    for _ in range(loops):
        function(x)
    return (time.perf_counter_ns() - start) / (loops * len(x))


def compare(competitors, rounds=ROUNDS):
    """Time the competitors in turn; return their medians and the ratios to the first."""
    times = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, (function, x, loops) in competitors.items():
            times[name].append(nanoseconds(function, x, loops))
    ours, *_ = times.values()
    for name, measured in times.items():
        ratios = sorted(t / o for t, o in zip(measured, ours, strict=True))
        low, _, high = statistics.quantiles(ratios, n=4)
        print(
            f"  {name:28} {statistics.median(measured):12,.0f} ns"
            f"   {statistics.median(ratios):7.1f} x  ({low:.1f} - {high:.1f})"
        )


def step(I, H, O):
    net = elman.Network(input_size=I, hidden_size=H, output_size=O, seed=0)
    x = np.random.default_rng(1).standard_normal((200, I)).astype(np.float32)
    stream, y = net.stream(), np.empty(O, np.float32)
    weights, state = pure.weights(net), [0.0] * H
    peers = {"NumPy": numpy_step(net), "NumPy, preallocated": preallocated_numpy_step(net)}

    expected = elman.reference.run(net, x).output
    answers = {name: np.array([peer(x_t).copy() for x_t in x]) for name, peer in peers.items()}
    answers["elman"] = np.array([stream.step(x_t, out=y).copy() for x_t in x])
    answers["pure Python"] = pure.run(weights, x.tolist())[0]
    for name, answer in answers.items():
        np.testing.assert_allclose(answer, expected, atol=1e-5, err_msg=name)

    def elman_step(xs):
        for x_t in xs:
            stream.step(x_t, out=y)

    def numpy_steps(peer):
        def run(xs):
            for x_t in xs:
                peer(x_t)

        return run

    def pure_steps(xs):
        h = state
        for x_t in xs:
            _, h = pure.step(weights, x_t, h)

    print(f"{len(x)} steps one by one, {net}")
    compare(
        {
            "elman, stream.step(x, out=y)": (elman_step, x, 20),
            **{name: (numpy_steps(peer), x, 1) for name, peer in peers.items()},
            "pure Python": (pure_steps, x[:20].tolist(), 1),
        }
    )


def batch(I, H, O, B, T):
    net = elman.Network(input_size=I, hidden_size=H, output_size=O, seed=0)
    x = np.random.default_rng(1).standard_normal((B, T, I)).astype(np.float32)
    peer = numpy_batch(net)
    expected = elman.reference.run(net, x).output
    for name, answer in {"elman": net(x), "NumPy": peer(x)}.items():
        np.testing.assert_allclose(answer, expected, atol=1e-5, err_msg=name)
    print(f"a batch of {B} sequences of {T} steps, {net}")
    compare({"elman, net(x)": (net, x, 1), "NumPy": (peer, x, 1)})


if __name__ == "__main__":
    info = elman.build_info()
    print(f"elman {info['version']} on {info['isa']}, NumPy {np.__version__}, one thread")
    step(16, 32, 4)
    batch(64, 256, 16, B=64, T=100)
