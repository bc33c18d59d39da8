"""Reverse and bidirectional layers, and masks: results by bits, and against other frameworks.

The promises D1 to D6 of `test_contract.py` apply too. Expected values come from PyTorch and
Keras (`fixtures/make_torch_fixtures.py`, `make_keras_mask_fixtures.py`), from the references, and
from the forward layers of the core on sequences that NumPy has reversed or compacted.
"""

from __future__ import annotations

import itertools
import os
import pathlib

import numpy as np
import pytest

import elman
from elman import reference
from fixtures.bits import assert_same_bits, assert_same_runs
from fixtures.directions import FORWARD, KINDS, make_network, networks
from fixtures.networks import inputs

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
TORCH = np.load(FIXTURES / "torch_bidirectional.npz")
KERAS = np.load(FIXTURES / "keras_masks.npz")
MASKED = ("hold", "zero")
FORCED = os.environ.get("ELMAN_ISA")
FUSED = [i for i in ([FORCED] if FORCED else elman.available_isas()) if i != "sse2"]


def random_mask(rng, B, T):
    """Return random masks, with full and empty rows."""
    mask = rng.random((B, T)) < rng.random((B, 1))
    mask[rng.random(B) < 0.2] = True
    mask[rng.random(B) < 0.1] = False
    return mask


# --- against PyTorch and Keras --------------------------------------------------------------------


def cases(arrays):
    return sorted({name.partition(".")[0] for name in arrays})


def fixture_case(file, case):
    """Return the arrays of one case, and the weights of its layers and its readout."""
    arrays = {n.removeprefix(f"{case}."): file[n] for n in file if n.startswith(f"{case}.")}

    def weights(prefix):
        return tuple(arrays.get(prefix + name) for name in ("W_xh", "W_hh", "b_h"))

    layers = []
    while f"layers.{len(layers)}.W_xh" in arrays:
        prefix = f"layers.{len(layers)}."
        both = f"{prefix}reverse.W_xh" in arrays
        layers.append((weights(prefix), weights(f"{prefix}reverse.")) if both else weights(prefix))
    readout = None
    if "readout.W_hy" in arrays:
        readout = arrays["readout.W_hy"], arrays.get("readout.b_y")
    return arrays, layers, readout


@pytest.mark.parametrize("case", cases(TORCH))
def test_bidirectional_stacks_agree_with_pytorch(case):
    arrays, layers, readout = fixture_case(TORCH, case)
    activation, _, head = case.split("-")
    net = elman.Network.from_weights(
        layers, readout, activation=activation, output_activation=head, direction="bidirectional"
    )
    options = {"state": arrays["state"], "lengths": arrays["lengths"]}
    for run in (net.run(arrays["x"], **options), reference.run(net, arrays["x"], **options)):
        np.testing.assert_allclose(run.output, arrays["output"], rtol=0, atol=1e-14)
        np.testing.assert_allclose(run.state, arrays["final_state"], rtol=0, atol=1e-14)
    assert net.verify(arrays["x"], **options).ok


@pytest.mark.parametrize("case", cases(KERAS))
def test_masks_agree_with_keras(case):
    arrays, layers, readout = fixture_case(KERAS, case)
    net = elman.Network.from_weights(layers, readout, direction=arrays["direction"].tolist())
    x, mask = arrays["x"], arrays["mask"]
    options = {"mask": mask, "masked": "zero" if arrays["zero"] else "hold"}
    x[~mask] = np.nan
    for run in (net.run(x, **options), reference.run(net, x, **options)):
        np.testing.assert_allclose(run.output, arrays["output"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(run.state, arrays["state"], rtol=0, atol=2e-6)
    assert net.verify(x, **options).ok


@pytest.mark.any_isa
def test_plain_python_agrees_with_the_reference(rng):
    for net in networks("float64"):
        x, state = inputs(rng, net, 7), rng.standard_normal(net.state_size)
        w = elman.pure.weights(net)
        y, last = elman.pure.run(w, x.tolist(), state.tolist())
        want = reference.run(net, x, state)
        np.testing.assert_allclose(y, want.output, rtol=0, atol=1e-13)
        np.testing.assert_allclose(last, want.state, rtol=0, atol=1e-13)
        assert elman.pure.run(w, []) == ([], w.initial_state)
        with pytest.raises(ValueError, match=r"^step: "):
            elman.pure.step(w, x[0].tolist(), last)


# --- definition of the directions, bit for bit ----------------------------------------------------


def reversed_by_length(x, lengths):
    """Return rows reversed within their lengths; padding is unchanged."""
    x = x.copy()
    for row, n in zip(x, lengths, strict=True):
        row[:n] = row[:n][::-1]
    return x


@pytest.mark.parametrize("hidden", [1, 8, 33, 130])
def test_a_layer_in_reverse_is_the_forward_layer_on_the_reversed_sequence(rng, dtype, hidden):
    kind = {"inputs": 3, "hidden": (hidden,), "outputs": 4, "everything": True}
    forward = make_network(dtype, direction=["forward"], **kind)
    reverse = make_network(dtype, direction=["reverse"], **kind)
    for B, T in [(1, 1), (1, 70), (2, 9), (7, 40), (130, 5)]:
        x, lengths = inputs(rng, forward, B, T), rng.integers(0, T + 1, B)
        state = rng.standard_normal((B, forward.state_size))
        got = reverse.run(x, state=state, lengths=lengths, return_hidden=True)
        backwards = reversed_by_length(x, lengths)
        want = forward.run(backwards, state=state, lengths=lengths, return_hidden=True)
        assert_same_bits(got.output, reversed_by_length(want.output, lengths))
        assert_same_bits(got.state, want.state)
        hidden_states = reversed_by_length(want.hidden, lengths)
        start = state.astype(dtype)
        for row, first, n in zip(hidden_states, start, lengths, strict=True):
            row[n:] = first  # the padding comes before the first step
        assert_same_bits(got.hidden, hidden_states)


def test_a_bidirectional_stack_is_made_of_its_halves(rng, dtype):
    net = make_network(dtype, **KINDS[2])
    x, n = inputs(rng, net, 9, 23), rng.integers(0, 24, 9)
    run = net.run(x, lengths=n, return_hidden=True)
    below = (x - net.input_mean) * (1 / net.input_std)
    offset = 0
    for layer in net.layers:
        gives = []
        for half in (layer, layer.reverse):
            H = len(half.W_hh)
            alone = elman.Network.from_weights(
                [(half.W_xh, half.W_hh, half.b_h)],
                None,
                activation=half.activation,
                direction="reverse" if half is layer.reverse else "forward",
                initial_state=net.initial_state[offset : offset + H],
            ).run(below, lengths=n, return_hidden=True)
            gives.append(alone.output)
            assert_same_bits(run.state[:, offset : offset + H], alone.state)
            assert_same_bits(run.hidden[..., offset : offset + H], alone.hidden)
            offset += H
        below = np.concatenate(gives, axis=-1)
    assert offset == net.state_size


# --- D1 to D6 -------------------------------------------------------------------------------------


def padded_batch(rng, net, B, T):
    """Return inputs with NaN in the padding, lengths, and the output of each unpadded row."""
    x = inputs(rng, net, B, T)
    lengths = rng.integers(0, T + 1, B)
    lengths[rng.integers(B)] = T
    alone = []
    for row, n in zip(x, lengths, strict=True):
        row[n:] = np.nan
        alone.append(net.run(row[:n], return_hidden=True))
    return x, lengths, alone


def test_a_result_is_repeatable(rng, dtype):
    for net, twin in zip(networks(dtype), networks(dtype), strict=True):
        x = inputs(rng, net, 3, 50)
        assert_same_runs(twin.run(x, return_hidden=True), net.run(x, return_hidden=True))
        assert_same_bits(net(x), net.run(x).output)
        assert_same_bits(net(x, outputs="last"), net(x)[:, -1])


def test_a_padded_row_equals_the_row_alone_in_every_batch_size(rng, dtype):
    for net, (B, T) in itertools.product(networks(dtype), [(1, 9), (130, 4), (5, 150)]):
        x, lengths, alone = padded_batch(rng, net, B, T)
        for count in {1, (B + 1) // 2, B}:
            run = net.run(x[:count], lengths=lengths[:count], return_hidden=True)
            for row in range(count):
                n = lengths[row]
                assert_same_bits(run.output[row, :n], alone[row].output)
                assert not run.output[row, n:].any()
                assert_same_bits(run.hidden[row, :n], alone[row].hidden)
                assert_same_bits(run.state[row], alone[row].state)
        last = net.run(x, lengths=lengths, outputs="last").output
        ends = [
            y.output[-1] if n else np.zeros_like(last[0])
            for y, n in zip(alone, lengths, strict=True)
        ]
        assert_same_bits(last, np.array(ends))


def test_the_number_of_threads_changes_nothing(rng, dtype):
    for net, B in itertools.product(
        [*networks(dtype), make_network(dtype, **FORWARD)], (1, 3, 200)
    ):
        x = inputs(rng, net, B, 9)
        for options in (
            {},
            {"lengths": rng.integers(0, 10, B)},
            {"mask": random_mask(rng, B, 9)},
            {"outputs": "last"},
        ):
            one = net.run(x, threads=1, return_hidden=True, **options)
            for threads in (2, 3, 8):
                got = net.run(x, threads=threads, return_hidden=True, **options)
                assert_same_runs(got, one)


@pytest.mark.skipif(len(FUSED) < 2, reason="only one set here fuses")
def test_all_fused_instruction_sets_agree(rng, dtype):
    for kind, (B, T) in itertools.product(KINDS, [(1, 70), (11, 7), (130, 3)]):
        runs = []
        seed = rng.integers(2**32)
        for name in FUSED:
            with elman.use_isa(name):
                net = make_network(dtype, **kind)
            again = np.random.default_rng(seed)
            x, mask = inputs(again, net, B, T), random_mask(again, B, T)
            runs.append([net.run(x, mask=mask, masked=m, return_hidden=True) for m in MASKED])
        for several in runs[1:]:
            for run, first in zip(several, runs[0], strict=True):
                assert_same_runs(run, first)


def test_long_sequences_are_run_in_groups_that_memory_has_room_for(rng):
    net = make_network("float32", inputs=1, hidden=(8,), outputs=1, direction=["bidirectional"])
    x = inputs(rng, net, 5, 130_000)
    run = net.run(x)
    for b in (0, 2, 4):
        assert_same_bits(run.output[b], net(x[b]))


def test_strided_inputs_and_outputs_change_nothing(rng, dtype):
    for net in networks(dtype):
        x = inputs(rng, net, 2, 3, 20)
        want = net(x)
        out = np.zeros((20, 3, 2, 2 * net.output_size), net.dtype).transpose(2, 1, 0, 3)[..., ::2]
        assert net(np.asfortranarray(x), out=out) is out
        assert_same_bits(out, want)
        assert_same_bits(net(x[:, ::-1, ::-1][:, ::-1, ::-1]), want)


def test_results_are_within_rounding_of_the_reference(rng, isa, dtype):
    for net in networks(dtype):
        x, state = inputs(rng, net, 3, 2, 30), rng.standard_normal((2, net.state_size))
        assert net.verify(x, state=state).ok
        assert net.verify(x, lengths=rng.integers(0, 31, (3, 2))).ok
        report = net.verify(x, mask=rng.random((3, 1, 30)) < 0.5, masked="zero")
        assert report.ok
        assert report.free_running_difference < 1e-3
        assert net.verify(x[0, 0], mask=rng.random(30) < 0.5).ok
        assert net.verify(x[0, 0, :0]).ok


@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_verify_finds_an_error_in_either_half(rng, monkeypatch, way):
    monkeypatch.setattr(reference.judge, "_BLOCK_VALUES", 40)  # several blocks of steps
    net = make_network("float32", **KINDS[2])
    x = inputs(rng, net, 2, 30)
    run = net.run(x, return_hidden=True)
    unit = {"forward": 16 * 2 + 3, "reverse": 16 * 2 + 7 + 3}[way]
    hidden = run.hidden.copy()
    hidden[1, 11, unit] += 1e-4
    report = reference.verify(net, x, run.output, hidden)
    assert not report.ok
    # The state itself, or the next one in the order of the half, which was computed from it.
    part, sequence, step, _ = report.where
    assert (part, sequence) in {(1, (1,)), ("output", (1,))}
    assert step in {11, 12 if way == "forward" else 10}
    assert reference.verify(net, x, run.output, run.hidden).ok


def test_verify_judges_the_results_of_masked_steps(rng):
    net = make_network("float64", **KINDS[2])
    x, mask = inputs(rng, net, 20), np.arange(20) % 3 > 0
    run = net.run(x, mask=mask, return_hidden=True)
    for spoiled in ("output", "hidden"):
        parts = {"output": run.output.copy(), "hidden": run.hidden.copy()}
        parts[spoiled][6] += 1e-12
        assert not reference.verify(net, x, **parts, mask=mask).ok
    zero = net.run(x, mask=mask, masked="zero", return_hidden=True)
    assert reference.verify(net, x, zero.output, zero.hidden, mask=mask, masked="zero").ok
    assert not reference.verify(net, x, zero.output, zero.hidden, mask=mask).ok
    zero.output[6] += 1e-12
    assert not reference.verify(net, x, zero.output, zero.hidden, mask=mask, masked="zero").ok
    zero.output[6] = 0
    assert not reference.verify(net, x, zero.output, zero.hidden, mask=mask, masked="zero").ok
    padded = net.run(x, lengths=7, return_hidden=True)
    assert reference.verify(net, x, padded.output, padded.hidden, lengths=7).ok
    padded.output[8] = net.run(x, mask=np.arange(20) < 7, masked="zero").output[8]
    assert not reference.verify(net, x, padded.output, padded.hidden, lengths=7).ok


def test_verify_runs_freely_over_steps_that_are_not_real(rng, monkeypatch):
    monkeypatch.setattr(reference.judge, "_BLOCK_VALUES", 40)  # several blocks of steps
    net = make_network("float64", **FORWARD)
    x, mask = inputs(rng, net, 3, 20), random_mask(rng, 3, 20)
    for options in ({"lengths": [20, 9, 0]}, *({"mask": mask, "masked": m} for m in MASKED)):
        assert net.verify(x, **options).free_running_difference < 1e-12


# --- masks ----------------------------------------------------------------------------------------


def held(net, alone, mask, state):
    """Return the hidden states at every step, from those of the real steps."""
    T = len(mask)
    real = np.flatnonzero(mask)
    hidden = np.zeros((T, net.state_size), net.dtype)
    offset = 0
    for layer in net.layers:
        for half in (layer, layer.reverse):
            if half is None:
                continue
            part = np.s_[offset : offset + len(half.W_hh)]
            offset += len(half.W_hh)
            backwards = half.direction == "reverse"
            for t in range(T):
                # The nearest real step in the direction that the half comes from.
                where = (
                    np.searchsorted(real, t) if backwards else np.searchsorted(real, t, "right") - 1
                )
                known = 0 <= where < len(real)
                hidden[t, part] = alone.hidden[where, part] if known else state[part]
    return hidden


@pytest.mark.parametrize("kind", [*KINDS, FORWARD], ids=range(len(KINDS) + 1))
def test_masked_steps_are_skipped(rng, dtype, kind):
    net = make_network(dtype, **kind)
    for B, T in [(1, 40), (6, 25), (101, 6)]:
        x, mask = inputs(rng, net, B, T), random_mask(rng, B, T)
        state = rng.standard_normal((B, net.state_size)).astype(dtype)
        x[~mask] = np.nan
        run = net.run(x, mask=mask, state=state, return_hidden=True)
        zero = net.run(x, mask=mask, masked="zero", state=state, return_hidden=True)
        last = net.run(x, mask=mask, state=state, outputs="last")
        zero_last = net.run(x, mask=mask, masked="zero", state=state, outputs="last")
        nothing = of_states(net, np.zeros((1, net.state_size), net.dtype))
        for b in range(B):
            alone = net.run(x[b, mask[b]], state=state[b], return_hidden=True)
            assert_same_bits(run.output[b, mask[b]], alone.output)
            assert_same_bits(zero.output[b, mask[b]], alone.output)
            empty = zero.output[b, ~mask[b]]
            assert_same_bits(empty, np.repeat(nothing, len(empty), axis=0))
            assert_same_bits(run.hidden[b], held(net, alone, mask[b], state[b]))
            assert_same_bits(run.state[b], alone.state)
        assert_same_bits(zero.hidden, run.hidden)
        assert_same_bits(zero.state, run.state)
        assert_same_bits(last.output, run.output[:, -1])
        assert_same_bits(zero_last.output, zero.output[:, -1])
        assert_same_bits(last.state, run.state)
        assert_same_bits(zero_last.state, run.state)
        assert_same_bits(run.output, of_states(net, run.hidden))


def test_the_readout_of_zeros_has_the_same_bits_in_every_call(rng, isa, dtype):
    for kind in [*KINDS, FORWARD]:
        net = make_network(dtype, **kind, masked="zero")
        (B, T, O), I = (7, 30, net.output_size), net.input_size
        x, mask = inputs(rng, net, B, T), random_mask(rng, B, T)
        mask[0], mask[1] = False, np.arange(T) < 4  # none, and a gap at the end
        want = net.run(x).output  # only its shape and dtype
        for b in range(B):
            want[b, mask[b]] = net(x[b, mask[b]])
        want[~mask] = of_states(net, np.zeros((1, net.state_size), net.dtype))
        assert_same_bits(net.run(x, mask=mask).output, want)
        assert_same_bits(net.run(x, mask=mask, threads=3).output, want)
        assert_same_bits(net.run(x[1], mask=mask[1]).output, want[1])
        assert_same_bits(net.run(x.reshape(B, 1, T, I), mask=mask[:, None]).output[:, 0], want)
        out = np.full((T, B, 2 * O), np.nan, net.dtype).transpose(1, 0, 2)[..., ::2]
        assert net.run(x, mask=mask, out=out).output is out
        assert_same_bits(out, want)
        for run, one in zip(net.run(list(x), mask=list(mask), threads=2), want, strict=True):
            assert_same_bits(run.output, one)
        flat, offsets = {"x": x.reshape(-1, I), "mask": mask.ravel()}, np.arange(B + 1) * T
        assert_same_bits(net.run(**flat, offsets=offsets).output, want.reshape(-1, O))
        part = net.run(**flat, offsets=[T, T + 5, 2 * T, 2 * T, 3 * T]).output
        assert not part[:T].any()
        assert not part[3 * T :].any()
        assert_same_bits(part[T : T + 5], net.run(x[1, :5], mask=mask[1, :5]).output)
        last = net.run(**flat, offsets=[0, T, T + 5, T + 5, 3 * T], outputs="last").output
        assert_same_bits(last[0], want[0, -1])
        assert_same_bits(last[1], want[1, 4])
        assert not last[2].any()  # it has no steps
        for threads in (1, 2):
            run = net.run(x, mask=mask, outputs="last", threads=threads)
            assert_same_bits(run.output, want[:, -1])
        ends = net.run(list(x), mask=list(mask), outputs="last")
        assert_same_bits(np.stack([run.output for run in ends]), want[:, -1])


def test_the_last_output_with_a_mask_is_that_of_the_last_step(rng, dtype):
    for kind in [*KINDS, FORWARD]:
        net = make_network(dtype, **kind)
        x, mask = inputs(rng, net, 9, 12), random_mask(rng, 9, 12)
        mask[0], mask[1], mask[2] = True, False, np.arange(12) < 4
        for masked in MASKED:
            options = {"mask": mask, "masked": masked}
            last = net.run(x, outputs="last", **options).output
            assert_same_bits(last, net.run(x, **options).output[:, -1])
        empty = net.run(x[:, :0], mask=mask[:, :0], masked="zero", outputs="last")
        assert not empty.output.any()
        if net.directions[-1] == "forward":  # many to one, over padding
            held = net.run(x, mask=mask, outputs="last").output
            assert_same_bits(held[2], net(x[2, :4], outputs="last"))


def of_states(net, hidden):
    """Return the outputs for states, computed by a readout in the core."""
    top = net.layers[-1]
    width = len(top.W_hh) * (1 if top.reverse is None else 2)
    if net.readout is None:
        W_hy, b_y = np.eye(width, dtype=net.dtype), None
    else:
        W_hy, b_y = net.readout.W_hy, net.readout.b_y
    if net.readout is None:
        y = hidden[..., -width:]
        y = y if net.output_std is None else y * net.output_std
        return y if net.output_mean is None else y + net.output_mean
    copies = elman.Network.from_weights(
        [(np.eye(width, dtype=net.dtype), np.zeros((width, width), net.dtype), None)],
        (W_hy, b_y),
        activation="identity",
        output_activation=net.output_activation,
        output_mean=net.output_mean,
        output_std=net.output_std,
    )
    return copies(hidden[..., -width:])


def test_held_outputs_of_forward_layers_are_those_of_the_last_real_step(rng, dtype):
    net = make_network(dtype, **FORWARD)
    x, mask = inputs(rng, net, 30), rng.random(30) < 0.3
    mask[:3], mask[3] = False, True
    run = net.run(x, mask=mask)
    for t in range(4, 30):
        if not mask[t]:
            assert_same_bits(run.output[t], run.output[t - 1])
    before = reference.run(net, x[:1], mask=[False]).output[0]
    np.testing.assert_allclose(run.output[:3], [before] * 3, rtol=1e-6)


def test_a_long_mask_counts_to_its_end(rng):
    net = make_network("float32", **KINDS[0])
    mask = rng.random(13_000) < np.repeat([0.9, 0.2, 0.0, 0.6], 3250)
    x = inputs(rng, net, len(mask))
    run, alone = net.run(x, mask=mask), net.run(x[mask])
    assert_same_bits(run.output[mask], alone.output)
    assert_same_bits(run.state, alone.state)


def test_a_mask_without_holes_is_a_length_or_nothing(rng, dtype):
    for net in [*networks(dtype), make_network(dtype, **FORWARD)]:
        x, lengths = inputs(rng, net, 7, 20), rng.integers(0, 21, 7)
        whole = net.run(x, return_hidden=True)
        assert_same_runs(net.run(x, mask=np.ones(20, bool), return_hidden=True), whole)
        mask = np.arange(20) < lengths[:, None]
        want = net.run(x, lengths=lengths, return_hidden=True)
        assert not want.output[~mask].any()
        want.output[~mask] = of_states(net, np.zeros((1, net.state_size), net.dtype))
        assert_same_runs(net.run(x, mask=mask, masked="zero", return_hidden=True), want)


@pytest.mark.any_isa
def test_masks_of_every_form_are_accepted(rng):
    net = make_network("float32", **KINDS[1])
    x = inputs(rng, net, 4, 3, 6)
    mask = rng.random((3, 6)) < 0.5
    want = net.run(x, mask=np.broadcast_to(mask, (4, 3, 6))).output
    for same in (mask, mask.astype(int), mask.astype(np.uint8), mask.tolist(), mask[None]):
        assert_same_bits(net.run(x, mask=same).output, want)
    assert_same_bits(
        net.run(x, mask=True).output,
        net(x),
    )
    empty = net.run(x[:, :, :0], mask=np.ones((3, 0), bool), return_hidden=True)
    assert empty.output.shape == (4, 3, 0, 9)
    assert net.run(x[:0], mask=mask).output.shape == (0, 3, 6, 9)


@pytest.mark.any_isa
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask": np.ones(6)}, elman.DTypeError, "mask: .*float64"),
        ({"mask": [0, 1, 2, 0, 1, 1]}, elman.ArgumentError, "mask: .*got 2"),
        ({"mask": [0, -1, 1, 0, 1, 1]}, elman.ArgumentError, "mask: .*got -1"),
        ({"mask": ["a"] * 6}, elman.DTypeError, "mask: .*<U1"),
        (
            {"mask": np.ones(5, bool)},
            elman.ShapeError,
            r"mask: .*\(2, 6\).*\(5,\)",
        ),
        (
            {"mask": np.ones((2, 6, 1), bool)},
            elman.ShapeError,
            r"mask: .*\(2, 6\).*\(2, 6, 1\)",
        ),
        ({"mask": [[True], [True, False]]}, elman.ShapeError, "mask: "),
        (
            {"mask": np.ones(6, bool), "lengths": [6, 6]},
            elman.ArgumentError,
            "mask: .*lengths",
        ),
        (
            {"mask": np.ones(6, bool), "masked": "keep"},
            elman.ArgumentError,
            "masked: .*'keep'",
        ),
        ({"masked": 0}, elman.ArgumentError, "masked: .*0"),
    ],
)
def test_a_wrong_mask_is_one_clear_sentence(options, error, message):
    net = make_network("float32", **KINDS[0])
    with pytest.raises(error, match=f"^{message}"):
        net.run(np.ones((2, 6, 3)), **options)
