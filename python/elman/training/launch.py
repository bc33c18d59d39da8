"""`train`: check the arguments, plan a training run and execute it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from elman import _arguments, _foreign, _frame
from elman._network import require_network
from elman.errors import ArgumentError, ArgumentTypeError
from elman.training import data, optimizers
from elman.training.checkpoint import Saver, description, shapes
from elman.training.run import Plan, fit
from elman.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from elman._network import Network
    from elman.training.checkpoint import Path
    from elman.training.data import Validation
    from elman.training.history import TrainResult
    from elman.training.optimizers import Optimizer, Schedule
    from elman.training.run import Callback


@_foreign.keywords("train")
def train(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: str = "mse",
    optimizer: str | Optimizer = "adam",
    learning_rate: float | None = None,
    epochs: int = 100,
    batch_size: int = 32,
    outputs: str | None = None,
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    step_weight: ArrayLike | None = None,
    bptt_steps: int | None = None,
    update_every: int | None = None,
    carry_state: bool = False,
    shuffle: bool = True,
    seed: int | None = 0,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    weight_decay: float | None = None,
    schedule: Schedule | None = None,
    train_initial_state: bool = False,
    validation: Validation | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    progress: bool = False,
    callback: Callback | None = None,
    threads: int = 1,
) -> TrainResult:
    """Train a copy of a network by backpropagation through time and return it.

    `net` does not change. Targets that its outputs cannot reach, such as -1 with a sigmoid readout,
    are an error; the outputs of `Network(output_activation="identity")` reach every value.
    Everything is computed in the network's dtype in C++, with one call per epoch; the result has
    the same bits for any number of threads.

    Parameters
    ----------
    net : Network
        The network to start from.
    x : array_like, shape (..., T, I), or list of array_like, shape (T_i, I)
        Inputs: any leading batch axes, then time, then features; or sequences of any lengths. An
        array (T, I) is one long series. From data frames, the `inputs` of the network's table, in
        its sequences.
    y : array_like, shape (..., T, O), or (..., O) for the last; without O for classes
        Targets in the scale of the network's outputs; for "cross_entropy" classes 0 to O - 1. A
        list of arrays if `x` is one and `outputs` is "all". From data frames, which may be those
        of `x`, the table's `targets`: labels become classes, the targets of a step are taken
        `horizon` rows later in its sequence, and those of a whole sequence from its last row.
    loss, outputs, lengths, state, sample_weight, step_weight
        The objective; see `loss_and_gradients`.
    optimizer : str or SGD, Adam, AdamW, RMSprop, Adagrad
        "sgd", "adam", "adamw", "rmsprop" or "adagrad" with PyTorch's defaults, or an optimizer with
        settings, such as `elman.SGD(0.1, momentum=0.9)`.
    learning_rate, weight_decay : float, optional
        Override those of the optimizer.
    epochs : int
        Number of passes over the data.
    batch_size : int
        Number of sequences per update; the last batch of an epoch may be smaller.
    bptt_steps, update_every : int, optional
        Truncated BPTT: process each batch in windows of m = `update_every` steps, with one update
        per window and the state carried from window to window; gradients flow back k =
        `bptt_steps` steps from the end of a window. By default m = k (Williams and Peng's
        BPTT(k; m); Keras: `stateful`). `bptt_steps=1` is Elman's original method: the context is an
        input. If only the last output counts there are no windows, and its gradients flow back k
        steps. With neither argument: one update per batch, and gradients flow back to the
        beginning.
    carry_state : bool
        Begin each epoch in the states in which the previous one ended, as on an endless stream.
    shuffle : bool
        Whether to shuffle the sequences before every epoch.
    seed : int, optional
        Determines the order and the held-out part. None: a random one, not with `checkpoint`.
    clip_norm, clip_value : float, optional
        The largest norm of all gradients together (PyTorch: `clip_grad_norm_`), and the largest
        magnitude of each element (PyTorch: `clip_grad_value_`), which is clipped first.
    schedule : {"constant", "cosine", "linear"} or callable, optional
        Factor of the learning rate as a function of the completed fraction of all updates, 0 to 1.
        "cosine" and "linear" decrease to 0.
    train_initial_state : bool
        Whether to train the initial state as well.
    validation : (x, y), mapping or float, optional
        Validation data; or a mapping of their arguments by name (`x`, `y`, `lengths`, `state`,
        `sample_weight`, `step_weight`); or the fraction of the sequences to hold out, chosen by the
        seed, or of a single series the end. The network with the lowest validation loss is
        returned.
    patience : int, optional
        Stop after this many epochs without a lower validation loss, or training loss if there are
        no validation data. The best network is returned (Keras: `EarlyStopping`).
    min_delta : float
        The smallest decrease of the loss that counts as an improvement.
    checkpoint : path, optional
        A file to which training is saved and from which the same call resumes to the same bits.
        More `epochs` continue a run with a constant schedule.
    checkpoint_every : int
        Number of epochs between checkpoints; one is always written at the end of training.
    progress : bool
        Show the progress: in one line on standard error if that is a terminal, or in a notebook.
    callback : callable, optional
        callback(record, trainer), called after each epoch. The record is an `elman.Epoch`:
        `.epoch`, `.loss`, `.validation_loss`, `.learning_rate`. The trainer is the running
        `elman.Trainer`: `trainer.network` is the current network, and `trainer.learning_rate` may
        be set. Training ends if the callback returns True or raises `elman.StopTraining`, and
        continues if it returns None or False; any other value is an error.
    threads : int
        Number of threads, which share the sequences of a batch.

    Returns
    -------
    TrainResult
        `network, history = elman.train(...)`. `history.stopped` is "epochs", "patience", "callback"
        or "interrupt": after Ctrl-C, the result so far is returned.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError, ArgumentTypeError
        If an argument is invalid for this network, loss and optimizer; raised before training.
    DivergenceError
        If a loss or a weight is not finite.

    Warns
    -----
    ScalingWarning
        If inputs, or targets of "mse", have a mean or deviation that training does not work well
        with, after the network's own scaling; the message contains the scaling to use.

    Examples
    --------
    >>> import numpy as np, elman
    >>> x = np.sin(np.arange(200) / 5)[:, None]
    >>> net = elman.Network(
    ...     input_size=1, hidden_size=8, output_size=1, output_activation="identity", seed=0
    ... )
    >>> trained, history = elman.train(
    ...     net, x[:-1], x[1:], epochs=50, learning_rate=0.01, bptt_steps=20
    ... )
    >>> history.loss[-1] < history.loss[0] / 10
    True
    """
    return launch(Trainer, **locals())


def launch(
    make: Callable[..., Trainer],
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: str,
    optimizer: str | Optimizer,
    learning_rate: float | None,
    epochs: int,
    batch_size: int,
    outputs: str | None,
    lengths: ArrayLike | None,
    state: ArrayLike | None,
    sample_weight: ArrayLike | None,
    step_weight: ArrayLike | None,
    bptt_steps: int | None,
    update_every: int | None,
    carry_state: bool,
    shuffle: bool,
    seed: int | None,
    clip_norm: float | None,
    clip_value: float | None,
    weight_decay: float | None,
    schedule: Schedule | None,
    train_initial_state: bool,
    validation: Validation | None,
    patience: int | None,
    min_delta: float,
    checkpoint: Path | None,
    checkpoint_every: int,
    progress: bool,
    callback: Callback | None,
    threads: int,
) -> TrainResult:
    """Train as `train` does, with a trainer that `make` returns for the same arguments."""
    if callback is not None:
        _require_callback(callback)
    if seed is None and checkpoint is not None:
        raise ArgumentError("seed: expected a number with checkpoint, to resume from it, got None")
    require_network(net)
    outputs = _frame.outputs_for(net, x, outputs)
    shown = _arguments.flag("progress", progress)
    if _arguments.flag("train_initial_state", train_initial_state) and state is not None:
        raise ArgumentError("state: expected None with train_initial_state, got a state")
    if callable(learning_rate):  # which a Trainer takes, for updates of its own
        raise ArgumentTypeError(
            f"learning_rate: expected a number, got {_arguments.kind(learning_rate)}: use schedule="
        )
    trainer = make(
        net,
        loss=loss,
        outputs=outputs,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        clip_value=clip_value,
        train_initial_state=train_initial_state,
        threads=threads,
    )
    plan = Plan(
        epochs=_arguments.size("epochs", epochs, least=0),
        batch_size=_arguments.size("batch_size", batch_size),
        bptt_steps=_count("bptt_steps", bptt_steps),
        update_every=_count("update_every", update_every),
        carry_state=_arguments.flag("carry_state", carry_state),
        shuffle=_arguments.flag("shuffle", shuffle),
        seed=_arguments.seed(seed),
        schedule=optimizers.check_schedule(schedule),
        watched=_watched(validation, patience),
        patience=_count("patience", patience),
        min_delta=_arguments.number("min_delta", min_delta, zero=True),
    )
    every = _arguments.size("checkpoint_every", checkpoint_every)
    given = data.collect(net, x, y, outputs, lengths, state, sample_weight, step_weight)
    held_out = None
    if validation is not None:
        trainer._examples(given)  # before the split, so that errors give indices into all of it
        given, held_out = data.with_validation(net, given, validation, outputs, plan.seed)
    saver = None
    if checkpoint is not None:
        settings = {
            "network": description(net),
            "data": shapes(given),
            "validation": shapes(held_out),
            **trainer._settings,
            **plan.settings(),
        }
        saver = Saver(checkpoint, every, settings)
    return fit(
        trainer,
        given,
        held_out,
        plan,
        saver=saver,
        callback=callback,
        progress=shown,
        judge_scale=True,
    )


def _require_callback(callback: object) -> None:
    """Raise unless callback(record, trainer) can be called."""
    if not callable(callback):
        raise ArgumentTypeError(f"callback: expected a function, got {_arguments.kind(callback)}")
    try:
        signature = inspect.signature(callback)
    except ValueError:  # some builtins have none
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise ArgumentTypeError(
            f"callback: expected a function of two arguments, record and trainer, got {signature}"
        ) from None


def _count(argument: str, value: int | None) -> int | None:
    return None if value is None else _arguments.size(argument, value)


def _watched(validation: Validation | None, patience: int | None) -> str | None:
    """Return the name of the losses that determine the best epoch."""
    if validation is not None:
        return "validation_loss"
    return None if patience is None else "loss"
