"""Array arguments of every kind, valid and invalid."""

from __future__ import annotations

import array
import mmap
import pickle

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, DTypeError, LimitError, ShapeError
from fixtures.bits import assert_same_bits
from fixtures.networks import small_network
from fixtures.processes import measures_peak, python

DTYPES = ("float32", "float64")


@pytest.fixture(params=DTYPES)
def net(request):
    return small_network(request.param)


# --- inputs that are not numeric ------------------------------------------------------------------

NOT_NUMBERS = [
    (np.zeros(3, object), "object"),
    (np.zeros(3, "U2"), "<U2"),
    (np.zeros(3, "S2"), "|S2"),
    (np.zeros(3, np.complex64), "complex64"),
    (np.zeros(3, np.complex128), "complex128"),
    (np.zeros(3, "M8[s]"), r"datetime64\[s\]"),
    (np.zeros(3, "m8[s]"), r"timedelta64\[s\]"),
    (np.zeros(3, [("a", "f4"), ("b", "f4")]), r"\[\('a', '<f4'\), \('b', '<f4'\)\]"),
    (np.zeros(3, "V4"), r"\|V4"),
    ([1, 2, "3"], "<U21"),
    ([1, 2, None], "object"),
    ([2**100, 0, 0], "object"),
    ((i for i in range(3)), "object"),
    ({1, 2, 3}, "object"),
    ({"a": 1}, "object"),
    (b"abc", r"\|S3"),
]


@pytest.mark.parametrize(("x", "dtype"), NOT_NUMBERS)
def test_what_is_not_a_real_number_is_a_dtype_error_everywhere(x, dtype):
    net = small_network()
    stream = net.stream()
    with pytest.raises(DTypeError, match=f"^x: .*{dtype}"):
        stream.step(x)
    with pytest.raises(DTypeError, match=f"^chunk: .*{dtype}"):
        stream.run(x)
    with pytest.raises(DTypeError, match=f"^state: .*{dtype}"):
        stream.state = x
    with pytest.raises(DTypeError, match=f"^x: .*{dtype}"):
        net(x)
    with pytest.raises(DTypeError, match=f"^x: .*{dtype}"):
        net.run(x)
    with pytest.raises(DTypeError, match=f"^start: .*{dtype}"):
        net.generate(x, steps=2)
    with pytest.raises(DTypeError, match=f"^state: .*{dtype}"):
        net.run(np.zeros((1, 3)), state=x)


# --- rounding once --------------------------------------------------------------------------------


def identity(dtype):
    """Return a network without a readout whose output is its input."""
    return elman.Network.from_weights(
        [([[1.0]], [[0.0]], None)], None, activation="identity", dtype=dtype
    )


def by_every_route(net, x):
    """Return the outputs for scalars x (N,), read as inputs of size 1."""
    stream = net.stream()
    yield np.concatenate([stream.step(x[i : i + 1]) for i in range(len(x))])
    yield stream.run(x[:, np.newaxis])[:, 0]
    yield net(x[:, np.newaxis])[:, 0]
    yield net.run(x[:, np.newaxis, np.newaxis]).output[:, 0, 0]
    yield net.generate(x[:, np.newaxis, np.newaxis], steps=1)[:, 0, 0]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("to", DTYPES)
def test_integers_are_converted_by_one_rounding(dtype, to):
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 3, info.max // 3 * 2 + 1, info.max - 64], dtype)
    if dtype in ("i8", "u8"):  # through float64, float32 would be rounded twice
        x = np.append(x, np.array([(1 << 60) + (1 << 36) + 1, (1 << 53) + 1], dtype))
    want = np.array([to_nearest(int(value), to) for value in x], to)
    for got in by_every_route(identity(to), x):
        assert_same_bits(got, want)


def to_nearest(value, dtype):
    """Round an integer to `bits` bits, ties to even, in exact arithmetic."""
    excess = max(0, abs(value).bit_length() - {"float32": 24, "float64": 53}[dtype])
    quotient, rest = divmod(abs(value), 1 << excess)
    half = (1 << excess) / 2
    quotient += rest > half or (rest == half and excess > 0 and quotient % 2)
    return float(quotient << excess) * (-1 if value < 0 else 1)


@pytest.mark.parametrize("dtype", ["f2", ">f2", ">f4", ">f8", "f8", "g", "?"])
@pytest.mark.parametrize("to", DTYPES)
def test_floats_of_any_width_and_byte_order_and_booleans_are_converted(dtype, to):
    x = np.array([0.0, 1.0, -0.1, 1 / 3, 2**-14, 1e3], np.longdouble).astype(dtype)
    want = x.astype(to)
    for got in by_every_route(identity(to), x):
        assert_same_bits(got, want)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="longdouble is no wider here")
def test_longdouble_is_rounded_once_and_not_by_way_of_float64():
    x = np.longdouble(1) + np.longdouble(2) ** -24 + np.longdouble(2) ** -60
    assert np.float32(np.float64(x)) == 1  # two roundings
    for got in by_every_route(identity("float32"), np.array([x])):
        assert_same_bits(got, np.array([1 + 2**-23], np.float32))


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("to", DTYPES)
def test_the_small_floats_of_ml_dtypes_are_converted(name, to):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([0.0, 1.0, -0.1, 0.3, 12.0]).astype(getattr(ml_dtypes, name))
    for got in by_every_route(identity(to), x):
        assert_same_bits(got, x.astype(to))


def test_values_beyond_float32_become_infinite():
    net = identity("float32")
    for x, want in [(1e300, np.inf), (-1e300, -np.inf), (1e38, np.float32(1e38))]:
        with np.errstate(over="ignore"):  # NumPy would warn
            one, other = (net.stream(nonfinite="propagate") for _ in range(2))
            got = [net([[x]])[0, 0], one.step([x])[0], other.run([[x]])[0, 0]]
        assert got == [want] * 3


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (2, 4), (1, 1, 1), (2, 3, 4, 5), (0,), (3, 0)])
def test_a_wrong_rank_or_size_is_a_shape_error_with_both_shapes(shape):
    net = small_network()
    x = np.zeros(shape)
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ShapeError, match=rf"^x: expected \(3,\), got {got}"):
        net.stream().step(x)
    with pytest.raises(ShapeError, match=rf"^x: expected \(\.\.\., T, 3\), got {got}"):
        net(x)
    with pytest.raises(ShapeError, match=rf"^start: expected \(\.\.\., T, 3\), got {got}"):
        net.generate(x, steps=1)
    with pytest.raises(ShapeError, match=rf"^chunk: expected \(T, 3\), got {got}"):
        net.stream().run(x)
    with pytest.raises(ShapeError, match=rf"^state: expected \(13,\), got {got}"):
        net.stream(x)


# --- layouts --------------------------------------------------------------------------------------


def unaligned(x):
    memory = np.frombuffer(bytearray(x.nbytes + 1), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    memory[...] = x
    assert not memory.flags.aligned
    return memory


def packed_field(x):
    records = np.zeros(x.shape, np.dtype([("flag", "u1"), ("value", x.dtype)]))
    records["value"] = x
    assert not records["value"].flags.aligned
    return records["value"]


def every_second(x):
    wide = np.full((*x.shape[:-2], 2 * x.shape[-2], 3 * x.shape[-1]), np.nan, x.dtype)
    view = wide[..., 1::2, 2::3]
    view[...] = x
    return view


def backwards(x):
    return x[..., ::-1, ::-1].copy()[..., ::-1, ::-1]


def sliding(x):
    """Return (windows, T, I) whose windows overlap in memory."""
    return np.lib.stride_tricks.sliding_window_view(x, 4, axis=-2).swapaxes(-1, -2)


LAYOUTS = [
    np.asfortranarray,
    unaligned,
    packed_field,
    every_second,
    backwards,
    sliding,
    lambda x: np.broadcast_to(x[:1], x.shape),
    lambda x: np.broadcast_to(x[:, :1], x.shape),
    lambda x: np.broadcast_to(x[..., :1], x.shape),
    lambda x: np.broadcast_to(x[0, 0], (2, 3, *x.shape)),
    lambda x: x.swapaxes(0, 1),
    lambda x: x[::2, 1:-1],
    lambda x: x.astype(x.dtype.newbyteorder()),
    lambda x: np.broadcast_to(x.astype("f2")[:, :1], x.shape),
    lambda x: every_second(x.astype(">f8")),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_of_any_layout_gives_the_bits_of_its_contiguous_copy(net, rng, layout):
    x = layout(rng.standard_normal((5, 9, 3)).astype(net.dtype))
    contiguous = np.ascontiguousarray(x, dtype=net.dtype)
    want = net.run(contiguous, return_hidden=True)
    for got, expected in zip(net.run(x, return_hidden=True, threads=2), want, strict=True):
        assert_same_bits(got, expected)
    flat = x.reshape(-1, *x.shape[-2:])[0] if x.ndim > 3 else x[0]
    first = want.output.reshape(-1, *want.output.shape[-2:])[0]
    assert_same_bits(net.stream().run(flat), first)
    assert_same_bits(np.stack([*map(net.stream().step, flat)]), first)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_states_and_lengths_of_any_layout_are_read_right(rng, layout):
    net = small_network()
    state = layout(rng.standard_normal((5, 9, 13)).astype(net.dtype))
    x = rng.standard_normal((*state.shape[:-1], 2, 3))
    lengths = np.broadcast_to(np.arange(state.shape[-2]) % 3, state.shape[:-1])
    lengths = lengths.astype(">i2")
    got = net.run(x, state=state, lengths=lengths)
    want = net.run(x, state=np.ascontiguousarray(state), lengths=lengths.tolist())
    assert_same_bits(got.output, want.output)
    assert_same_bits(got.state, want.state)


def test_read_only_arrays_are_accepted(net, rng):
    x, state = rng.standard_normal((4, 5, 3)).astype(net.dtype), np.zeros(13, net.dtype)
    want = net.run(x, state=state, lengths=[5, 4, 3, 2])
    lengths = np.array([5, 4, 3, 2])
    for a in (x, state, lengths):
        a.flags.writeable = False
    assert_same_bits(net.run(x, state=state, lengths=lengths).output, want.output)
    assert_same_bits(net.stream(state).run(x[0]), net(x)[0])


# --- zero lengths and huge sizes ------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 7, 3), (5, 0, 3), (0, 0, 3), (2, 0, 7, 3), (0, 3)])
def test_zero_lengths_give_empty_results_and_leave_the_state(net, shape):
    start = np.linspace(0, 1, 13, dtype=net.dtype)
    run = net.run(np.empty(shape), state=start)
    assert run.output.shape == (*shape[:-1], 3)
    assert_same_bits(run.state, np.broadcast_to(start, (*shape[:-2], 13)))
    out = np.empty((*shape[:-1], 3), net.dtype)
    assert net(np.empty(shape), out=out) is out


def test_more_sequences_than_memory_can_address_are_a_limit_error(net):
    x = np.lib.stride_tricks.as_strided(np.zeros(3, "u1"), (2**59, 1, 3), (0, 0, 1))
    with pytest.raises(LimitError, match=r"\(576460752303423488,"):
        net(x)
    with pytest.raises(LimitError, match=r"\(576460752303423488,"):
        net.run(x, outputs="last", threads=2)
    x = np.lib.stride_tricks.as_strided(np.zeros(3, "u1"), (2**30, 2**29, 1, 3), (0, 0, 0, 1))
    with pytest.raises(LimitError, match=r"\(1073741824, 536870912, 1, 3\)"):
        net(x, "last")
    x = np.broadcast_to(np.zeros(3, net.dtype), (2**56, 1, 3))
    with pytest.raises(LimitError, match=r"\(72057594037927936, 13\)"):
        net.run(x, outputs="last", state=np.zeros(13))


def test_results_that_memory_cannot_hold_are_a_memory_error_before_anything_is_computed(net):
    x = np.broadcast_to(np.zeros(3, net.dtype), (2**44, 1, 3))
    with pytest.raises(MemoryError):
        net(x)
    with pytest.raises(MemoryError):
        net.run(x, outputs="last", return_hidden=True)


def test_lengths_that_memory_cannot_hold_are_a_memory_error(net):
    with pytest.raises(MemoryError):
        net.run(np.empty((2**44, 0, 3)), lengths=np.broadcast_to(np.int8(0), 2**44))


@measures_peak
def test_a_huge_array_of_stride_zero_is_not_copied():
    done = python("""
        import elman, numpy as np
        net = elman.Network(input_size=2048, hidden_size=1, output_size=1, seed=0)
        row = np.linspace(0, 1, 2048)
        net(np.broadcast_to(row, (100, 2048)), "last")
        before = from_now()
        for dtype in ("f4", "f8", "u1"):
            giant = np.broadcast_to(row.astype(dtype), (2**16, 2048))  # 512 MiB in float32
            y = net(giant, "last")
            assert (y == net(giant[:1000], "last")).all()  # it has converged long before
            net.stream().run(giant[:2**14])
        print((peak() - before) >> 20)
    """)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MiB


# --- out ------------------------------------------------------------------------------------------


def test_a_wrong_out_is_refused_and_nothing_is_written(net, rng):
    x = rng.standard_normal((4, 7, 3)).astype(net.dtype)
    nines = np.full((4, 7, 3), 9, net.dtype)
    locked = nines.copy()
    locked.flags.writeable = False
    other = "f8" if net.dtype == np.float32 else "f4"
    wrong = [
        (locked, ArgumentError, "out: .*read-only"),
        (unaligned(nines), ArgumentError, "out: .*aligned"),
        (packed_field(nines), ArgumentError, "out: .*aligned"),
        (nines.astype(other), DTypeError, f"out: .*{net.dtype}"),
        (nines.astype(net.dtype.newbyteorder()), DTypeError, "out: .*>f"),
        (nines.astype(object), DTypeError, r"out: .*\|O"),
        (nines.swapaxes(0, 1), ShapeError, r"out: expected \(4, 7, 3\), got \(7, 4, 3\)"),
        (nines[:3], ShapeError, r"out: expected \(4, 7, 3\), got \(3, 7, 3\)"),
        (nines[:0], ShapeError, r"out: expected \(4, 7, 3\), got \(0, 7, 3\)"),
        (np.broadcast_to(nines[0, 0], (4, 7, 3)), ArgumentError, "out: "),
        (nines.tolist(), DTypeError, f"out: .*{net.dtype}.*list"),
        (memoryview(nines), DTypeError, f"out: .*{net.dtype}.*memoryview"),
    ]
    for out, error, message in wrong:
        for run in (net, net.run):
            with pytest.raises(error, match=message):
                run(x, out=out)
        assert (np.asarray(out).astype(float) == 9).all()
        with pytest.raises(elman.ElmanError, match=r"^out: "):
            net.stream().run(x[0], out=out if isinstance(out, list) else out[0:1])


def test_an_empty_out_is_accepted_for_empty_results(net):
    out = np.empty((4, 0, 3), net.dtype)
    assert net(np.empty((4, 0, 3)), out=out) is out


def test_out_that_overlaps_x_is_refused_and_nothing_is_written(net, rng):
    memory = rng.standard_normal((5, 8, 3)).astype(net.dtype)
    kept = memory.copy()
    x = memory[:4, :7]
    overlapping = [memory[:4, :7], memory[1:, :7], memory[:4, 1:], memory[3::-1, :7]]
    for out in overlapping:
        with pytest.raises(ArgumentError, match=r"^out: .*overlaps x"):
            net(x, out=out)
        with pytest.raises(ArgumentError, match=r"^out: .*overlaps x"):
            net.run(x, out=out, threads=2)
    np.testing.assert_array_equal(memory, kept)


def test_out_may_interleave_with_x_as_long_as_they_share_no_number(net, rng):
    memory = rng.standard_normal((4, 7, 6)).astype(net.dtype)
    want = net(memory[..., ::2].copy())
    x = memory[..., ::2]
    net(x, out=memory[..., 1::2])
    assert_same_bits(memory[..., 1::2], want)


def test_out_may_be_the_state_that_was_given_and_cannot_be_the_weights(rng):
    net = elman.Network(input_size=2, hidden_size=2, output_size=2, seed=0)
    x, state = rng.standard_normal((2, 1, 2)), rng.standard_normal((2, 2)).astype(np.float32)
    want = net.run(x, state=state.copy()).output
    assert_same_bits(net.run(x, state=state, out=state[:, np.newaxis]).output, want)
    with pytest.raises(ArgumentError, match="out: "):
        net(x[0].repeat(2, axis=0), out=net.layers[0].W_hh)


# --- other kinds of arrays ------------------------------------------------------------------------

CHANNELS = np.arange(12).reshape(4, 3) / 8


def as_memmap(x, folder):
    memory = np.memmap(folder / "x", x.dtype, "w+", shape=x.shape)
    memory[...] = x
    return memory


def as_mmap(x, folder):
    memory = mmap.mmap(-1, x.nbytes)
    memory.write(x.tobytes())
    return np.frombuffer(memory, x.dtype).reshape(x.shape)


OTHER_KINDS = {
    "list": lambda x, _: x.tolist(),
    "tuple": lambda x, _: tuple(map(tuple, x)),
    "list of arrays": lambda x, _: list(x),
    "memoryview": lambda x, _: memoryview(x),
    "memoryview of array.array": lambda x, _: (
        memoryview(array.array("d", x.ravel())).cast("B").cast("d", x.shape)
    ),
    "list of array.array": lambda x, _: [array.array("f", row) for row in x],
    "numpy.matrix": lambda x, _: np.asmatrix(x),
    "memmap": as_memmap,
    "mmap": as_mmap,
    "a subclass": lambda x, _: x.view(type("Sub", (np.ndarray,), {})),
    "a masked array without a mask": lambda x, _: np.ma.array(x),
    "a masked array with a mask of nothing": lambda x, _: np.ma.array(x, mask=np.zeros_like(x)),
    "__array__": lambda x, _: type("A", (), {"__array__": lambda *_, **__: x})(),
    "__array_interface__": lambda x, _: type(
        "A", (), {"__array_interface__": x.__array_interface__, "owner": x}
    )(),
    "pandas.DataFrame": lambda x, _: pytest.importorskip("pandas").DataFrame(x),
    "torch.Tensor": lambda x, _: pytest.importorskip("torch").tensor(x),
    "polars.DataFrame": lambda x, _: pytest.importorskip("polars").DataFrame(x),
    "xarray.DataArray": lambda x, _: pytest.importorskip("xarray").DataArray(x),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # numpy.matrix
def test_everything_that_numpy_converts_to_an_array_is_accepted(kind, tmp_path):
    net = small_network()
    x = OTHER_KINDS[kind](CHANNELS, tmp_path)
    want = net(CHANNELS)
    got = net(x)
    assert type(got) is np.ndarray
    assert_same_bits(got, want)
    assert_same_bits(net.stream().run(x), want)
    assert_same_bits(net.run(x).output, want)
    rows = x.iloc[0] if kind == "pandas.DataFrame" else None
    if rows is not None:
        assert_same_bits(net.stream().step(rows), want[0])


@pytest.mark.parametrize(
    "row",
    [array.array("d", CHANNELS[1]), memoryview(CHANNELS.ravel())[3:6], range(3), bytearray(3)],
)
def test_a_step_takes_any_buffer_or_sequence(row):
    net = small_network()
    want = net(np.asarray(row)[np.newaxis])[0]
    assert_same_bits(net.stream().step(row), want)


def test_a_masked_element_is_refused(net):
    x = np.ma.array(CHANNELS, mask=CHANNELS[1, 1] == CHANNELS)
    stream = net.stream()
    calls = [
        ("x", lambda: net(x)),
        ("x", lambda: net.run(x)),
        ("x", lambda: net.verify(x)),
        ("start", lambda: net.generate(x, steps=2)),
        ("start", lambda: net.generate(x, steps=2, feedback=lambda y: y)),
        ("chunk", lambda: stream.run(x)),
        ("x", lambda: stream.step(x[1])),
        ("state", lambda: net.run(CHANNELS, state=np.ma.masked_equal(np.ones(13), 1))),
    ]
    for argument, call in calls:
        count = 13 if argument == "state" else 1
        with pytest.raises(DTypeError, match=rf"^{argument}: .*\b{count} masked"):
            call()
    assert_same_bits(stream.state, np.zeros(13, net.dtype))


def test_a_subclass_may_be_out_and_is_returned(net):
    out = np.empty((4, 3), net.dtype).view(type("Sub", (np.ndarray,), {}))
    assert net(CHANNELS, out=out) is out
    np.testing.assert_array_equal(out, net(CHANNELS))


def test_an_object_on_a_device_is_refused(net):
    class Device:
        def __dlpack__(self, **_):
            raise BufferError("on a device")

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(DTypeError, match=r"^x: .*object"):
        net.stream().step(Device())


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": (4, -3), "typestr": "<f8", "version": 3, "data": bytes(96)},
        {"shape": (4, 3), "typestr": "<x8", "version": 3, "data": bytes(96)},
        {"shape": "4", "typestr": "<f8", "version": 3, "data": bytes(96)},
        {"shape": (2**62, 3), "typestr": "<f8", "version": 3, "data": bytes(96)},
    ],
)
def test_an_array_interface_that_lies_is_refused(lie):
    net = small_network()
    liar = type("Liar", (), {"__array_interface__": lie})()
    with pytest.raises((ValueError, TypeError, BufferError)) as caught:
        net(liar)
    assert "rows of different lengths" not in str(caught.value)


# --- equal dtypes that are different objects ------------------------------------------------------


def dtypes_of_others(dtype):
    """Yield native dtypes that are not NumPy's own objects."""
    yield pickle.loads(pickle.dumps(np.dtype(dtype))).newbyteorder().newbyteorder()
    yield pickle.loads(pickle.dumps(np.empty(1, dtype))).dtype
    yield np.dtype(dtype, metadata={"unit": "m"})


def test_an_array_with_a_dtype_of_its_own_is_written_in_place(net, rng):
    for dtype in dtypes_of_others(net.dtype):
        x = rng.standard_normal((7, 3)).astype(net.dtype)
        given, y = x.astype(dtype), np.empty((7, net.output_size), net.dtype).astype(dtype)
        assert net(given, out=y) is y
        assert_same_bits(y.astype(net.dtype), net(x))
        stream = net.stream()
        for x_t, y_t in zip(given, np.array(y), strict=True):
            out = np.zeros(net.output_size, dtype)
            assert stream.step(x_t, out=out) is out
            assert_same_bits(out, y_t)


def test_lengths_of_any_integer_type_are_read_and_the_wrong_one_is_named(net):
    x = np.zeros((2, 4, 3))
    for kind in ("i1", "u1", ">i2", "u4", "i8", "u8"):
        y = net.run(x, lengths=np.array([4, 2], kind)).output
        assert not y[1, 2:].any()
        assert y[1, :2].any()
    for wrong, kind in ((-1, "i1"), (5, "u1"), (2**64 - 1, "u8"), (-(2**63), "i8")):
        with pytest.raises(elman.ArgumentError, match=rf"^lengths: .*\b4\b.*{wrong}"):
            net.run(x, lengths=np.array([4, wrong], kind))
