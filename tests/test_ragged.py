"""Sequences of different lengths, as a list or flat with offsets: same bits as one by one."""

import numpy as np
import pytest

import elman

LENGTHS = (5, 0, 7, 7, 1, 40)
DIRECTIONS = ("forward", "reverse", "bidirectional")


def network(direction, dtype="float32"):
    return elman.Network(3, [8, 5], 2, seed=0, direction=direction, dtype=dtype)


@pytest.fixture
def xs(rng):
    return [rng.standard_normal((T, 3)).astype(np.float32) for T in LENGTHS]


def assert_same(got, want):
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_sequences_gives_a_list_of_outputs(xs, direction, kind):
    net = network(direction)
    ys = net(kind(xs))
    assert type(ys) is list
    assert_same(ys, [net(x) for x in xs])
    assert_same(net(kind(xs), outputs="last"), [net(x, outputs="last") for x in xs])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("threads", "dtype"), [(1, "float64"), (3, "float32")])
def test_run_gives_a_list_of_runs(xs, direction, threads, dtype):
    net = network(direction, dtype)
    runs = net.run(xs, return_hidden=True, threads=threads)
    assert all(isinstance(run, elman.Run) for run in runs)
    for run, x in zip(runs, xs, strict=True):
        assert_same(run, net.run(x, return_hidden=True))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("masked", ["hold", "zero"])
def test_a_list_has_a_list_of_masks(rng, xs, direction, masked):
    net = network(direction)
    masks = [rng.random(len(x)) < 0.6 for x in xs]
    runs = net.run(xs, mask=masks, masked=masked, return_hidden=True, threads=2)
    for run, x, mask in zip(runs, xs, masks, strict=True):
        assert_same(run, net.run(x, mask=mask, masked=masked, return_hidden=True))


def test_a_list_begins_where_its_states_say(rng, xs):
    net = network("forward")
    state = rng.standard_normal((len(xs), 13)).astype(np.float32)
    for run, x, h in zip(net.run(xs, state=state), xs, state, strict=True):
        assert_same(run[:2], net.run(x, state=h)[:2])


def test_equal_lengths_are_a_list_too(rng):
    net = network("forward")
    x = rng.standard_normal((4, 6, 3))
    assert_same(net(list(x)), list(net(x)))


@pytest.mark.parametrize("x", [[[1.0, 2, 3], [4, 5, 6]], [np.ones(3), np.ones(3)], [[[1, 2, 3]]]])
def test_nested_lists_of_numbers_are_one_array(x):
    net = network("forward")
    y = net(x)
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, net(np.array(x)))
    assert isinstance(net.run(x), elman.Run)


@pytest.mark.parametrize(
    ("direction", "integer"), [*zip(DIRECTIONS, (np.int32, np.int64, np.uint8), strict=True)]
)
def test_offsets_cut_flat_steps_into_sequences(xs, direction, integer):
    net = network(direction)
    values, offsets = np.concatenate(xs), np.cumsum([0, *LENGTHS]).astype(integer)
    run = net.run(values, offsets=offsets, return_hidden=True, threads=2)
    alone = [net.run(x, return_hidden=True) for x in xs]
    np.testing.assert_array_equal(run.output, np.concatenate([each.output for each in alone]))
    np.testing.assert_array_equal(run.hidden, np.concatenate([each.hidden for each in alone]))
    np.testing.assert_array_equal(run.state, np.stack([each.state for each in alone]))
    last = net.run(values, offsets=offsets, outputs="last").output
    assert_same(last, [net(x, outputs="last") for x in xs])


@pytest.mark.parametrize("kept", [slice(2, 4), slice(0, 2), slice(2, None)], ids=str)
def test_offsets_may_leave_out_rows_at_either_end(xs, kept):
    net = network("forward")
    ends = np.cumsum([0, *LENGTHS])
    values, offsets = np.concatenate(xs), np.append(ends[:-1][kept], ends[1:][kept][-1])
    out = np.full((len(values), 2), np.nan, np.float32)
    run = net.run(values, offsets=offsets, return_hidden=True, out=out)
    assert run.output is out
    first, *_, end = offsets
    for row, x in zip(offsets, xs[kept], strict=False):
        np.testing.assert_array_equal(out[row : row + len(x)], net(x))
    for rows in (run.output, run.hidden):
        assert not rows[:first].any()
        assert not rows[end:].any()
    assert run.state.shape == (len(offsets) - 1, 13)


def test_values_with_offsets_are_read_where_they_lie(xs):
    net = network("forward")
    wide = np.zeros((sum(LENGTHS), 7), np.float32)
    wide[:, 1:7:2] = np.concatenate(xs)
    run = net.run(wide[:, 1:7:2], offsets=np.cumsum([0, *LENGTHS]))
    np.testing.assert_array_equal(run.output, np.concatenate([net(x) for x in xs]))


def test_no_sequence_and_no_step_are_fine():
    net = network("forward")
    values = np.zeros((0, 3), np.float32)
    assert net.run(values, offsets=[0]).state.shape == (0, 13)
    run = net.run(values, offsets=[0, 0], outputs="last")
    assert_same([run.output[0], run.state[0]], [np.zeros(2, np.float32), np.zeros(13, np.float32)])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"offsets": [0, 7]}, elman.ArgumentError, r"offsets\[1\]: .*got 7"),
        ({"offsets": [4, 2]}, elman.ArgumentError, r"offsets\[1\]: .*got 2"),
        ({"offsets": [-1, 2]}, elman.ArgumentError, r"offsets\[0\]: .*got -1"),
        ({"offsets": []}, elman.ShapeError, r"offsets: "),
        ({"offsets": [[0, 6]]}, elman.ShapeError, r"offsets: "),
        ({"offsets": [0.0, 6.0]}, elman.DTypeError, r"offsets: .*float"),
        ({"offsets": [0, 6], "lengths": [6]}, elman.ArgumentError, "lengths: "),
        ({"offsets": [0, 6], "mask": np.ones(5, bool)}, elman.ShapeError, "mask: "),
        ({"offsets": [0, 6], "state": np.ones((2, 13))}, elman.ShapeError, "state: expected"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(options, error, message):
    net = network("forward")
    with pytest.raises(error, match=f"^{message}"):
        net.run(np.zeros((6, 3), np.float32), **options)
    with pytest.raises(elman.ShapeError, match=r"^x: expected \(steps of all sequences, 3\)"):
        net.run(np.zeros((2, 6, 3), np.float32), offsets=[0, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net, xs: net([*xs, np.ones(3)]), r"x\[6\]: expected \(T, 3\), got \(3,\)"),
        (lambda net, xs: net([np.ones((2, 4))]), r"x\[0\]: expected \(T, 3\), got \(2, 4\)"),
        (lambda net, xs: net(xs, out=xs[0]), "out: "),
        (lambda net, xs: net.run(xs, lengths=[1]), "lengths: "),
        (lambda net, xs: net.run(xs, offsets=[0]), "offsets: "),
        (lambda net, xs: net.run(xs, mask=[1]), "mask: "),
        (lambda net, xs: net.run(xs, mask=[[1]] * 6), r"mask\[0\]: expected \(5,\), got \(1,\)"),
        (lambda net, xs: net.run(xs, state=np.ones((5, 13))), "state: expected"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(xs, change, message):
    with pytest.raises(elman.ElmanError, match=f"^{message}"):
        change(network("forward"), xs)


def test_many_short_sequences_beside_a_long_one_take_no_padding(rng):
    """Padded to the longest, the inputs would take 4 GB."""
    net = elman.Network(1, 4, 1, seed=0)
    xs = [np.zeros((1, 1), np.float32)] * 10_000 + [np.zeros((100_000, 1), np.float32)]
    ys = net(xs)
    np.testing.assert_array_equal(ys[0], ys[-1][:1])
    assert len(ys[-1]) == 100_000


def test_each_number_of_a_list_is_rounded_once():
    """Through float64, the common dtype of float32 and int64, this value would be rounded down."""
    net = elman.Network(1, 1, None, seed=0, activation="identity")
    exact = 2**60 + 2**36 + 1  # just above the midpoint of two float32 values
    numbers = np.array([[exact]])
    assert numbers.astype(np.float32) != numbers.astype(np.float64).astype(np.float32)
    first, _ = net([numbers, np.zeros((2, 1), np.float32)])
    np.testing.assert_array_equal(first, net(numbers))


def test_numbers_of_a_list_beyond_the_range_become_infinite_with_a_warning():
    net = network("forward")
    with pytest.warns(RuntimeWarning, match="overflow"):
        net([np.full((1, 3), 1e300)])


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (np.ma.masked_less(np.ones((2, 3)), 2), "expected an array without masked elements, got 6"),
        (np.zeros((2, 3), "M8[s]"), "expected real numbers, got dtype datetime64"),
        (np.zeros((2, 3), [("a", "f4")]), "expected real numbers, got dtype "),
        (np.full((2, 3), "1"), "expected real numbers, got dtype <U1"),
        (np.ones((2, 3), object), "expected real numbers, got dtype object"),
        (np.ones((2, 3), complex), "expected real numbers, got dtype complex128"),
    ],
)
def test_a_sequence_in_a_list_that_is_not_numeric_is_named(odd, message):
    net = network("forward")
    usual = np.ones((2, 3), np.float32)
    with pytest.raises(elman.DTypeError, match=rf"^x\[1\]: {message}"):
        net([usual, odd])
    with pytest.raises(elman.DTypeError, match=rf"^x\[0\]: {message}"):
        net.run([odd])


@pytest.mark.parametrize(
    ("odd", "error", "message"),
    [
        (np.ma.masked_less([True, True], 2), elman.DTypeError, "expected an array without masked"),
        (np.zeros(2, "M8[s]"), elman.DTypeError, "expected booleans, or integers 0 and 1, got dty"),
        ([0.5, 1], elman.DTypeError, "expected booleans, or integers 0 and 1, got dtype float64"),
        ([2, 1], elman.ArgumentError, "expected 0 or 1, got 2"),
        (np.array([2**64 - 1, 1], np.uint64), elman.ArgumentError, "expected 0 or 1, got 1844674"),
    ],
)
def test_an_invalid_mask_in_a_list_is_named(odd, error, message):
    with pytest.raises(error, match=rf"^mask\[1\]: {message}"):
        network("forward").run([np.ones((2, 3))] * 2, mask=[[True, False], odd])


def test_masks_of_different_integers_are_masks_of_booleans():
    net = network("forward")
    xs = [np.ones((2, 3)), np.ones((0, 3)), np.ones((2, 3))]
    mask = [np.array([0, 1], np.int64), [], np.array([1, 0], np.uint64)]
    for run, x, m in zip(net.run(xs, mask=mask), xs, mask, strict=True):
        assert_same(run[:2], net.run(x, mask=np.asarray(m, bool))[:2])


def test_calls_that_take_one_array_refuse_a_list_of_sequences():
    net = elman.Network(2, 3, 1, output_activation="identity", seed=0)
    x = [np.ones((3, 2)), np.ones((4, 2))]
    with pytest.raises(elman.ShapeError, match=r"^x: .*list"):
        net.verify(x)
    with pytest.raises(elman.ShapeError, match=r"^x: .*list.*lengths="):
        elman.ridge_readout(net, x, [np.ones((3, 1)), np.ones((4, 1))])
