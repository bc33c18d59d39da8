"""Gradients against PyTorch, the reference and finite differences, and their promised bits.

The error of a tensor is the norm of the difference, relative to the norm of the expected tensor.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import elman
from conftest import FUSED_ISAS
from elman import reference
from fixtures.activations import GENERAL
from fixtures.bits import assert_same_bits
from fixtures.gradient_checks import TOLERANCE, assert_close, assert_same, compute, moved
from fixtures.gradient_fixtures import arguments_of, load, make_network

DIFFERENCES = 1e-8
CASES = load()["cases"]
HIDDEN_ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
READOUTS = (  # loss, output activation
    ("mse", "identity"),
    ("mse", "tanh"),
    ("mse", "sigmoid"),
    ("mse", "relu"),
    ("mse", "softmax"),
    ("mse", "log_softmax"),
    ("mse", None),
    ("bce", "sigmoid"),
    ("cross_entropy", "softmax"),
    ("cross_entropy", "log_softmax"),
)


# --- PyTorch's autograd ---------------------------------------------------------------------------


def test_the_fixtures_are_many():
    assert len(CASES) >= 30


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_those_of_pytorch(name):
    case = CASES[name]
    for dtype, tolerance in TOLERANCE.items():
        loss, gradients = compute(make_network(case, dtype), arguments_of(case))
        assert all(array.dtype == dtype for array in gradients.values())
        got = gradients | {"loss": np.float64(loss)}
        assert_close(got, case["results"], tolerance, dtype)
    loss, gradients = reference.loss_and_gradients(make_network(case), **arguments_of(case))
    got = gradients.tensors() | {"loss": np.float64(loss)}
    assert_close(got, case["results"], 1e-13, "reference")


# --- random architectures -------------------------------------------------------------------------


def random_problem(seed):
    """Return a network and the arguments of a loss: of any kind, but not chaotic.

    No recurrence grows: the spectral norm of W_hh is 0.7.
    """
    rng = np.random.default_rng([1990, seed])
    loss, g = READOUTS[seed % len(READOUTS)]
    sizes = [int(rng.integers(1, 12)) for _ in range(1 + rng.integers(3))]
    I, O = int(rng.integers(1, 6)), int(rng.integers(2, 5))
    T = (0, 1, 2, 64)[seed % 4] if seed < 16 else int(rng.integers(1, 65))
    batch = [(), (1,), (3,), (2, 2), (17,)][rng.integers(5)]
    bias, scaling = rng.random() < 0.7, loss == "mse" and rng.random() < 0.3

    def normal(*shape):
        return rng.standard_normal(shape)

    layers = []
    for size, below in zip(sizes, [I, *sizes], strict=False):
        W_hh = normal(size, size)
        W_hh *= 0.7 / np.linalg.norm(W_hh, 2)
        layers.append((normal(size, below) / below**0.5, W_hh, normal(size) if bias else None))
    readout = None if g is None else (normal(O, sizes[-1]) / sizes[-1] ** 0.5, normal(O))
    if g is None:
        O = sizes[-1]
    options = {"initial_state": normal(sum(sizes))} if rng.random() < 0.4 else {}
    if scaling:
        options |= {"input_mean": normal(I), "input_std": 0.5 + rng.random(I)}
        options |= {"output_mean": normal(O), "output_std": 0.5 + rng.random(O)}
    net = elman.Network.from_weights(
        layers,
        readout,
        activation=[str(name) for name in rng.choice(HIDDEN_ACTIVATIONS, len(sizes))],
        output_activation=g,
        **options,
    )
    return net, random_arguments(rng, net, loss, batch, T)


def random_arguments(rng, net, loss, batch, T):
    """Return the arguments of a loss: lengths, weights and truncation."""
    outputs = "last" if rng.random() < 0.25 else "all"
    steps = (*batch, T) if outputs == "all" else batch
    y = rng.standard_normal((*steps, net.output_size))
    if loss == "bce":
        y = rng.random(y.shape)
    if loss == "cross_entropy":
        y = rng.integers(0, net.output_size, steps)
    arguments = {"x": rng.standard_normal((*batch, T, net.input_size)), "y": y}
    arguments |= {"loss": loss, "outputs": outputs}
    if rng.random() < 0.4:
        arguments["lengths"] = rng.integers(0, T + 1, batch)
    if rng.random() < 0.3:
        shape = batch if rng.random() < 0.7 else ()
        arguments["state"] = rng.standard_normal((*shape, net.state_size))
    if rng.random() < 0.3:
        arguments["sample_weight"] = rng.random(batch)
    if outputs == "all" and rng.random() < 0.3:
        arguments["step_weight"] = rng.random((*batch, T))
    if rng.random() < 0.3:
        arguments["bptt_steps"] = int(rng.integers(1, T + 3))
        if outputs == "all" and rng.random() < 0.5:
            arguments["update_every"] = int(rng.integers(1, arguments["bptt_steps"] + 1))
    if T == 0 or not np.any(arguments.get("lengths", T)) or rng.random() < 0.2:
        arguments["normalizer"] = 10.0  # the sum of the weights may be 0
    return arguments


BLOCKS = [range(start, start + 20) for start in range(0, 240, 20)]


def blocks(count):
    """Parametrize by blocks of seeds: the first by default, the others in slow tests."""
    params = [
        pytest.param(block, marks=() if block in BLOCKS[:count] else pytest.mark.slow)
        for block in BLOCKS
    ]
    return pytest.mark.parametrize("seeds", params, ids=str)


@blocks(4)
def test_gradients_of_random_networks_are_those_of_the_reference(seeds):
    for seed in seeds:
        net, arguments = random_problem(seed)
        loss, gradients = reference.loss_and_gradients(net, **arguments)
        want = gradients.tensors() | {"loss": np.float64(loss)}
        loss, got = compute(net, arguments)
        assert_close(got | {"loss": loss}, want, TOLERANCE["float64"], seed)


@blocks(2)
def test_gradients_in_float32_are_those_of_the_reference(seeds):
    for seed in seeds:
        net, arguments = random_problem(seed)
        narrow = net.astype("float32")
        exact = {
            name: np.asarray(value, np.float32).astype(np.float64)
            if name in ("x", "y", "state") and arguments["y"].dtype.kind == "f"
            else value
            for name, value in arguments.items()
        }
        loss, gradients = reference.loss_and_gradients(narrow, **exact)
        want = gradients.tensors() | {"loss": np.float64(loss)}
        loss, got = compute(narrow, arguments)
        assert_close(got | {"loss": loss}, want, TOLERANCE["float32"], seed)


@pytest.mark.parametrize("seeds", BLOCKS[::3], ids=str)
def test_gradients_of_random_networks_are_those_of_pytorch_here(seeds):
    pytest.importorskip("torch")
    for seed in seeds:
        net, arguments = random_problem(seed)
        loss, got = compute(net, arguments)
        assert_close(got | {"loss": loss}, by_pytorch(net, arguments), TOLERANCE["float64"], seed)


def by_pytorch(net, arguments):
    """Return the loss and gradients by PyTorch, through the loop that makes the fixtures."""
    from fixtures import make_gradient_fixtures

    arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
    settings = {name: value for name, value in arguments.items() if name not in arrays}
    return make_gradient_fixtures.loss_and_gradients(
        net.tensors(), net.activations, net.output_activation, arrays, **settings
    )


def problems_with_numbers(f):
    """Yield networks of an activation with parameters, of one or two panels, and arguments."""
    rng = np.random.default_rng(9)
    for sizes, batch in (((4,), ()), ((7, 40), (3,)), ((70, 9), (20,))):
        net = elman.Network(
            input_size=3,
            hidden_size=list(sizes),
            output_size=5,
            activation=f,
            output_activation=f,
            dtype="float64",
            seed=int(rng.integers(100)),
        )
        yield net, random_arguments(rng, net, "mse", batch, 8)


@pytest.mark.parametrize("f", GENERAL, ids=str)
def test_gradients_of_activations_with_parameters_are_those_of_the_reference(f):
    for net, arguments in problems_with_numbers(f):
        loss, got = compute(net, arguments)
        right, gradients = reference.loss_and_gradients(net, **arguments)
        want = gradients.tensors() | {"loss": np.float64(right)}
        assert_close(got | {"loss": loss}, want, TOLERANCE["float64"], f)


def test_gradients_of_activations_with_parameters_are_those_of_pytorch_here():
    pytest.importorskip("torch")
    for f in GENERAL:
        for net, arguments in problems_with_numbers(f):
            loss, got = compute(net, arguments)
            assert_close(got | {"loss": loss}, by_pytorch(net, arguments), TOLERANCE["float64"], f)


# --- differences of the core's own losses ---------------------------------------------------------


def loss_at(net, arguments, name, change):
    """Return the loss with a tensor or the given state changed, and its pattern.

    The pattern is on which side of their kinks the units of relu are.
    """
    if name == "initial_state" and "state" in arguments:
        arguments = arguments | {"state": arguments["state"] + change}
    else:
        net = moved(net, name, change)
    run = net.run(
        arguments["x"],
        state=arguments.get("state"),
        lengths=arguments.get("lengths"),
        return_hidden=True,
    )
    on = run.hidden[..., np.repeat([f == "relu" for f in net.activations], net.hidden_sizes)] > 0
    if net.output_activation == "relu":
        mean = 0.0 if net.output_mean is None else net.output_mean
        on = np.concatenate([on, run.output > mean], -1)
    return elman.loss_and_gradients(net, **arguments)[0], on.tobytes()


def difference(net, arguments, name, direction):
    """Return the derivative of the loss along a direction, and its rounding error.

    Central differences d(h), extrapolated twice (L. F. Richardson), so that the error is of the
    order h^6, from the longest step at which both extrapolations agree and no unit of relu crosses
    its kink.
    """
    for h in (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6):
        at = [loss_at(net, arguments, name, c * h * direction) for c in (0, 1, -1, 2, -2, 4, -4)]
        d1, d2, d4 = ((at[2 * i + 1][0] - at[2 * i + 2][0]) / (2**i * 2 * h) for i in range(3))
        once, twice = (4 * d1 - d2) / 3, (64 * d1 - 20 * d2 + d4) / 45
        rounding = 16 * np.finfo(float).eps * abs(at[0][0]) / h
        same_side = len({pattern for _, pattern in at}) == 1
        if same_side and abs(twice - once) <= 0.05 * DIFFERENCES * abs(twice) + rounding:
            break
    return twice, rounding


@blocks(2)
def test_gradients_of_random_networks_are_differences_of_losses(seeds):
    for seed in seeds:
        net, arguments = random_problem(seed)
        arguments.pop("bptt_steps", None)  # truncated gradients are not the derivatives of the loss
        arguments.pop("update_every", None)
        rng = np.random.default_rng(seed)
        _, gradients = compute(net, arguments)
        for name, gradient in gradients.items():
            direction = rng.standard_normal(gradient.shape)
            direction /= np.linalg.norm(direction)
            want, rounding = difference(net, arguments, name, direction)
            error = abs((gradient * direction).sum() - want)
            bound = DIFFERENCES * np.linalg.norm(gradient) + rounding
            assert error <= bound, f"{seed} {name}: {error} beyond {bound}"


@pytest.mark.parametrize(
    "seed", [4, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 21, 30))]
)
def test_every_single_number_of_a_gradient_is_a_difference_of_losses(seed):
    net, arguments = random_problem(seed)
    arguments.pop("bptt_steps", None)
    arguments.pop("update_every", None)
    _, gradients = compute(net, arguments)
    for name, gradient in gradients.items():
        want, rounding = np.zeros_like(gradient), np.zeros_like(gradient)
        for index in np.ndindex(gradient.shape):
            unit = np.zeros_like(gradient)
            unit[index] = 1
            want[index], rounding[index] = difference(net, arguments, name, unit)
        error = np.linalg.norm(gradient - want)
        bound = DIFFERENCES * np.linalg.norm(gradient) + np.linalg.norm(rounding)
        assert error <= bound, f"{name}: {error} beyond {bound}"


# --- equal bits -----------------------------------------------------------------------------------


def problems(dtype):
    """Yield a network and arguments of every loss and activation, of awkward sizes."""
    rng = np.random.default_rng(7)
    for (loss, g), f in zip(READOUTS, itertools.cycle(HIDDEN_ACTIVATIONS), strict=False):
        net = elman.Network(
            input_size=3,
            hidden_size=[17, 9],
            output_size=None if g is None else 5,
            activation=["tanh", f],
            output_activation=g or "identity",
            dtype=dtype,
            seed=3,
            initial_state=rng.standard_normal(26),
        )
        arguments = random_arguments(rng, net, loss, (5, 9), 11)
        arguments["lengths"] = rng.integers(0, 12, (5, 9))
        yield net, arguments
    for f, g in itertools.pairwise(GENERAL):
        net = elman.Network(
            input_size=3,
            hidden_size=[17, 9],
            output_size=5,
            activation=[f, g],
            output_activation=f,
            dtype=dtype,
            seed=3,
        )
        yield net, random_arguments(rng, net, "mse", (5, 9), 11)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_any_number_of_threads_gives_the_same_bits(dtype):
    for net, arguments in problems(dtype):
        alone = compute(net, arguments)
        for threads in (2, 3, 7):
            assert_same(compute(net, arguments, threads=threads), alone)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_any_fused_instruction_set_gives_the_same_bits(dtype):
    results = []
    for isa in dict.fromkeys(["scalar", *FUSED_ISAS]):
        with elman.use_isa(isa):
            of_isa = list(problems(dtype))
        assert {net.isa for net, _ in of_isa} == {isa}
        results.append([compute(net, arguments) for net, arguments in of_isa])
    for others in results[1:]:
        for other, one in zip(others, results[0], strict=True):
            assert_same(other, one)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("sequences", "shard"), [(64, 16), (100, 32), (81, 16)])
def test_shards_combined_in_pairs_give_the_bits_of_the_batch(dtype, sequences, shard):
    rng = np.random.default_rng(sequences + shard)
    net = elman.Network(input_size=2, hidden_size=9, output_size=3, dtype=dtype, seed=1)
    x, y = rng.random((sequences, 6, 2)), rng.random((sequences, 6, 3))
    weights = rng.random(sequences)
    options = {"loss": "bce", "normalizer": 6 * weights.sum()}
    whole = elman.loss_and_gradients(net, x, y, sample_weight=weights, **options)
    parts = [
        elman.loss_and_gradients(
            net, x[i : i + shard], y[i : i + shard], sample_weight=weights[i : i + shard], **options
        )
        for i in range(0, sequences, shard)
    ]
    while len(parts) > 1:
        pairs = [
            (one[0] + other[0], one[1] + other[1])
            for one, other in zip(parts[::2], parts[1::2], strict=False)
        ]
        parts = pairs + parts[2 * len(pairs) :]
    assert_same((parts[0][0], parts[0][1].tensors()), (whole[0], whole[1].tensors()))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_padding_does_not_matter_whatever_it_holds(dtype):
    rng = np.random.default_rng(5)
    for net, arguments in problems(dtype):
        if arguments["outputs"] == "last" or "step_weight" in arguments:
            continue
        lengths = np.full((5, 9), 8)
        arguments |= {"lengths": lengths}
        short = arguments | {"x": arguments["x"][..., :8, :], "lengths": None}
        y = arguments["y"]
        short["y"] = y[..., :8] if y.ndim == 3 else y[..., :8, :]
        arguments["x"][..., 8:, :] = np.nan
        if y.ndim == 4:
            y[..., 8:, :] = rng.choice([np.nan, np.inf], y[..., 8:, :].shape)
        assert_same(compute(net, arguments), compute(net, short))


def test_batch_axes_are_only_a_way_to_count_sequences():
    for net, arguments in problems("float64"):
        flat = {
            name: value.reshape(45, *value.shape[2:])
            if isinstance(value, np.ndarray) and value.shape[:2] == (5, 9)
            else value
            for name, value in arguments.items()
        }
        (loss, gradients), (flat_loss, flat_gradients) = compute(net, arguments), compute(net, flat)
        start = flat_gradients["initial_state"].reshape(gradients["initial_state"].shape)
        assert_same((loss, gradients), (flat_loss, flat_gradients | {"initial_state": start}))


@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize(("loss", "g"), [("mse", "tanh"), ("bce", "sigmoid")])
def test_targets_of_any_layout_give_the_bits_of_their_contiguous_copy(rng, loss, g, outputs):
    net = elman.Network(3, 9, 5, output_activation=g, seed=0)
    x = rng.standard_normal((4, 7, 3))
    wide = rng.random((4, 7, 10) if outputs == "all" else (4, 10)).astype(np.float32)
    for y in (wide[..., ::2], wide[::-1, ..., 9:4:-1], np.asfortranarray(wide[..., :5])):
        arguments = {"x": x, "y": y, "loss": loss, "outputs": outputs}
        assert_same(compute(net, arguments), compute(net, arguments | {"y": y.copy("C")}))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (2, 1), (1, 3), (2, 3)], ids=str)
def test_the_gradient_of_a_state_is_summed_over_the_axes_it_is_repeated_on(rng, shape):
    net = elman.Network(3, [5, 4], 2, dtype="float64", seed=0)
    x, y, state = rng.standard_normal((2, 3, 6, 3)), rng.random((2, 3, 6, 2)), np.ones((*shape, 9))
    _, whole = compute(net, {"x": x, "y": y, "state": np.ones((2, 3, 9))})
    want = whole["initial_state"]
    for axis, size in enumerate((1,) * (2 - len(shape)) + shape):
        if size == 1:
            want = want.sum(axis=axis, keepdims=True)
    _, gradients = compute(net, {"x": x, "y": y, "state": state})
    assert gradients["initial_state"].shape == state.shape
    np.testing.assert_allclose(
        gradients["initial_state"], want.reshape(state.shape), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("normalizer", [0.0, -1.0, np.nan, np.inf])
def test_a_normalizer_that_divides_by_nothing_is_refused(normalizer):
    net = elman.Network(1, 2, 1, seed=0)
    with pytest.raises(elman.ArgumentError, match=rf"^normalizer: .*got {normalizer:g}"):
        elman.loss_and_gradients(net, np.zeros((4, 1)), np.zeros((4, 1)), normalizer=normalizer)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_forward_pass_has_the_bits_of_inference(dtype):
    """The targets are the network's outputs: the loss is 0 only if the bits are the same."""
    rng = np.random.default_rng(5)
    for g, sizes in itertools.product(
        ("identity", "tanh", "sigmoid", "relu", "softmax", "log_softmax"),
        ([1], [17], [40, 7], [64, 64]),
    ):
        for scaling in (False, True):
            options = {"output_mean": [3, 4, 5], "output_std": [0.3, 7, 2]} if scaling else {}
            net = elman.Network(
                input_size=5,
                hidden_size=sizes,
                output_size=3,
                output_activation=g,
                dtype=dtype,
                seed=4,
                **options,
            )
            x = rng.standard_normal((19, 13, 5))
            lengths = rng.integers(0, 14, 19)
            for outputs in ("all", "last"):
                y = net.run(x, lengths=lengths, outputs=outputs).output
                loss, gradients = elman.loss_and_gradients(
                    net, x, y, lengths=lengths, outputs=outputs
                )
                assert loss == 0
                assert not any(array.any() for array in gradients.tensors().values())


def test_a_gradient_repeats_itself_and_is_new_each_time():
    net, arguments = next(problems("float64"))
    one, other = compute(net, arguments), compute(net, arguments)
    assert_same(one, other)
    for array in one[1].values():
        array[...] = np.nan
    assert_same(compute(net, arguments), other)


# --- training runs --------------------------------------------------------------------------------


def train(dtype, optimizer, threads, **options):
    rng = np.random.default_rng(8)
    net = elman.Network(input_size=2, hidden_size=[9, 5], output_size=3, dtype=dtype, seed=2)
    x, y = rng.standard_normal((70, 9, 2)), rng.integers(0, 2, (70, 9, 3))
    lengths = rng.integers(1, 10, 70)
    options = {"loss": "bce", "lengths": lengths, "epochs": 3, "batch_size": 33} | options
    result = elman.train(net, x, y, optimizer=optimizer, threads=threads, seed=5, **options)
    return np.array(result.history.loss), result.network


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("sgd", {"clip_value": 0.01}),
        ("adam", {"clip_norm": 0.1, "train_initial_state": True}),
        ("adamw", {"bptt_steps": 4}),
        ("rmsprop", {"bptt_steps": 3, "update_every": 2, "weight_decay": 0.1}),
        ("adagrad", {"validation": 0.3, "patience": 2}),
    ],
)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_training_gives_the_same_bits_on_any_threads_and_instruction_sets(
    dtype, optimizer, options
):
    results = []
    for isa in dict.fromkeys(["scalar", *FUSED_ISAS]):
        with elman.use_isa(isa):
            results += [train(dtype, optimizer, threads, **options) for threads in (1, 2, 3, 7)]
    losses, net = results[0]
    assert not math.isnan(losses[-1])
    for other_losses, other in results[1:]:
        assert_same_bits(other_losses, losses)
        assert other == net
