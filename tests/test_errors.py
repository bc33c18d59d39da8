"""Every deliberate error of elman is an ElmanError and the matching builtin."""

from __future__ import annotations

import ast
import traceback
from pathlib import Path

import numpy as np
import pytest

import elman

PACKAGE = Path(elman.__file__).parent
BUILTINS = {"Exception", "IndexError", "KeyError", "RuntimeError", "TypeError", "ValueError"}


def test_no_bare_builtin_is_raised():
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and node.exc is not None:
                raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                if isinstance(raised, ast.Name) and raised.id in BUILTINS:
                    found.append(f"{path}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("name", [name for name in elman.__all__ if name.endswith("Error")])
def test_an_error_is_also_a_builtin(name):
    error = getattr(elman, name)
    assert issubclass(error, elman.ElmanError)
    if error is not elman.ElmanError:
        builtin = error.__mro__[2]
        assert builtin.__module__ == "builtins"
        assert builtin is not Exception


@pytest.mark.parametrize("name", [name for name in elman.__all__ if name.endswith("Error")])
def test_a_message_cannot_control_a_terminal(name):
    error = getattr(elman, name)("a\x1b[31mb \x9b\r\u202e\udce9 é")
    assert str(error) == r"a\x1b[31mb \x9b\r\u202e\udce9 é"
    assert f"{error}" in "".join(traceback.format_exception(error))
    assert str(getattr(elman, name)("two\nlines é")) == "two\nlines é"
    assert str(getattr(elman, name)()) == ""


def test_names_of_a_file_cannot_control_a_terminal(tmp_path):
    name = "a\x1b[31m"
    weights = {f"{name}.weight_ih_l0": np.zeros((3, 2)), f"{name}.weight_hh_l0": np.zeros((3, 2))}
    with pytest.raises(elman.ShapeError, match=r"a\\x1b\[31m.weight_hh_l0: expected \(H, H\)"):
        elman.from_torch(weights, activation="tanh")
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(b"x" * 100)
    with pytest.raises(elman.UnsupportedModelError, match=r"a\\x1b\[31m.safetensors: expected"):
        elman.load(path)


X, Y = np.zeros((2, 5, 3), np.float32), np.zeros((2, 5, 2), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda net: elman.train(net, X, Y),
        lambda net: elman.Trainer(net),
        lambda net: elman.loss_and_gradients(net, X, Y),
        lambda net: elman.backward(net, X, Y),
        lambda net: elman.ridge_readout(net, X, Y),
        lambda net: elman.compare(net, net, X),
        lambda net: elman.forecast(net, X),
        lambda net: elman.run_table(net, elman.Frame({"x": [1.0]})),
        lambda net: elman.to_torch(net),
        lambda net: elman.to_keras(net),
        lambda net: elman.state_dict(net, "torch"),
        lambda net: pytest.importorskip("onnx") and elman.to_onnx(net),
    ],
)
def test_a_net_of_another_type_is_named(call):
    with pytest.raises(elman.ArgumentTypeError, match=r"^net: expected .*, got dict$"):
        call({})


@pytest.mark.parametrize("name", ["m.safetensors", Path("m.safetensors")])
def test_the_name_of_a_model_file_is_not_a_net(name):
    for call in (lambda: elman.forecast(name, X), lambda: elman.train(name, X, Y)):
        with pytest.raises(elman.ArgumentTypeError, match=r"^net: .*; elman\.load reads a model"):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, bad: net.replace(tensors=bad), "tensors: expected "),
        (lambda net, bad: net.from_tensors(bad), "tensors: expected "),
        (lambda net, bad: net.replace(metadata=bad), "metadata: expected "),
        (lambda net, bad: elman.Trainer(net).restore(bad), "state: expected "),
        (lambda net, bad: elman.load(bad), "path: expected "),
        (lambda net, bad: net.save(bad), "path: expected "),
        (
            lambda net, bad: elman.train(net, X, Y, seed=0, checkpoint=bad),
            "checkpoint: expected ",
        ),
        (lambda net, bad: net.generate(X[0], 2, feedback=bad), "feedback: expected "),
        (lambda net, bad: elman.state_dict(net, bad), "framework: expected "),
    ],
)
def test_a_value_of_a_wrong_type_is_named(call, message):
    net = elman.Network(3, 4, 2, output_activation="identity", seed=0)
    for bad in (3.5, object()):
        with pytest.raises(
            elman.ArgumentTypeError, match=f"^{message}.*, got {type(bad).__name__}$"
        ):
            call(net, bad)
