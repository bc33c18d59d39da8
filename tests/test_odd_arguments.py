"""Every public function with odd values in place of each argument: only elman's errors come out."""

from __future__ import annotations

import decimal
import fractions
import os

import numpy as np
import pytest

import elman

pytestmark = [pytest.mark.any_isa, pytest.mark.filterwarnings("ignore")]

RECURSIVE: list = []
RECURSIVE.append(RECURSIVE)


class Text(str):
    __slots__ = ()


def masked(dtype):
    return np.ma.masked_array(np.zeros((5, 1), dtype), True)


ODD = {
    **{"none": None, "true": True, "0": 0, "-1": -1, "-2**63": -(2**63), "10**400": 10**400},
    **{"10**5000": 10**5000, "-10**400": -(10**400), "nan": float("nan"), "inf": float("inf")},
    **{"complex": 1j, "empty": "", "1": "1", "surrogate": "\udce9", "nul": "a\0b", "bytes": b"x"},
    **{"Text": Text("x"), "decimal": decimal.Decimal("sNaN"), "1/3": fractions.Fraction(1, 3)},
    **{"[]": [], "[None]": [None], "ragged": [[1], [1, 2]], "recursive": RECURSIVE, "{}": {}},
    **{"{1: 2}": {1: 2}, "set": {1}, "object": object(), "type": np.float32, "dots": ...},
    **{"slice": slice(3), "scalar": np.float32(1), "0-d": np.array(1.0)},
    "no elements": np.zeros((0, 1)),
    "elements": np.zeros(5),
    "64 axes": np.zeros((1,) * 64) if np.__version__ >= "2" else np.zeros((1,) * 32),
    "matrix": np.zeros((5, 1)).view(np.matrix),
    "texts": np.zeros((5, 1), "U3"),
    "huge": np.full((5, 1), 10**400, object),
    "void": np.zeros((5, 1), "V4"),
    "times": np.zeros((5, 1), "M8[s]"),
    "fields": np.zeros((5, 1), [("a", "f4"), ("b", "i4")]),
    "record": np.rec.array([(1.0,)], dtype=[("a", "f4")]),
    "masked": masked("f4"),
    "masked fields": masked([("a", "f4")]),
    "masked texts": masked("U2"),
    "characters": np.array(["a"]),
    "long double": np.zeros((5, 1), "g"),
}

X = np.linspace(0, 1, 10).reshape(2, 5, 1)
Y = X[::-1]


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Return public functions by name, with arguments that are right."""
    folder = tmp_path_factory.mktemp("odd")
    net = elman.Network(1, 2, 1, seed=0)
    net.save(folder / "m.safetensors")
    (folder / "t.csv").write_text("a,b\n" + "".join(f"{i % 5},{i % 3}\n" for i in range(20)))
    frame, (layer,) = elman.read_table(folder / "t.csv"), net.layers
    weights = {"metadata": None, "dtype": None, "allow_nonfinite": False}
    choices = {"activation": "tanh", "output_activation": "sigmoid", "direction": "forward"}
    ends = dict.fromkeys(("input_mean", "input_std", "output_mean", "output_std"))
    data = {"net": net, "x": X, "y": Y, "loss": "mse", "outputs": "all"}
    each = {"lengths": None, "state": None, "sample_weight": None, "step_weight": None}
    return {
        "Network": (
            elman.Network,
            {"input_size": 1, "hidden_size": 2, "output_size": 1, "num_layers": None, "seed": 0}
            | {"bias": True, "init": "uniform", "initial_state": None, "table": None}
            | choices
            | ends,
        ),
        "from_weights": (
            elman.Network.from_weights,
            {"layers": [(layer.W_xh, layer.W_hh, layer.b_h)], "readout": None}
            | {**choices, "output_activation": None}
            | weights,
        ),
        "from_tensors": (elman.Network.from_tensors, {"tensors": net.tensors()} | choices),
        "replace": (net.replace, {"tensors": None} | weights),
        "call": (lambda x, outputs: net(x, outputs), {"x": X, "outputs": "all"}),
        "run": (
            net.run,
            {"x": X, "state": None, "lengths": None, "outputs": "all", "return_hidden": False}
            | {"threads": 1, "out": None, "mask": None, "masked": "hold", "offsets": None},
        ),
        "generate": (lambda start, state: net.generate(start, 3, state=state), {"start": X[0]}),
        "verify": (net.verify, {"x": X, "state": None, "lengths": None, "mask": None}),
        "stream": (net.stream, {"state": None, "nonfinite": "raise"}),
        "step": (lambda x, out: net.stream().step(x, out=out), {"x": np.zeros(1), "out": None}),
        "state": (lambda state: setattr(net.stream(), "state", state), {"state": np.zeros(2)}),
        "save": (net.save, {"path": folder / "o", "golden": X}),
        "load": (elman.load, {"path": folder / "m.safetensors", "verify": False} | weights),
        "Activation": (
            elman.Activation,
            {"name": "hard_sigmoid", "alpha": 0.1, "beta": 0.2, "clip": None},
        ),
        "SGD": (elman.SGD, {"learning_rate": 0.1, "momentum": 0.1, "nesterov": False}),
        "EchoState": (
            lambda **given: elman.Network(1, 2, 1, init=elman.EchoState(**given)),
            {"spectral_radius": 0.9, "density": 0.5, "input_limit": 0.5},
        ),
        "train": (
            lambda checkpoint=None, **given: elman.train(**given, checkpoint=checkpoint),
            data
            | each
            | {"epochs": 1, "batch_size": 2, "bptt_steps": None, "learning_rate": 0.1}
            | {"clip_norm": None, "weight_decay": None, "optimizer": "sgd", "schedule": None}
            | {"carry_state": False, "shuffle": True, "validation": None, "patience": None}
            | {"threads": 1, "train_initial_state": False, "callback": None, "progress": False},
        ),
        "update": (
            lambda **given: elman.Trainer(net, loss="mse").update(**given),
            {"x": X, "y": Y, "carry_state": False} | each,
        ),
        "gradients": (elman.loss_and_gradients, data | each),
        "backward": (elman.backward, {"net": net, "x": X, "dL_dy": Y, "dL_dh": None}),
        "ridge": (
            elman.ridge_readout,
            {"net": net.replace(), "x": X, "y": Y, "washout": 0},
        ),
        "Table": (elman.Table, {"inputs": ["a"], "targets": ["b"], "classes": (), "horizon": 0}),
        "Trainer": (
            lambda **given: elman.Trainer(net, **given),
            {"loss": "mse", "outputs": None, "optimizer": "adam", "learning_rate": None}
            | {"weight_decay": None, "clip_norm": None, "clip_value": None, "threads": 1},
        ),
        "streams": (net.streams, {"n": 3, "state": None, "nonfinite": "raise"}),
        "explain": (net.trace(X[0]).explain, {"t": 0, "unit": 0}),
        "split_state": (net.split_state, {"state": np.zeros(2)}),
        "read_table": (
            elman.read_table,
            {"path": folder / "t.csv", "columns": None, "sequence": None, "missing": None},
        ),
        "run_table": (
            elman.run_table,
            {"net": net, "data": frame[["a"]], "outputs": "all", "missing": None, "threads": 1},
        ),
        "frame": (lambda key: frame[key], {"key": "a"}),
        "columns": (lambda key: frame[[key]], {"key": "a"}),
        "use_isa": (lambda name: elman.use_isa(name).__enter__(), {"name": elman.isa()}),
        "set_isa": (elman.set_isa, {"name": elman.isa()}),
    }


NAMES = (
    "Network from_weights from_tensors replace call run generate verify stream step state save load"
    " Activation SGD EchoState train update gradients backward ridge Table read_table run_table"
    " Trainer streams explain split_state frame columns use_isa set_isa"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_only_the_errors_of_elman_come_out(calls, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, arguments = calls[name]
    if name in ("generate", "load"):
        arguments = {"state": None} | arguments if name == "generate" else dict(arguments)
        arguments.pop("dtype", None), arguments.pop("metadata", None)
    before = elman.isa()
    for argument in arguments:
        for odd, value in ODD.items():
            if argument == "epochs" and odd in ("true", "10**400"):
                continue  # right, and long
            if argument == "callback" and odd == "type":
                continue  # it can be called, and what it raises is its own
            given = {**arguments, argument: value}
            if name in ("set_isa", "frame", "columns", "state", "call", "use_isa"):
                run = lambda given=given: function(*given.values())  # noqa: E731
            else:
                run = lambda given=given: function(**given)  # noqa: E731
            try:
                run()
            except (elman.ElmanError, MemoryError):
                pass
            except OSError:
                assert argument in ("path", "data"), (argument, odd)
            except Exception as error:
                error.add_note(f"{argument}={odd}")
                raise
            finally:
                elman.set_isa(before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: elman.SGD(10**400), "learning_rate: expected a number"),
        (lambda net: elman.Activation("relu", clip=10**400), "clip: expected a number"),
        (lambda net: net.run([[1.0]], return_hidden=np.ones(2)), "return_hidden: expected True"),
        (lambda net: net(masked([("a", "f4")])), "x: expected real numbers, got dtype"),
        (lambda net: net.run([[1.0]], outputs=10**5000), "outputs: .* an integer of 16610 bits"),
        (lambda net: elman.Activation("\udce9"), r"\\udce9"),
        (lambda net: net.save("a\0b"), r"path: expected a path without null .* 'a\\x00b'"),
        (lambda net: elman.Network(1, 2, 1, bias="no"), "bias: expected True or False, got str"),
        (lambda net: elman.Network(1, 2, 1, bias=1), "bias: expected True or False, got int"),
    ],
)
def test_the_argument_is_named(call, message):
    with pytest.raises(elman.ElmanError, match=message):
        call(elman.Network(1, 2, 1, seed=0))


def test_flags_of_numpy_are_flags():
    net = elman.Network(1, 2, 1, bias=np.bool_(False))
    assert net.layers[0].b_h is None


def test_a_path_may_be_undecodable(tmp_path):
    path = os.fsencode(tmp_path) + b"/m\xe9t\xe9o.safetensors"
    net = elman.Network(1, 2, 1, seed=0)
    try:
        net.save(path)
    except OSError:
        pytest.skip("this file system has names in Unicode only")
    assert elman.load(path) == elman.load(os.fsdecode(path)) == net


@pytest.mark.parametrize(
    ("path", "reason"),
    [("a\0b", "without null characters"), ("\ud800", "that the system can encode")],
)
def test_a_path_that_no_file_can_have(path, reason):
    net = elman.Network(2, 3, 1, seed=0)
    x = np.zeros((4, 2))
    for argument, call in (
        ("path", elman.load),
        ("path", net.save),
        ("path", lambda path: elman.train(net, x, x[:, :1], epochs=1, checkpoint=path)),
        ("source", elman.from_keras),
        ("source", elman.from_torch),
    ):
        with pytest.raises(
            elman.ArgumentError, match=rf"^\w+: expected a path {reason}, got"
        ) as got:
            call(path)
        assert argument == "path" or str(got.value).startswith("source: ")
    pytest.importorskip("onnx")
    for call in (elman.from_onnx, lambda path: elman.to_onnx(net, path)):
        with pytest.raises(elman.ArgumentError, match=rf"^\w+: expected a path {reason}, got"):
            call(path)
    with pytest.raises(elman.ArgumentError, match=rf"^\w+: expected a path {reason}, got"):
        elman.compare(net, f"{path}.onnx", x)
