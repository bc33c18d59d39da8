"""What stands beside the weights in PyTorch's files, modules that were saved whole, old files."""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import datetime
import enum
import functools
import io
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, LimitError, ModelFormatError, UnsupportedModelError
from elman.interop.torch import file as torch_file
from elman.interop.torch.names import of_mapping
from fixtures.guarded import read_guarded
from fixtures.torch_files import (
    MAGIC,
    Tensor,
    module,
    named,
    pickled,
    saved,
    saved_before_1_6,
)

pytestmark = pytest.mark.any_isa

RNG = np.random.default_rng(0)
ARRAYS = {
    "rnn.weight_ih_l0": RNG.normal(size=(4, 3)).astype("f4"),
    "rnn.weight_hh_l0": RNG.normal(size=(4, 4)).astype("f4"),
    "rnn.bias_ih_l0": RNG.normal(size=4).astype("f4"),
    "rnn.bias_hh_l0": np.zeros(4, "f4"),
    "fc.weight": RNG.normal(size=(2, 4)).astype("f4"),
    "fc.bias": RNG.normal(size=2).astype("f4"),
}
NEW, OLD = saved, saved_before_1_6
READ = {"activation": "tanh", "output_activation": "identity"}


def state_dict():
    return collections.OrderedDict((name, Tensor(array)) for name, array in ARRAYS.items())


def load(data, folder, name="model.ckpt", **options):
    """Read the bytes of a file with `elman.from_torch`."""
    (folder / name).write_bytes(data)
    return elman.from_torch(folder / name, **(READ | options))


def assert_read(net):
    expected = elman.from_torch(ARRAYS, **READ)
    assert net.tensors().keys() == expected.tensors().keys()
    for key, array in expected.tensors().items():
        np.testing.assert_array_equal(net.tensors()[key], array)


# --- beside the weights ---------------------------------------------------------------------------


class Words(dict):
    """A dictionary of a class."""


class Losses(list):
    """A list of a class."""


@dataclasses.dataclass
class Settings:
    """Some settings."""

    hidden: int = 4
    words: object = None


class Color(enum.Enum):
    """A colour."""

    RED = 1


class WithKeywords:
    """Pickled by NEWOBJ_EX."""

    def __getnewargs_ex__(self):
        return (1,), {"a": 2}


def loop():
    """Return a list and a dictionary that contain each other."""
    made = [1]
    made.append({"again": made, (1, 2): made})
    return made


BESIDE = {
    "dtype": named("torch", "float64"),
    "a class": named("torch.optim.adam", "Adam"),
    "a loss": module(named("torch.nn.modules.loss", "MSELoss"), reduction="mean"),
    "a path": pathlib.PurePosixPath("/a/b"),
    "a namespace": argparse.Namespace(lr=0.1, layers=[1, 2]),
    "a dataclass": Settings(words=Words(a=1)),
    "an enum": Color.RED,
    "a partial": functools.partial(int, base=2),
    "a date": datetime.datetime(2020, 1, 1),
    "a function": len,
    "a float64 of NumPy": np.float64(1.5),
    "an array of NumPy": np.arange(3),
    "a set": {1, "a", (1, 2)},
    "a frozenset": frozenset({1, 2}),
    "a Counter": collections.Counter("aab"),
    "a defaultdict": collections.defaultdict(list, {"a": [1]}),
    "an OrderedDict of a class": Words({1: 2, "a": [3]}),
    "a list of a class": Losses([1.0, 2.0]),
    "keywords": WithKeywords(),
    "bytes": b"x",
    "a bytearray": bytearray(b"y"),
    "a complex number": 1 + 2j,
    "large integers": [10**400, -(10**40), 2**64],
    "keys": {(1, 2): 3, None: 4, 2.5: 5, True: 6, frozenset(): 7, 10**30: 8, b"x": 9},
    "constants": [..., NotImplemented, None, True],
    "nested": [[1, [2, [(3,)]]], (), ((),)],
    "a range and a slice": [range(3), slice(1)],
    "itself": loop(),
    "a complex tensor": Tensor(np.ones(2, "c8")),
    "integers": Tensor(np.arange(3)),
    "settings": {"weight": [1.0, 2.0], "bias": pathlib.PurePosixPath("/a"), "lr": 1},
    "words": {f"word{i}": i for i in range(20_000)},
    "losses": [float(i) for i in range(40_000)],
}


@pytest.mark.parametrize("protocol", range(1, 6))
@pytest.mark.parametrize("write", [NEW, OLD])
def test_anything_beside_the_weights_is_read_past(write, protocol, tmp_path):
    value = {"epoch": 3, **BESIDE, "state_dict": state_dict(), "at the end": BESIDE["keys"]}
    assert_read(load(write(value, protocol), tmp_path))


@pytest.mark.parametrize("beside", BESIDE)
def test_each_thing_beside_the_weights_is_read_past(beside, tmp_path):
    for write in (NEW, OLD):
        assert_read(load(write({"model": state_dict(), "other": BESIDE[beside]}), tmp_path))
        assert_read(
            load(
                write({beside: BESIDE[beside], **state_dict()}),
                tmp_path,
                readout="fc",
                prefix="rnn",
            )
        )


def test_every_operation_of_pickle_is_known():
    from elman.interop.torch import pickles

    every = {operation.name for operation in pickles.pickletools.opcodes}
    assert pickles._OPERATIONS.keys() == every


ODD = {  # operations that Python's own pickler does not write, and their values
    "an object by its class": b"(cm\nC\nK\x01o",
    "an instance": b"(K\x01im\nC\n",
    "an object with attributes": b"(im\nC\n}(X\x01\0\0\0aK\x01ub",
    "an extension": b"\x82\x01",
    "extensions of two and four bytes": b"\x83\x01\0\x84\x01\0\0\0\x86",
    "a call of an extension": b"\x82\x01)R",
    "a buffer out of band": b"\x97\x98",
    "a value that is dropped": b"NN0",
    "marks that are dropped": b"N(NN1(0",
    "a value twice": b"N2\x86",
    "text of Python 2": b"(U\x01\xe9T\x01\0\0\0\xffS'a\\x00b'\nV\\u20ac\nl",
    "numbers as text": b"(I01\nI5\nL7L\nF1.5\nl",
    "a dictionary from a mark": b"(N(lV\nK\x01d",
    "the memo as text": b"Np5\n0g5\n",
    "an entry of the memo far away": b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff",
    "a call of a call": b"cm\nf\n)R)R",
    "a new object of a value": b"N)\x81",
    "arguments that are no tuple": b"cm\nf\nNR",
    "a call of os.system": b"cos\nsystem\n(X\x04\0\0\0exittR",
    "a dictionary of a class with a tensor's name": b"ctorch\nTensor\n)R(V\nNu",
}


@pytest.mark.parametrize("operations", ODD)
def test_odd_operations_are_read_past(operations, tmp_path):
    data, storages = pickled(state_dict())
    assert data[-2:] == b"u."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a/data.pkl", data[:-1] + b"X\x01\0\0\0z" + ODD[operations] + b"s.")
        for key, array in enumerate(storages):
            made.writestr(f"a/data/{key}", array.tobytes())
    assert_read(load(file.getvalue(), tmp_path))


def test_nothing_of_the_file_is_imported_or_called(tmp_path):
    class Evil:
        def __reduce__(self):
            return named("os", "system"), (f"touch {tmp_path}/hacked",)

    for index, write in enumerate((NEW, OLD)):
        value = {"evil": Evil(), "key": {Evil(): 1}, "state_dict": state_dict(), **BESIDE}
        (tmp_path / f"{index}.pt").write_bytes(write(value))
    paths = sorted(tmp_path.iterdir())
    prepare = "import zipfile, zlib, safetensors, elman.interop.torch.reading; elman.Network"
    read = f"elman.from_torch(path, **{READ})"
    for seen in read_guarded(paths, prepare, read).values():
        assert (seen["error"], seen["events"]) == ("none", [])
    assert sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize(
    ("weight", "got"),
    [
        (Tensor(np.ones((4, 4), "c8")), "a tensor in torch.ComplexFloatStorage"),
        (Tensor(ARRAYS["rnn.weight_hh_l0"], function="_rebuild_sparse_tensor"), "a sparse tensor"),
        (Tensor(ARRAYS["rnn.weight_hh_l0"], function="_rebuild_qtensor"), "a quantized tensor"),
        (Tensor(ARRAYS["rnn.weight_hh_l0"], function="_rebuild_nested_tensor"), "a nested tensor"),
        (np.ones((4, 4)), "'numpy.ndarray'"),
        ([[1.0]], "list"),
        (Settings(), "'test_torch_objects.Settings'"),
    ],
)
def test_what_is_no_dense_tensor_is_refused_as_a_weight(weight, got, tmp_path):
    value = state_dict() | {"rnn.weight_hh_l0": weight}
    message = f"^rnn.weight_hh_l0: expected a dense tensor of real numbers, got {got}"
    with pytest.raises(UnsupportedModelError, match=message):
        load(saved(value), tmp_path)


def test_tensors_that_are_expanded_or_parts_of_others_are_read():
    flat = np.arange(40, dtype="f4")
    value = {
        "part": Tensor(flat[3:15].reshape(3, 4)),
        "turned": Tensor(flat[8:20].reshape(3, 4).T),
        "spread": Tensor(flat[::3][:5]),
    }
    for data in (saved(value), saved_before_1_6(value)):
        got = torch_file.read_pt(data)
        for name, tensor in value.items():
            np.testing.assert_array_equal(got[name], tensor.array)


# --- where weights are seen -----------------------------------------------------------------------


class Bag:
    """An object with any attributes."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slots:
    """An object without a dictionary."""

    __slots__ = ("model",)

    def __init__(self, model):
        self.model = model


@pytest.mark.parametrize(
    "value",
    [
        Bag(model=state_dict()),
        Slots(state_dict()),
        [state_dict(), 1],
        (1, state_dict()),
        Words(state_dict()),
        Losses([state_dict()]),
        collections.defaultdict(int, state_dict()),
        collections.Counter(state_dict()),
        {"hyper_parameters": argparse.Namespace(net=Bag(weights=Words(state_dict())))},
        {(1, 2): state_dict(), None: 1, frozenset(): 2},
        functools.partial(print, state_dict()),
    ],
)
def test_weights_in_an_object_are_seen(value, tmp_path):
    for protocol in (2, 4):
        assert_read(load(saved(value, protocol), tmp_path))


def test_two_state_dicts_are_not_one_because_an_object_has_the_other(tmp_path):
    others = {name: Tensor(array + 1) for name, array in ARRAYS.items()}
    value = {"state_dict": state_dict(), "hyper_parameters": Bag(best=others)}
    with pytest.raises(
        ArgumentError, match=r"one state_dict.*'state_dict', 'hyper_parameters.best'"
    ):
        load(saved(value), tmp_path)


def test_entries_of_one_name_are_both_seen():
    value = {"x": {1: Tensor(np.zeros(1)), "1": Tensor(np.ones(1)), (): Tensor(np.ones(1) * 2)}}
    value["y"] = bag = Words(a=Tensor(np.ones(1) * 3))
    bag.a = Tensor(np.ones(1) * 4)
    got = torch_file.read_pt(saved(value))
    assert {key: np.asarray(t).item() for key, t in got["x"].items()} == {
        "1": 0,
        "1 (2)": 1,
        "<tuple>": 2,
    }
    assert np.asarray(got["y"]["a"]).item() == 3
    assert np.asarray(got["y"]["__dict__"]["a"]).item() == 4


def test_lists_among_settings_are_no_weights():
    got = torch_file.read_pt(saved({"loss": BESIDE["settings"], "x": [Tensor(np.ones(1))]}))
    assert got.keys() == {"x"}


# --- whole modules --------------------------------------------------------------------------------

LINEAR = named("torch.nn.modules.linear", "Linear")


def rnn(mode="RNN_TANH", kind="RNN", **attributes):
    names = [name.removeprefix("rnn.") for name in ARRAYS if name.startswith("rnn.")]
    parameters = {name: Tensor(ARRAYS[f"rnn.{name}"]) for name in names}
    setting = {"mode": mode} if kind == "RNN" else {"nonlinearity": mode}
    flat = [*parameters.values()]
    kind = named("torch.nn.modules.rnn", kind)
    return module(kind, parameters, _flat_weights=flat, **setting, **attributes)


def model(**attributes):
    """Return a module with a class of the file's own, an RNN and a readout."""
    fc = module(LINEAR, {"weight": Tensor(ARRAYS["fc.weight"]), "bias": Tensor(ARRAYS["fc.bias"])})
    buffers = {"cache": Tensor(np.ones(3)), "steps": None}
    parts = {"rnn": rnn(**attributes), "fc": fc, "drop": module(named("x", "Dropout"))}
    made = module(named("__main__", "Model"), {"none": None}, parts, buffers, h0=[1])
    made.me = [made]  # as modules keep the one around them
    parts["rnn"].parent = (made,)
    return made


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("write", [NEW, OLD])
def test_a_module_that_was_saved_whole_is_read_by_its_names(write, protocol, tmp_path):
    for value in (model(), {"epoch": 1, "model": model(), "loss": BESIDE["a loss"]}):
        assert_read(load(write(value, protocol), tmp_path, activation=None))


def test_the_nonlinearity_of_an_rnn_of_pytorch_is_known(tmp_path):
    net = load(saved(model(mode="RNN_RELU")), tmp_path, activation=None)
    assert str(net.layers[0].activation) == "relu"
    with pytest.raises(
        ArgumentError, match="expected 'relu', as in the source's 'rnn', got 'tanh'"
    ):
        load(saved(model(mode="RNN_RELU")), tmp_path)
    for mode in (Words(), "LSTM", 1, None):
        with pytest.raises(ArgumentError, match="activation: expected the activation of 'rnn'"):
            load(saved(model(mode=mode)), tmp_path, activation=None)
    own = rnn()
    own.__class__ = named("model", "RNN")  # whatever its forward does
    with pytest.raises(ArgumentError, match="activation: expected the activation"):
        load(saved(own), tmp_path, activation=None, output_activation=None)


def test_the_copy_of_a_module_in_the_settings_does_not_count(tmp_path):
    whole = model()
    names = {**whole._modules["rnn"]._parameters}
    tensors = {f"net.rnn.{name}": tensor for name, tensor in names.items()}
    tensors |= {f"net.fc.{n}": t for n, t in whole._modules["fc"]._parameters.items()}
    value = {"state_dict": tensors, "hyper_parameters": {"net": whole}}
    assert_read(load(saved(value), tmp_path))
    tensors["net.fc.bias"] = Tensor(np.ones(2, "f4"))
    with pytest.raises(ArgumentError, match="one state_dict"):
        load(saved(value), tmp_path)


def test_a_module_in_two_places_has_both_names():
    one = rnn()
    both = module(named("m", "M"), modules={"a": one, "b": one})
    got = torch_file.read_pt(saved(both))
    assert of_mapping(got, ["a", "b"]).nonlinearities == {"a": "tanh", "b": "tanh"}
    assert list(got)[::4] == ["a.weight_ih_l0", "b.weight_ih_l0"]


# --- before PyTorch 1.6 ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_a_file_before_1_6_is_read_in_every_precision(dtype, tmp_path):
    value = {name: Tensor(array.astype(dtype)) for name, array in ARRAYS.items()}
    net = load(saved_before_1_6(value), tmp_path, "old.pth")
    for name, array in zip(("W_xh", "W_hh"), list(ARRAYS.values())[:2], strict=True):
        np.testing.assert_array_equal(getattr(net.layers[0], name), array.astype(dtype))


def test_storages_of_python_2_and_views_of_storages_are_read():
    """As PyTorch 0.3 writes them: text as bytes, pairs in a list, a view in the storage's id."""

    def text(value):
        return b"U" + bytes([len(value)]) + value.encode()

    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("94") + text("cpu") + b"K\x06"
        b"(" + text("95") + b"K\x02K\x04ttQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x01K\x03\x85K\x01\x85tR"
    parameter = b"ctorch.nn.parameter\nParameter\n" + tensor + b"\x85R\x88\x89}\x87b"
    pairs = b"](](" + text("x") + parameter + b"ee\x85R}" + text("_metadata") + b"}sb."
    data = b"".join(
        (
            *(pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True})),
            b"\x80\x02ccollections\nOrderedDict\n" + pairs,
            b"\x80\x02](" + text("94") + b"e.",
            np.int64(6).tobytes() + np.arange(6, dtype="f4").tobytes(),
        )
    )
    got = torch_file.read_pt(data)
    np.testing.assert_array_equal(got["x"], [3, 4, 5])


def old(change):
    """Return the bytes of a file before 1.6 with something changed in it."""
    data = saved_before_1_6({"weight_hh_l0": Tensor(np.ones((2, 2), "f4"))})
    return change(data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            old(lambda d: d[:-1]),
            ModelFormatError,
            "the storage '0': expected 4 elements of 4 bytes",
        ),
        (old(lambda d: d[:-24]), ModelFormatError, "the storage '0': .*got 0 "),
        (old(lambda d: d[:-30]), ModelFormatError, "the storages' keys is damaged"),
        (old(lambda d: d[:20]), ModelFormatError, "the second pickle"),
        (old(lambda d: d.replace(b"M\xe9\x03", b"M\xea\x03", 1)), UnsupportedModelError, "1001"),
        (
            old(lambda d: d[:-24] + np.int64(2**60).tobytes() + d[-16:]),
            ModelFormatError,
            "got 11529",
        ),
        (
            old(lambda d: d[:-24] + np.int64(-1).tobytes() + d[-16:]),
            ModelFormatError,
            "expected 4 elements",
        ),
    ],
)
def test_a_damaged_file_before_1_6_is_refused(data, error, message, tmp_path):
    with pytest.raises(error, match=rf"^{tmp_path}/model.ckpt: .*{message}"):
        load(data, tmp_path)


def test_a_storage_of_an_old_file_that_is_missing_or_twice_is_refused(tmp_path):
    value = {"weight_hh_l0": Tensor(np.ones((2, 2), "f4"))}
    data = saved_before_1_6(value)
    keys = pickle.dumps(["0"], 2)
    for other, message in (
        ([], "'0' is missing"),
        (["0", "0"], "each storage once"),
        ("0", "a list"),
    ):
        changed = data.replace(keys, pickle.dumps(other, 2))
        changed += data[-24:]
        with pytest.raises(ModelFormatError, match=message):
            load(changed, tmp_path)


# --- hostile content ------------------------------------------------------------------------------


def nested(levels):
    """Return the operations of tuples that double at every level."""
    return b"N" + b"2\x86" * levels


MANY = b"".join(b"J" + i.to_bytes(4, "little") + b"N" for i in range(20_000))
BOMBS = {
    "tuples that double as a key": b"}" + nested(200) + b"Ns",
    "a list a million deep": b"]" * 300_000 + b"a" * 299_999,
    "tuples a million deep": b")" + b"\x85" * 300_000,
    "a long text in many names": (
        b"X\xa0\x86\x01\0" + b"a" * 100_000 + b"q\x000" + b"h\x00h\x00\x930" * 20_000
    ),
    "a long tuple as arguments": (
        b"(" + b"N" * 100_000 + b"tq\x00cm\nf\nq\x01" + b"h\x01h\x00R0" * 20_000
    ),
    "a large dictionary as arguments": (
        b"}(" + MANY + b"u\x85q\x00ccollections\nCounter\nq\x01" + b"h\x01h\x00R0" * 20_000
    ),
    "a large dictionary as attributes": b"}(" + MANY + b"uq\x00cm\nC\n)\x81" + b"h\x00b" * 20_000,
    "integers that share a hash": (
        b"}("
        + b"".join(
            b"\x8a\x10" + ((2**61 - 1) * i + 1).to_bytes(16, "little") + b"N" for i in range(50_000)
        )
        + b"u"
    ),
    "keys of one name": (b"ctorch._utils\n_rebuild_x\n)Rq\x070}(" + b")h\x07" * 60_000 + b"u"),
    "calls of calls": b"cm\nf\n" + b")R" * 100_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_takes_no_time_or_is_refused(bomb):
    """Each would take minutes or gigabytes if it were read as Python reads it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a/data.pkl", b"\x80\x02" + BOMBS[bomb] + b".")
    with contextlib.suppress(elman.ElmanError):
        assert torch_file.read_pt(file.getvalue()) == {}


def test_modules_that_double_are_limited():
    part = rnn()
    for _ in range(30):
        part = module(named("m", "M"), modules={"a": part, "b": part})
    with pytest.raises(LimitError, match="at most 50000 tensors"):
        torch_file.read_pt(saved(part))


def test_a_long_name_of_a_tensor_is_refused():
    with pytest.raises(LimitError, match="names of at most 400 characters, got 401"):
        torch_file.read_pt(saved({"a" * 401: Tensor(np.ones(1))}))
    assert torch_file.read_pt(saved({"a" * 401: 1})) == {}


@pytest.mark.parametrize("write", [NEW, OLD])
def test_a_mutated_file_is_an_error_or_another_number(write):
    rng = np.random.default_rng(1)
    value = {"state_dict": state_dict(), **BESIDE, "whole": model()}
    for key in ("words", "losses"):
        value.pop(key)
    data = write(value)
    for _ in range(300):
        changed = bytearray(data)
        for position in rng.integers(len(data), size=int(rng.integers(1, 4))):
            changed[position] = rng.integers(256)
        try:
            elman.from_torch(
                torch_file.read_pt(bytes(changed)),
                prefix="state_dict.rnn",
                readout=False,
                activation="tanh",
            )
        except elman.ElmanError:
            continue


# --- compressed and elsewhere ---------------------------------------------------------------------


def test_an_archive_that_was_compressed_again_is_read(tmp_path):
    assert_read(load(saved(state_dict(), method=zipfile.ZIP_DEFLATED), tmp_path))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".th", ".tar", ".pkl", ""])
@pytest.mark.parametrize("write", [NEW, OLD])
def test_the_first_bytes_tell_a_file_of_pytorch(write, suffix, tmp_path):
    from elman.interop import formats

    path = tmp_path / f"model{suffix}"
    path.write_bytes(write(state_dict()))
    assert formats.framework_of(str(path)) == "torch"
    assert_read(formats.read(str(path), **READ).network)


def test_another_file_without_a_known_suffix_is_refused(tmp_path):
    from elman.interop import formats

    for data in (b"", b"PK\3\4", b"\x80\x02}.", b"text", b"\x89HDF\r\n\x1a\n"):
        (tmp_path / "model.bin").write_bytes(data)
        with pytest.raises(UnsupportedModelError, match=r"expected the suffix .*, got \.bin"):
            formats.framework_of(str(tmp_path / "model.bin"))


@pytest.mark.parametrize(
    ("suffix", "reader"),
    [
        (".pt", "from_torch"),
        (".pth", "from_torch"),
        (".ckpt", "from_torch"),
        (".keras", "from_keras"),
        (".h5", "from_keras"),
        (".hdf5", "from_keras"),
        (".onnx", "from_onnx"),
        (".npz", r"Network\.from_tensors\(np.load\(path\)\)"),
    ],
)
def test_loading_names_the_reader_of_a_suffix(suffix, reader, tmp_path):
    path = tmp_path / f"model{suffix}"
    for data in (saved(state_dict()), saved_before_1_6(state_dict())):
        path.write_bytes(data)
        message = rf"^{path}: expected .*elman's format, got \*{suffix}: elman.{reader} reads it"
        with pytest.raises(UnsupportedModelError, match=message):
            elman.load(path)
        (tmp_path / "model").write_bytes(data)
        with pytest.raises(UnsupportedModelError, match=r"got a .*elman\.from_torch reads"):
            elman.load(tmp_path / "model")


def test_a_model_of_elman_is_not_read_as_pytorchs(tmp_path):
    net = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
    net.save(tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=r"got elman's: elman\.load reads it"):
        elman.from_torch(tmp_path / "model.safetensors", activation="tanh")


# --- files of PyTorch itself ----------------------------------------------------------------------


def real_model(torch):
    """Return a module and what may stand beside it in a checkpoint."""
    torch.manual_seed(0)
    parts = {"rnn": torch.nn.RNN(3, 4, 2, bidirectional=True), "fc": torch.nn.Linear(8, 2)}
    made = torch.nn.ModuleDict(parts)
    beside = {
        "loss": torch.nn.MSELoss(),
        "optimizer": torch.optim.Adam(made.parameters()).state_dict(),
        "device": torch.device("cpu"),
        "dtype": torch.float64,
        "size": torch.Size([1, 2]),
        "complex": torch.ones(2, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
        "bfloat16": torch.ones(2).bfloat16(),
        "step": torch.tensor(5),
        "view": torch.arange(6.0)[1::2],
        "expanded": torch.ones(1).expand(7),
        "path": pathlib.PurePosixPath("/a"),
        "metrics": {"rmse": np.float64(0.5), (1, 2): [0.1, 0.2]},
    }
    return made, beside


@pytest.mark.parametrize("protocol", range(1, 6))
@pytest.mark.parametrize("new", [True, False])
def test_files_of_pytorch_are_read_bit_for_bit(new, protocol, torch, tmp_path):
    made, beside = real_model(torch)
    path = tmp_path / "model.ckpt"
    how = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": new}
    torch.save({"model": made, "epoch": 1, **beside}, path, **how)
    got = torch_file.read_tensors(str(path))
    assert of_mapping(got, None).nonlinearities == {"model.rnn": "tanh"}
    assert got["model"].keys() == made.state_dict().keys()
    beside["bfloat16"] = beside["bfloat16"].float()
    names = ("bfloat16", "step", "view", "expanded")
    tensors = made.state_dict() | {name: beside[name] for name in names}
    for name, tensor in tensors.items():
        array = np.asarray((got["model"] | got)[name])
        assert array.dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(array, tensor.numpy())


@pytest.mark.parametrize("new", [True, False])
def test_a_checkpoint_of_pytorch_is_compared_with_pytorch(new, torch, tmp_path):
    made, beside = real_model(torch)
    path = tmp_path / "model.pth"
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f4")
    for value in ({"model": made.state_dict(), **beside}, made, {"model": made, **beside}):
        torch.save(value, path, _use_new_zipfile_serialization=new)
        net = elman.from_torch(path, **READ)
        assert elman.compare(net, path, x)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_what_pytorch_saves_otherwise_is_named(torch, tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(torch.nn.RNN(3, 4)), path)
    with pytest.raises(UnsupportedModelError, match=r"TorchScript.*torch\.jit\.load\(path\)"):
        elman.from_torch(path, activation="tanh")
    weights = torch.jit.load(path).state_dict()
    torch.save(weights, path)  # the remedy
    assert elman.from_torch(path, activation="tanh").hidden_sizes == (4,)
