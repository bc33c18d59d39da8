"""Names in PyTorch, Keras and scikit-learn and their equivalents here, suggested in errors."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from elman._text import show
from elman.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    T = TypeVar("T")

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
    "betas": "optimizer=elman.Adam(...)",
    "bptt": "bptt_steps=",
    "callbacks": "callback=",
    "class_weight": "sample_weight=",
    "clip": "clip_norm=",
    "clip_grad_norm": "clip_norm=",
    "clipnorm": "clip_norm=",
    "clipvalue": "clip_value=",
    "criterion": "loss=",
    "device": "no device: elman computes on the CPU",
    "dropout": "weight_decay=: elman has no dropout",
    "early_stopping": "validation= and patience=",
    "epoch": "epochs=",
    "global_clipnorm": "clip_norm=",
    "gradient_clip": "clip_norm=",
    "initial_state": "state=",
    "l2": "weight_decay=",
    "learning_rate_init": "learning_rate=",
    "lr": "learning_rate=",
    "lr_scheduler": "schedule=",
    "mask": "step_weight=, 0 at masked steps",
    "max_epochs": "epochs=",
    "max_grad_norm": "clip_norm=",
    "max_iter": "epochs=",
    "metrics": "callback=, which can compute them",
    "model": "net",
    "momentum": "optimizer=elman.SGD(0.1, momentum=0.9)",
    "n_epochs": "epochs=",
    "n_iter_no_change": "patience=",
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

_STATES = ("h0", "h_0", "hidden", "hidden_state", "hx", "initial_state")
_LENGTHS = ("seq_len", "seq_lengths", "sequence_length", "sequence_lengths")
_RUN = {
    **dict.fromkeys(_STATES, "state="),
    **dict.fromkeys(_LENGTHS, "lengths="),
    "batch_size": "no batch_size: a call takes all sequences at once",
    "num_threads": "threads=",
    "return_sequences": 'outputs="all" or outputs="last"',
    "return_state": "the result's .state, which is always there",
    "training": "no training: training and inference are the same",
    "workers": "threads=",
}
_FROM_TENSORS = {
    "activations": "activation=",
    "bidirectional": 'direction="bidirectional"',
    "like": "net.replace(tensors=...)",
    "nonlinearity": "activation=",
    "out_activation": "output_activation=",
}
_FUNCTIONS = ("activation", "output_activation", "direction")  # which tensors do not contain
_REPLACE = {
    **{
        word: f'tensors={{"{word}": ...}}'
        for word in ("initial_state", "input_mean", "input_std", "output_mean", "output_std")
    },
    **{
        word: "elman.Network.from_tensors(net.tensors(), "
        + ", ".join(f"{other}={'...' if other == word else f'net.{other}'}" for other in _FUNCTIONS)
        + ")"
        for word in _FUNCTIONS
    },
    "weights": "tensors=",
}

_VALUES = {
    "backward": "reverse",
    "backwards": "reverse",
    "binary_crossentropy": "bce",
    "both": "bidirectional",
    "categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "cosine_annealing": "cosine",
    "glorot_uniform": "glorot",
    "l2": "mse",
    "log_loss": "cross_entropy",
    "mean_squared_error": "mse",
    "nll": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "squared_error": "mse",
    "xavier": "glorot",
    "xavier_uniform": "glorot",
}

_ACTIVATIONS = {
    "hardtanh": 'elman.Activation("identity", clip=1)',
    "htanh": 'elman.Activation("identity", clip=1)',
    "leaky": "'leaky_relu'",
    "relu6": 'elman.Activation("relu", clip=6)',
}
_NOT_HERE = frozenset(  # like a name here, but of another function
    "bent_identity celu crelu gelu hard_shrink hard_swish log_sigmoid prelu rrelu selu silu softmin"
    " soft_shrink sparsemax tanh_shrink".replace("_", "").split()
)

_OPTIMIZER = {
    "beta_1": "beta1=",
    "beta_2": "beta2=",
    "betas": "beta1= and beta2=",
    "clip_norm": "clip_norm= of elman.train",
    "clipnorm": "clip_norm= of elman.train",
    "eps": "epsilon=",
    "l2": "weight_decay=",
    "lr": "learning_rate=",
    "rho": "alpha=",
    "schedule": "schedule= of elman.train",
    "wd": "weight_decay=",
}

_ESTIMATOR = {
    **{
        word: remedy
        for word, remedy in (_NETWORK | _TRAINING).items()
        if remedy in ("activation=", "clip_norm=", "hidden_size=", "init=", "learning_rate=")
        or remedy in ("optimizer=", "schedule=", "weight_decay=")
    },
    **dict.fromkeys(("epoch", "epochs", "max_epochs", "n_epochs", "num_epochs"), "max_iter="),
    **dict.fromkeys(("n_layers", "num_layers"), "hidden_size=, as in (64, 64) for two layers"),
    **dict.fromkeys(("num_threads", "threads", "workers"), "n_jobs="),
    **dict.fromkeys(("validation", "validation_split"), "early_stopping= and validation_fraction="),
    "patience": "early_stopping= and n_iter_no_change=",
    "progress": "verbose=",
    "return_sequences": "outputs=",
    "seed": "random_state=",
}

_OF_UPDATE = ("carry_state", "lengths", "sample_weight", "state", "step_weight", "x", "y")
_OF_TRAIN = (
    *("batch_size", "bptt_steps", "callback", "checkpoint", "checkpoint_every", "epochs"),
    *("min_delta", "patience", "progress", "schedule", "seed", "shuffle", "update_every"),
    "validation",
)
_WORDS = {
    **dict.fromkeys(("ElmanClassifier", "ElmanRegressor"), _ESTIMATOR),
    **dict.fromkeys(("Adagrad", "Adam", "AdamW", "RMSprop", "SGD"), _OPTIMIZER),
    "Network": _NETWORK,
    "Network.from_tensors": _FROM_TENSORS,
    "Network.from_weights": _FROM_TENSORS,
    "Trainer": {**_TRAINING, **{word: f"{word}=" for word in (*_OF_TRAIN, *_OF_UPDATE)}},
    "net.replace": _REPLACE,
    "net.run": _RUN,
    "train": _TRAINING,
}

_ATTRIBUTES = {
    "W_hh": "net.layers[0].W_hh",
    "W_hy": "net.readout.W_hy",
    "W_xh": "net.layers[0].W_xh",
    "b_h": "net.layers[0].b_h",
    "b_y": "net.readout.b_y",
    "backward": "elman.loss_and_gradients(net, x, y)",
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
    "load_state_dict": "elman.from_torch(state_dict)",
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
    "state_dict": "elman.state_dict(net)",
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

_TRAINER = {
    **dict.fromkeys(
        ("fit", "partial_fit", "step", "train", "train_on_batch"), "trainer.update(x, y)"
    ),
    **dict.fromkeys(("evaluate", "score"), "trainer.loss(x, y)"),
    **dict.fromkeys(("load", "load_state_dict"), "trainer.restore(state)"),
    **dict.fromkeys(("reset_state", "reset_states"), "trainer.reset()"),
    "state_dict": "trainer.state()",
    "zero_grad": "trainer.update(x, y) alone: gradients are not accumulated",
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
    "keras": "elman.from_keras and elman.to_keras",
    "layers": "elman.Network",
    "load_model": "elman.load(path)",
    "losses": "loss= of elman.train, a name",
    "manual_seed": "seed= of elman.Network and elman.train",
    "nn": "elman.Network",
    "onnx": "elman.from_onnx and elman.to_onnx",
    "optim": "elman.Adam and the other optimizers",
    "optimizers": "elman.Adam and the other optimizers",
    "peers": "bench/run.py in a checkout",
    "predict": "net(x)",
    "read_csv": "elman.read_table(path)",
    "save": "net.save(path)",
    "save_model": "net.save(path)",
    "torch": "elman.from_torch and elman.to_torch",
}


def keywords(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to suggest a remedy for unknown keywords; errors name it `name`."""

    def explained(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        required = code.co_argcount - len(function.__defaults__ or ())

        def misuse(count: int, given: Container[str]) -> str | None:
            if count > code.co_argcount:
                return _too_many(name, count, known, code.co_argcount)
            for word in known[count:required]:
                if word not in given:
                    return _missing(name, word, known[:required])
            return None

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError:  # Python's, before the first line of the function; or another
                if (said := _unknown_of(name, kwargs, known) or misuse(len(args), kwargs)) is None:
                    raise
            raise ArgumentTypeError(said)

        return call

    return explained


def settings(kind: type[T]) -> type[T]:
    """Decorate a dataclass to suggest a remedy for unknown settings."""
    kind.__init__ = keywords(kind.__name__)(kind.__init__)  # type: ignore[method-assign]
    return kind


def require_known(name: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    """Raise for the first keyword that is not an argument of the function, with a remedy."""
    if said := _unknown_of(name, given, known):
        raise ArgumentTypeError(said)


def _unknown_of(name: str, given: Iterable[str], known: tuple[str, ...]) -> str | None:
    unknown = (keyword for keyword in given if keyword not in known)
    return next((_unknown(name, keyword, known) for keyword in unknown), None)


def _words(known: Iterable[str]) -> list[str]:
    """Return the names of arguments without that of the object or the class."""
    return [word for word in known if word not in ("self", "cls")]


def _too_many(name: str, count: int, known: tuple[str, ...], most: int) -> str:
    given = _words(known[:most])
    expected = f"{', '.join(given)} and all else" if given else "all arguments"
    return (
        f"{name}: expected {expected} by name, as in {known[most]}=..., got"
        f" {count - most + len(given)} positional arguments"
    )


def _missing(name: str, word: str, required: tuple[str, ...]) -> str:
    expected = ", ".join(_words(required))
    none = ": None for a network without a readout" if word == "output_size" else ""
    return f"{name}: expected {expected}, got no {word}{none}"


def _unknown(name: str, keyword: str, known: tuple[str, ...]) -> str:
    remedy = _WORDS[name].get(keyword)
    if remedy is not None and name == "Trainer":
        remedy = _for_a_trainer(remedy, known)
    elif remedy is not None and _WORDS[name] is _OPTIMIZER and " of " not in remedy:
        words = remedy.replace("=", "").split(" and ")
        remedy = remedy if set(words) <= set(known) else None
    if remedy is None:
        from difflib import get_close_matches

        close = get_close_matches(keyword, _words(known), n=1, cutoff=0.75)
        remedy = f"{close[0]}=" if close else None
    said = f"{keyword}: expected an argument of {name}, got an unknown one"
    return said if remedy is None else f"{said}: use {remedy}"


def _for_a_trainer(remedy: str, known: Container[str]) -> str:
    """Return a remedy of `elman.train`, with the place of an argument that a trainer has not."""
    word = remedy.partition("=")[0]
    if not word.isidentifier() or word in known:
        return remedy
    argument, comma, use = remedy.partition("=, ")
    place = "trainer.update" if word in _OF_UPDATE else "elman.train"
    return f"{argument}= of {place}, {use}" if comma else f"{remedy} of {place}"


def value(given: object, known: Container[str | None]) -> str:
    """Return the remedy for an unknown value: the known one that is meant, or ""."""
    if not isinstance(given, str):
        return ""
    small = given.lower()
    meant = _VALUES.get(small, small)
    return f": use {meant!r}" if meant in known else ""


def require_activation(
    argument: str, name: str, known: Collection[str], usable: Collection[str]
) -> None:
    """Raise for an unknown name of an activation if a near one, of the `usable`, is meant.

    The core raises for all others, and knows other spellings.
    """
    if name in known:
        return
    plain = name.lower().translate({ord(mark): None for mark in "_- "})
    if plain in {other.replace("_", "") for other in known}:
        return
    remedy = _ACTIVATIONS.get(plain)
    if remedy is None and plain not in _NOT_HERE:
        from difflib import get_close_matches

        close = get_close_matches(name.lower(), usable, n=1, cutoff=0.75)
        remedy = repr(close[0]) if close else None
    if remedy is not None:
        *names, last = known
        expected = f"{', '.join(names)} or {last}"
        raise ArgumentError(f"{argument}: expected {expected}, got {show(name)}: use {remedy}")


def attribute(name: str) -> str:
    """Return the message for an attribute that a network does not have."""
    said = f"'Network' object has no attribute {name!r}"
    remedy = _ATTRIBUTES.get(name)
    return said if remedy is None else f"{said}: use {remedy}"


def reader(source: object, own: str) -> str:
    """Return the other framework's reader of an object, for the end of a sentence; or ""."""
    for base in type(source).__mro__:  # of a user's class too
        framework = base.__module__.partition(".")[0].removeprefix("tf_")
        if framework in ("keras", "onnx", "torch"):
            return "" if framework == own else f": use elman.from_{framework}"
    return ""


def of_trainer(name: str) -> str:
    """Return the message for an attribute that a trainer does not have."""
    said = f"'Trainer' object has no attribute {name!r}"
    if name in _TRAINER:
        return f"{said}: use {_TRAINER[name]}"
    remedy = attribute(name).partition(": use ")[2]
    return f"{said}: use {remedy}, with net = trainer.network" if remedy else said


def of_module(name: str) -> str:
    """Return the remedy for a name that the package does not have, or ""."""
    remedy = _MODULE.get(name)
    return "" if remedy is None else f": use {remedy}"
