"""The cases of versus.py, and the process that runs them with one build of elman.

    PYTHON -P bench/versus_worker.py     # reads requests, writes answers: one line of JSON each

A case is a name and a function that returns the call to time and, if they differ from the call's
return value, a function for the results whose bits are compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[], "Prepared"]

# I, H, O, as in the benchmark.
SIZES = ((1, 8, 1), (4, 16, 1), (16, 32, 4), (16, 64, 8), (32, 128, 8), (64, 256, 16))
SIZES += ((64, 512, 16),)
UPDATES = ((1, 2, 1, 100, 1), (5, 20, 5, 100, 1), (16, 32, 4, 100, 16))  # and T, B
UPDATES += ((31, 150, 31, 50, 8), (64, 128, 64, 50, 32), (64, 256, 64, 100, 32))
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0}
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


class Prepared(NamedTuple):
    """A call to time, the number of items in it, and a function for its results."""

    call: Callable[[], Any]
    items: int = 1
    results: Callable[[], list[Any]] | None = None


# --- where builds may differ ----------------------------------------------------------------------


def trainer(net: elman.Network, x: Any, y: Any, threads: int = 1) -> tuple[Any, Any, Any]:
    """Return functions that make an update, compute the loss, and return the parameters."""
    from elman import _core

    # In older builds, `examples` and `trainer` are constructors.
    make_examples = getattr(_core, "examples", _core.Examples)
    make_trainer = getattr(_core, "trainer", _core.Trainer)
    examples = make_examples(net._core, x, y, "mse", "all")
    made = make_trainer(net._core, "adam", ADAM, 0.03, None, False)
    indices, rates = np.arange(len(x)), np.array([1e-3])

    def update() -> None:
        made.train(examples, indices, len(x), rates, None, None, False, threads)

    return update, lambda: made.loss(examples, threads), lambda: made.state()["parameters"]


# --- networks and inputs --------------------------------------------------------------------------


def network(I: int, H: int | list[int], O: int | None, **options: Any) -> elman.Network:
    return elman.Network(input_size=I, hidden_size=H, output_size=O, **{"seed": 0, **options})


def numbers(*shape: int, dtype: str = "float32", seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- the cases ------------------------------------------------------------------------------------


def steps() -> Iterator[tuple[str, Make]]:
    """Steps with `out=`, steps with a new array, and whole calls with few steps."""
    for dtype in ("float32", "float64"):
        for I, H, O in SIZES if dtype == "float32" else SIZES[2:5:2]:
            sizes = {"I": I, "H": H, "O": O, "dtype": dtype}
            yield f"step/{dtype}/H={H}", lambda sizes=sizes: stepping(**sizes, given=True)
            if H in (8, 32, 128):
                yield f"step new/{dtype}/H={H}", lambda sizes=sizes: stepping(**sizes, given=False)
                for batch in ((1,), (10,), (4, 1), (4, 10)):
                    yield (
                        f"call/{dtype}/H={H}/{'x'.join(map(str, batch))}",
                        lambda sizes=sizes, batch=batch: calling(batch, **sizes),
                    )


def stepping(I: int, H: int, O: int, dtype: str, *, given: bool) -> Prepared:
    net, x = network(I, H, O, dtype=dtype), list(numbers(100, I, dtype=dtype))
    stream, y = net.stream(), np.empty(O, dtype)
    step = stream.step

    def with_out() -> None:
        for x_t in x:
            step(x_t, out=y)

    def without() -> None:
        for x_t in x:
            step(x_t)

    def results() -> list[Any]:
        stream.reset()
        return [step(x_t) for x_t in x]

    return Prepared(with_out if given else without, len(x), results)


def calling(batch: tuple[int, ...], I: int, H: int, O: int, dtype: str) -> Prepared:
    net, x = network(I, H, O, dtype=dtype), numbers(*batch, I, dtype=dtype)
    return Prepared(lambda: net(x))


def sequences() -> Iterator[tuple[str, Make]]:
    """A sequence of 1000 steps and batches of 64 x 100, deeper, in float64, and in chunks."""
    doubles = (SIZES[1], SIZES[3], SIZES[5])
    for dtype, sizes in (("float32", SIZES), ("float64", doubles)):
        for I, H, O in sizes:
            yield f"sequence/{dtype}/H={H}", running((1000,), I, H, O, dtype=dtype)
            if H > 8:
                yield f"batch/{dtype}/H={H}", running((64, 100), I, H, O, dtype=dtype)
    for I, H, O in ((16, 64, 8), (64, 256, 16)):
        yield f"two layers/sequence/H={H}", running((1000,), I, [H, H], O)
        yield f"two layers/batch/H={H}", running((64, 100), I, [H, H], O)
    for H in (8, 32, 128):
        for T in (10, 1000):
            yield f"stream.run/T={T}/H={H}", lambda H=H, T=T: chunk(H, T)
        yield f"few/B=3/H={H}", running((3, 100), 16, H, 4)
        yield f"generate/H={H}", lambda H=H: generating(H)


def running(
    batch: tuple[int, ...], I: int, H: int | list[int], O: int | None, **options: Any
) -> Make:
    """Return a maker of a call of a network; `run` holds the arguments of Network.run."""
    arguments = options.pop("run", None)

    def make() -> Prepared:
        net = network(I, H, O, **options)
        x = numbers(*batch, I, dtype=options.get("dtype", "float32"))
        if arguments is None:
            return Prepared(lambda: net(x))
        return Prepared(
            lambda: net.run(x, **arguments), results=lambda: list(net.run(x, **arguments))
        )

    return make


def chunk(H: int, T: int) -> Prepared:
    stream, x = network(16, H, 4).stream(), numbers(T, 16)

    def results() -> list[Any]:
        stream.reset()
        return [stream.run(x), stream.state]

    return Prepared(lambda: stream.run(x), results=results)


def generating(H: int) -> Prepared:
    net, x = network(4, H, 4), numbers(1, 4)
    return Prepared(lambda: net.generate(x, 500))


def pools() -> Iterator[tuple[str, Make]]:
    """Steps of a pool: all rows, half of them, and one; none in a build without pools."""
    if not hasattr(elman.Network, "streams"):
        return
    for I, H, O in (SIZES[1], SIZES[2], SIZES[5]):
        for n in (1, 16, 256, 4096):
            sizes = {"n": n, "I": I, "H": H, "O": O}
            yield f"pool/n={n}/H={H}", lambda sizes=sizes: ticking(**sizes)
            if n > 1:
                yield f"pool/half/n={n}/H={H}", lambda sizes=sizes: ticking(**sizes, half=True)
    yield "pool/run/n=16/H=32", lambda: pool_chunk(16, 10)


def ticking(n: int, I: int, H: int, O: int, *, half: bool = False) -> Prepared:
    """Return two steps of a pool with `out=`: of all rows, or of one half and the other."""
    m = n // 2 if half else n
    pool, x, y = network(I, H, O).streams(n), numbers(m, I), np.empty((m, O), np.float32)
    order = np.random.default_rng(3).permutation(n)
    options = [{"rows": order[:m]}, {"rows": order[m:]}] if half else [{}, {}]
    step = pool.step

    def call() -> None:
        for rows in options:
            step(x, out=y, **rows)

    def results() -> list[Any]:
        pool.reset()
        return [*(step(x, **rows) for rows in options), pool.state]

    return Prepared(call, 2 * m, results)


def pool_chunk(n: int, T: int) -> Prepared:
    pool, x = network(16, 32, 4).streams(n), numbers(n, T, 16)

    def results() -> list[Any]:
        pool.reset()
        return [pool.run(x), pool.state]

    return Prepared(lambda: pool.run(x), n * T, results)


def kinds() -> Iterator[tuple[str, Make]]:
    """Lengths, masks, directions and activations."""
    B, T = 64, 100
    rng = np.random.default_rng(2)
    lengths, mask = rng.integers(0, T + 1, B), rng.random((B, T)) < 0.8
    both = {"direction": "bidirectional"}
    for H in (16, 64, 128):
        batch, sizes = (B, T), (16, H, 4)
        yield f"lengths/H={H}", running(batch, *sizes, run={"lengths": lengths})
        yield f"states/H={H}", running(batch, *sizes, run={"return_hidden": True})
        yield f"mask/H={H}", running(batch, *sizes, run={"mask": mask})
        yield f"reverse/H={H}", running(batch, *sizes, direction="reverse")
        yield f"bidirectional/batch/H={H}", running(batch, *sizes, **both)
        yield f"bidirectional/sequence/H={H}", running((1000,), *sizes, **both)
        yield (
            f"bidirectional/lengths/H={H}",
            running(batch, *sizes, **both, run={"lengths": lengths, "outputs": "last"}),
        )
    for f in ("relu", "sigmoid", "identity", "elu", "softplus", elman.Activation("tanh", clip=2)):
        yield f"activation/{f}/batch", running((B, T), 16, 64, 8, activation=f)
        yield f"activation/{f}/sequence", running((1000,), 4, 16, 2, activation=f)
    yield "activation/softmax", running((B, T), 16, 32, 32, output_activation="softmax")


def training() -> Iterator[tuple[str, Make]]:
    """The updates of the benchmark and their parts, windows, and calls of `elman.train`."""
    for I, H, O, T, B in UPDATES:
        sizes = (I, H, O, T, B)
        yield f"update/H={H}", lambda sizes=sizes: updating(*sizes)
        yield f"loss/H={H}", lambda sizes=sizes: losing(*sizes)
        yield f"gradients/H={H}", lambda sizes=sizes: deriving(*sizes)
    yield "update/float64/H=32", lambda: updating(16, 32, 4, 100, 16, dtype="float64")
    yield "update/two layers/H=32", lambda: updating(16, [32, 32], 4, 100, 16)
    yield "gradients/bptt/H=32", lambda: deriving(16, 32, 4, 100, 16, bptt_steps=10)
    yield "gradients/last/H=32", lambda: deriving(16, 32, 4, 100, 16, outputs="last")
    for name, options in {
        "epochs": {"epochs": 5, "batch_size": 8},
        "windows": {"epochs": 2, "bptt_steps": 10, "batch_size": 32},
        "context": {"epochs": 1, "bptt_steps": 1, "batch_size": 32},
    }.items():
        yield f"train/{name}", lambda options=options: whole(options)


def problem(I: int, H: Any, O: int, T: int, B: int, dtype: str = "float32") -> tuple[Any, Any, Any]:
    net = network(I, H, O, output_activation="identity", dtype=dtype)
    return net, numbers(B, T, I, dtype=dtype), numbers(B, T, O, dtype=dtype, seed=2)


def updating(*sizes: Any, threads: int = 1, **options: Any) -> Prepared:
    update, *_ = trainer(*problem(*sizes, **options), threads)

    def results() -> list[Any]:
        again, loss, state = trainer(*problem(*sizes, **options), threads)
        for _ in range(3):
            again()
        return [state(), np.float64(loss())]

    return Prepared(update, results=results)


def losing(*sizes: Any) -> Prepared:
    _, loss, _ = trainer(*problem(*sizes))
    return Prepared(loss)


def deriving(*sizes: Any, outputs: str = "all", **options: Any) -> Prepared:
    net, x, y = problem(*sizes)
    y = y[:, -1].copy() if outputs == "last" else y

    def call() -> Any:
        return elman.loss_and_gradients(net, x, y, outputs=outputs, **options)

    def results() -> list[Any]:
        loss, gradients = call()
        layer, readout = gradients.layers[0], gradients.readout
        return [np.float64(loss), layer.W_xh, layer.W_hh, layer.b_h, readout.W_hy, readout.b_y]

    return Prepared(call, results=results)


def whole(options: dict[str, Any]) -> Prepared:
    net, x, y = problem(4, 32, 2, 100, 64)

    def results() -> list[Any]:
        layer = elman.train(net, x, y, **options).network.layers[0]
        return [layer.W_xh, layer.W_hh, layer.b_h]

    return Prepared(lambda: elman.train(net, x, y, **options), results=results)


def making() -> Iterator[tuple[str, Make]]:
    """New networks, and whole processes that import elman and make one call."""
    for H in (32, 256, 1024):
        yield f"make/uniform/H={H}", lambda H=H: constructing(H)
    yield "make/glorot/H=128", lambda: constructing(128, init="glorot")
    yield "make/echo_state/H=200", lambda: constructing(200, init="echo_state")
    yield "import", lambda: starting("import elman")
    yield (
        "import and call",
        lambda: starting(
            "import elman; elman.Network(input_size=1, hidden_size=8, output_size=1)([[1.0]])"
        ),
    )


def constructing(H: int, **options: Any) -> Prepared:
    return Prepared(
        lambda: network(16, H, 4, **options),
        results=lambda: [network(16, H, 4, **options).layers[0].W_hh],
    )


def starting(code: str) -> Prepared:
    command = [sys.executable, "-P", "-c", code]
    return Prepared(lambda: subprocess.run(command, check=True), results=list)


def threads() -> Iterator[tuple[str, Make]]:
    """The same work by one and by two threads; names end in the number of threads."""
    for H in (128, 256, 512, 1024):
        for count in (1, 2):
            options, name = {"run": {"threads": count}}, f"H={H}/threads={count}"
            yield f"threads/one/{name}", running((1000,), 64, H, 16, **options)
    for H in (8, 16, 32, 64):
        for count in (1, 2):
            options, name = {"run": {"threads": count}}, f"H={H}/threads={count}"
            yield f"threads/batch/{name}", running((64, 100), 4, H, 2, **options)
            yield f"threads/few/{name}", running((4, 10), 4, H, 2, **options)
            yield f"threads/layers/{name}", running((100,), 4, [H, H], 2, **options)
            yield f"threads/mask/{name}", running((8, 20), 4, H, 2, direction="reverse", **options)
            work = {"sizes": (4, H, 2, 20, 32), "threads": count}
            yield (
                f"threads/update/{name}",
                lambda w=work: updating(*w["sizes"], threads=w["threads"]),
            )
            yield (
                f"threads/gradients/{name}",
                lambda w=work: deriving(*w["sizes"], threads=w["threads"]),
            )


CASES: dict[str, Make] = {
    name: make
    for group in (steps, sequences, pools, kinds, training, making, threads)
    for name, make in group()
}


# --- the process ----------------------------------------------------------------------------------


def digest(results: list[Any]) -> str:
    """Return a hash of arrays; all NaNs hash alike."""
    sha = hashlib.sha256()
    for result in results:
        array = np.array(result, order="C")
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan
        sha.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()[:16]


class Worker:
    """Answers requests: `about`, `prepare` a case, `time` one, `drop` all."""

    def __init__(self) -> None:
        self.prepared: dict[str, Prepared] = {}

    def about(self) -> Any:
        return {"build": elman.build_info(), "python": sys.version.split()[0], "cases": list(CASES)}

    def prepare(self, name: str, pin: bool) -> Any:
        """Return the bits of a case, and the time of a call."""
        _pin(pin)
        case = CASES[name]()
        self.prepared[name] = case
        results = [case.call()] if case.results is None else case.results()
        case.call()
        return {
            "bits": digest([part for part in results if part is not None]),
            "ns": _time(case, 1),
        }

    def time(self, name: str, pin: bool, count: int, chunks: int) -> Any:
        """Return the shortest time per item over the chunks of calls."""
        _pin(pin)
        case = self.prepared[name]
        return {"ns": min(_time(case, count) for _ in range(chunks)) / case.items}

    def drop(self) -> Any:
        self.prepared.clear()
        return {}


def _time(case: Prepared, count: int) -> float:
    call, clock = case.call, time.perf_counter_ns
    began = clock()
    for _ in range(count):
        call()
    return (clock() - began) / count


def _pin(pin: bool) -> None:
    """Pin the process to one processor, or allow all of its processors."""
    if ALLOWED:
        os.sched_setaffinity(0, {max(ALLOWED)} if pin else ALLOWED)


def main() -> None:
    """Answer one request per line until the end of input."""
    worker, answers = Worker(), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output goes to standard error
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
