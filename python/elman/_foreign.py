"""Names in PyTorch, Keras and scikit-learn and their equivalents here, suggested in errors."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

_NETWORK = {
    "activations": "activation=",
    "batch_first": "arrays (..., T, I), with the batch first",
    "batch_input_shape": "input_size=",
    "bidirectional": 'direction="bidirectional"',
    "device": "no device: elman computes on the CPU",
    "dropout": "weight_decay in training: elman has no dropout",
    "go_backwards": 'direction="reverse"',
    "in_features": "input_size=",
    "hidden_dim": "hidden_size=",
    "hidden_layer_sizes": "hidden_size=",
    "hidden_sizes": "hidden_size=",
    "hidden_units": "hidden_size=",
    "initializer": "init=",
    "input_dim": "input_size=",
    "input_scale": "input_mean= and input_std=",
    "input_shape": "input_size=",
    "kernel_initializer": "init=",
    "n_hidden": "hidden_size=",
    "n_inputs": "input_size=",
    "n_layers": "num_layers=",
    "n_outputs": "output_size=",
    "nonlinearity": "activation=",
    "num_classes": 'output_size= and output_activation="softmax"',
    "num_units": "hidden_size=",
    "out_activation": "output_activation=",
    "out_features": "output_size=",
    "output_dim": "output_size=",
    "output_scale": "output_mean= and output_std=",
    "random_state": "seed=",
    "recurrent_dropout": "weight_decay in training: elman has no dropout",
    "recurrent_initializer": "init=",
    "return_sequences": 'net(x) for all outputs, net(x, outputs="last") for the last',
    "return_state": "net.run(x), which also returns the state",
    "stateful": "net.stream(), which keeps its state",
    "units": "hidden_size=",
    "use_bias": "bias=",
    "zero_output_for_mask": 'masked="zero"',
}

_TRAINING = {
    "X": "x",
    "alpha": "weight_decay=",
    "bptt": "bptt_steps=",
    "callbacks": "callback=",
    "class_weight": "sample_weight= or step_weight=",
    "clip": "clip_norm=",
    "clip_grad_norm": "clip_norm=",
    "clipnorm": "clip_norm=",
    "clipvalue": "clip_value=",
    "criterion": "loss=",
    "early_stopping": "validation= and patience=",
    "epoch": "epochs=",
    "global_clipnorm": "clip_norm=",
    "gradient_clip": "clip_norm=",
    "initial_state": "state=",
    "l2": "weight_decay=",
    "learning_rate_init": "learning_rate=",
    "lr": "learning_rate=",
    "lr_scheduler": "schedule=",
    "mask": "lengths=, or step_weight= for arbitrary steps",
    "max_grad_norm": "clip_norm=",
    "max_iter": "epochs=",
    "metrics": "callback=, which can compute them",
    "model": "net",
    "n_epochs": "epochs=",
    "n_jobs": "threads=",
    "num_epochs": "epochs=",
    "num_threads": "threads=",
    "optim": "optimizer=",
    "random_state": "seed=",
    "scheduler": "schedule=",
    "solver": "optimizer=",
    "stateful": "carry_state=True",
    "targets": "y",
    "validation_data": "validation=(x, y)",
    "validation_fraction": "validation=0.2",
    "validation_split": "validation=0.2",
    "verbose": "progress=True",
    "wd": "weight_decay=",
    "workers": "threads=",
}

_VALUES = {
    "binary_crossentropy": "bce",
    "categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "cosine_annealing": "cosine",
    "l2": "mse",
    "log_loss": "cross_entropy",
    "mean_squared_error": "mse",
    "nll": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "squared_error": "mse",
}

_WORDS = {"Network": _NETWORK, "Trainer": _TRAINING, "train": _TRAINING}

_ATTRIBUTES = {
    "W_hh": "net.layers[0].W_hh",
    "W_hy": "net.readout.W_hy",
    "W_xh": "net.layers[0].W_xh",
    "b_h": "net.layers[0].b_h",
    "b_y": "net.readout.b_y",
    "backward": "elman.loss_and_gradients(net, x, y) or elman.backward(net, x, dL_dy)",
    "bidirectional": "net.direction",
    "call": "net(x)",
    "clone": "net itself: networks are immutable",
    "coefs_": "net.tensors()",
    "compile": "elman.train(net, x, y, loss=..., optimizer=...)",
    "copy": "net itself: networks are immutable",
    "count_params": "net.num_parameters",
    "cpu": "net itself: elman computes on the CPU",
    "cuda": "net itself: elman computes on the CPU",
    "double": 'net.astype("float64")',
    "eval": "net itself: training and inference are the same",
    "evaluate": "elman.Trainer(net).loss(x, y)",
    "fit": "elman.train(net, x, y), which returns a trained network",
    "float": 'net.astype("float32")',
    "forward": "net(x)",
    "get_weights": "net.tensors()",
    "gradients": "elman.loss_and_gradients(net, x, y)",
    "load": "elman.load(path)",
    "load_state_dict": "elman.from_torch(...) or net.replace(tensors=...)",
    "load_weights": "elman.load(path)",
    "loss": "elman.Trainer(net).loss(x, y)",
    "named_parameters": "net.tensors()",
    "nonlinearity": "net.activation",
    "num_params": "net.num_parameters",
    "parameters": "net.tensors()",
    "partial_fit": "elman.Trainer(net).update(x, y)",
    "predict": "net(x)",
    "predict_proba": 'net(x), with output_activation="softmax"',
    "reset": "stream = net.stream() and stream.reset()",
    "reset_state": "stream = net.stream() and stream.reset()",
    "reset_states": "stream = net.stream() and stream.reset()",
    "save_weights": "net.save(path)",
    "score": "elman.Trainer(net).loss(x, y)",
    "set_weights": "net.replace(tensors=...)",
    "state_dict": "elman.state_dict(net) or net.tensors()",
    "step": "stream = net.stream() and stream.step(x_t)",
    "summary": "print(net), net.layers and net.readout",
    "to": "net.astype(dtype)",
    "to_keras": "elman.to_keras(net)",
    "to_onnx": "elman.to_onnx(net)",
    "to_torch": "elman.to_torch(net)",
    "train": "elman.train(net, x, y), which returns a trained network",
    "train_on_batch": "elman.Trainer(net).update(x, y)",
    "trainable_variables": "net.tensors()",
    "trainable_weights": "net.tensors()",
    "weight_hh_l0": "net.layers[0].W_hh",
    "weight_ih_l0": "net.layers[0].W_xh",
    "weights": "net.tensors()",
    "zero_grad": "no call: gradients are returned, not accumulated",
}

_MODULE = {
    "Elman": "elman.Network",
    "ElmanClassifier": "elman.sklearn.ElmanClassifier",
    "ElmanRegressor": "elman.sklearn.ElmanRegressor",
    "GRU": "elman.Network: elman has Elman networks only",
    "LSTM": "elman.Network: elman has Elman networks only",
    "Model": "elman.Network",
    "RNN": "elman.Network",
    "Sequential": "elman.Network, with hidden_size=[64, 32] for two layers",
    "SimpleRNN": "elman.Network",
    "fit": "elman.train(net, x, y)",
    "manual_seed": "seed= of elman.Network and elman.train",
    "nn": "elman.Network",
    "onnx": "elman.from_onnx and elman.to_onnx",
    "optim": "elman.Adam and the other optimizers",
    "predict": "net(x)",
    "read_csv": "elman.read_table(path)",
    "save": "net.save(path)",
}


def keywords(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to suggest a remedy for unknown keywords; errors name it `name`."""

    def explained(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        required = code.co_argcount - len(function.__defaults__ or ())

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) > code.co_argcount:
                given = [word for word in known[: code.co_argcount] if word != "self"]
                raise ArgumentTypeError(
                    f"{name}: expected {', '.join(given)} and all else by name, as in"
                    f" {known[code.co_argcount]}=..., got"
                    f" {len(args) - code.co_argcount + len(given)} positional arguments"
                )
            require_known(name, kwargs, known)
            for word in known[len(args) : required]:
                if word not in kwargs:
                    raise ArgumentTypeError(_missing(name, word, known[:required]))
            return function(*args, **kwargs)

        return call

    return explained


def require_known(name: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    """Raise for the first keyword that is not an argument of the function, with a remedy."""
    for keyword in given:
        if keyword not in known:
            raise ArgumentTypeError(_unknown(name, keyword, known))


def _missing(name: str, word: str, required: tuple[str, ...]) -> str:
    expected = ", ".join(known for known in required if known != "self")
    none = ": None for a network without a readout" if word == "output_size" else ""
    return f"{name}: expected {expected}, got no {word}{none}"


def _unknown(name: str, keyword: str, known: tuple[str, ...]) -> str:
    remedy = _WORDS[name].get(keyword)
    if remedy is None:
        from difflib import get_close_matches

        close = get_close_matches(
            keyword, [word for word in known if word != "self"], n=1, cutoff=0.75
        )
        remedy = f"{close[0]}=" if close else None
    said = f"{keyword}: expected an argument of {name}, got an unknown one"
    return said if remedy is None else f"{said}: use {remedy}"


def value(given: str, known: Container[str]) -> str:
    """Return the remedy for an unknown value: the known one that is meant, or ""."""
    small = given.lower()
    meant = _VALUES.get(small, small)
    return f": use {meant!r}" if meant in known else ""


def attribute(name: str) -> str:
    """Return the message for an attribute that a network does not have."""
    said = f"'Network' object has no attribute {name!r}"
    remedy = _ATTRIBUTES.get(name)
    return said if remedy is None else f"{said}: use {remedy}"


def of_module(name: str) -> str:
    """Return the remedy for a name that the package does not have, or ""."""
    remedy = _MODULE.get(name)
    return "" if remedy is None else f": use {remedy}"
