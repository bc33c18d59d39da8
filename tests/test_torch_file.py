"""`.pt` files: every kind of tensor that PyTorch writes, and hostile files."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import zipfile

import numpy as np
import pytest

import elman
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop.torch import file as torch_file
from fixtures.guarded import SANITIZED, read_guarded

pytestmark = pytest.mark.any_isa

NOT = "expected a PyTorch file with a state_dict, a checkpoint or a module, got "
NUMBERS = np.arange(12, dtype="<f4")


# --- pickles, written operation by operation ------------------------------------------------------


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return pickle.LONG1 + bytes([9]) + value.to_bytes(9, "little", signed=True)


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def name(module, attribute):
    return b"c" + f"{module}\n{attribute}\n".encode()


def storage(kind="FloatStorage", key="0", size=12, head="storage"):
    parts = (text(head), name("torch", kind), text(key), text("cpu"), integer(size))
    return tuple_of(*parts) + b"Q"


def tensor(shape=(3, 4), strides=(4, 1), offset=0, **about):
    sizes = (tuple_of(*map(integer, values)) for values in (shape, strides))
    arguments = tuple_of(storage(**about), integer(offset), *sizes, b"\x89", b"N")
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def dictionary(*items):
    """Return an OrderedDict of alternating keys and values."""
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + b"".join(items) + b"u."


def weights():
    """Return the pickle of the state_dict of an nn.RNN."""
    parts = {"weight_ih_l0": (3, 4), "weight_hh_l0": (3, 3)}
    tensors = ([text(key), tensor(shape, (shape[1], 1))] for key, shape in parts.items())
    return dictionary(*(part for pair in tensors for part in pair))


def archive(data_pkl, entries=None, root="archive/", method=zipfile.ZIP_STORED):
    """Return the bytes of a `.pt` file."""
    file = io.BytesIO()
    if entries is None:
        entries = {"byteorder": b"little", "data/0": NUMBERS.tobytes(), "version": b"3\n"}
    with zipfile.ZipFile(file, "w", method) as made:
        for entry, data in {"data.pkl": data_pkl, **entries}.items():
            made.writestr(root + entry, data)
    return file.getvalue()


def read(data):
    """Return the tensors in the bytes of a file."""
    return torch_file.read_pt(data)


def one(value, entries=None):
    """Return the tensor `x` of a file that contains only it."""
    return np.asarray(read(archive(dictionary(text("x"), value), entries))["x"])


# --- what is read ---------------------------------------------------------------------------------


def test_a_tensor_is_a_view_of_its_storage():
    np.testing.assert_array_equal(one(tensor()), NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(one(tensor((4, 3), (1, 4))), NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(one(tensor((2,), (5,), offset=3)), NUMBERS[[3, 8]])
    assert one(tensor((), ())).shape == ()
    assert one(tensor((0, 4), (4, 1))).shape == (0, 4)
    assert one(tensor((0,), (1,), offset=12)).shape == (0,)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", "<f8"),
        ("FloatStorage", "<f4"),
        ("HalfStorage", "<f2"),
        ("LongStorage", "<i8"),
        ("IntStorage", "<i4"),
        ("ShortStorage", "<i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_and_byte_order_is_read(kind, dtype, order):
    numbers = np.arange(12).astype(dtype)
    data = numbers.astype(np.dtype(dtype).newbyteorder(order)).tobytes()
    name = b"little" if order == "<" else b"big"
    got = one(tensor((12,), (1,), kind=kind), {"byteorder": name, "data/0": data})
    np.testing.assert_array_equal(got, numbers)
    assert got.dtype.kind == numbers.dtype.kind


def test_bfloat16_is_the_upper_half_of_float32():
    wide = np.array([1, -2, 0.15625, 3e38, -0.0], "<f4")
    halves = wide.view("<u2")[1::2]
    for order, byteorder in (("<u2", b"little"), (">u2", b"big")):
        entries = {"byteorder": byteorder, "data/0": halves.astype(order).tobytes()}
        got = one(tensor((5,), (1,), kind="BFloat16Storage", size=5), entries)
        np.testing.assert_array_equal(got, (halves.astype("u4") << 16).view("f4"))
        assert got.dtype == np.float32


def test_without_a_byte_order_it_is_little():
    np.testing.assert_array_equal(one(tensor((12,), (1,)), {"data/0": NUMBERS.tobytes()}), NUMBERS)


def test_parameters_lists_and_nested_dictionaries_are_read():
    parameter = (
        name("torch._utils", "_rebuild_parameter") + tuple_of(tensor(), b"\x88", b"N") + b"R"
    )
    inner = b"}" + text("lr") + b"G" + struct.pack(">d", 0.5) + b"s" + text("m") + tensor() + b"s"
    items = [text("p"), parameter, text("o"), inner, integer(3), b"](" + tensor() + b"Ne"]
    got = read(archive(dictionary(*items)))
    assert got.keys() == {"p", "o", "3"}  # numbers are left out
    for found in (got["p"], got["o"].pop("m"), got["3"].pop("0")):
        np.testing.assert_array_equal(found, NUMBERS.reshape(3, 4))
    assert (got["o"], got["3"]) == ({}, {})


def test_the_operations_that_pytorch_uses_are_known():
    """The pickles of these tests are valid: Python's pickle module reads them too."""
    pickletools.dis(weights(), out=io.StringIO())
    net = elman.from_torch(read(archive(weights())), activation="tanh")
    np.testing.assert_array_equal(net.layers[0].W_xh, NUMBERS.reshape(3, 4))


# --- refused input --------------------------------------------------------------------------------


def reduced(module, attribute, *arguments):
    return name(module, attribute) + tuple_of(*arguments) + b"R"


class Whole:
    """Stands for a module that was pickled whole."""


HOSTILE = {
    "a call of os.system": (
        archive(b"\x80\x02" + reduced("os", "system", text("touch hacked")) + b"."),
        f"{NOT}'os.system'",
    ),
    "builtins by STACK_GLOBAL": (
        archive(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93" + tuple_of(text("1")) + b"R."),
        "got 'builtins.eval'",
    ),
    "a whole module": (archive(pickle.dumps(Whole(), 2)), f"{NOT}.*Whole'"),
    "torch's own loader of bytes": (
        archive(b"\x80\x02" + reduced("torch.storage", "_load_from_bytes", b"U\x01x") + b"."),
        "got 'torch.storage._load_from_bytes'",
    ),
    "an attribute of an allowed name": (
        archive(b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2.__globals__") + b"."),
        "_rebuild_tensor_v2.__globals__'",
    ),
    "a call of a type of storage": (
        archive(b"\x80\x02" + reduced("torch", "FloatStorage", integer(1)) + b"."),
        f"{NOT}'torch.FloatStorage'",
    ),
    "an OrderedDict with arguments": (
        archive(b"\x80\x02" + reduced("collections", "OrderedDict", b"]") + b"."),
        f"{NOT}'collections.OrderedDict'",
    ),
    "attributes for a function": (
        archive(b"\x80\x02" + name("collections", "OrderedDict") + b"}b."),
        "data.pkl: expected an object, got 'collections.OrderedDict'",
    ),
    "a call of text": (archive(b"\x80\x02" + text("x") + b")R."), f"{NOT}'str'"),
    "an extension": (archive(b"\x80\x02\x82\x01."), f"{NOT}'the extension 1'"),
    "an instance": (archive(b"(ios\nsystem\n."), f"{NOT}'os.system'"),
    "an object": (archive(b"\x80\x02(" + name("os", "system") + b"o."), "got 'os.system'"),
    "a new object": (
        archive(b"\x80\x02" + name("collections", "OrderedDict") + b")\x81."),
        f"{NOT}'collections.OrderedDict'",
    ),
    "bytes": (archive(b"\x80\x03C\x01x."), f"{NOT}bytes"),
    "bytes that claim 2**62": (
        archive(b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x."),
        "data.pkl .*damaged",
    ),
    "a tensor alone": (archive(b"\x80\x02" + tensor() + b"."), f"{NOT}a tensor"),
    "a list of tensors": (
        archive(b"\x80\x02](" + tensor() + b"e."),
        "RNN.*got '0'",
    ),
    "a dictionary as a key": (archive(dictionary(b"}", b"N")), "RNN.*got none"),
    "an item of a list by key": (
        archive(b"\x80\x02](" + text("a") + b"Nu."),
        "data.pkl: expected a dictionary, got list",
    ),
    "an append to a dictionary": (archive(b"\x80\x02}Na."), "data.pkl: expected .*got dict"),
    "an empty pickle": (archive(b""), "data.pkl .*damaged"),
    "an empty stack": (archive(b"\x80\x02."), "data.pkl: "),
    "a memo that was never made": (archive(b"\x80\x02h\x07."), "data.pkl: "),
    "a mark that was never set": (archive(b"\x80\x02t."), "data.pkl: "),
    "a memo of 2**32": (
        archive(b"\x80\x02}r\xff\xff\xff\xff" * 1000 + b"."),
        "^source: .*RNN.*got none",
    ),
    "an odd number of items": (archive(dictionary(text("a"))), "data.pkl: .*value for each key"),
    "an integer of 5000 digits": (archive(b"I" + b"9" * 5000 + b"\n."), "data.pkl .*damaged"),
    "a persistent id of another kind": (
        archive(dictionary(text("x"), storage(head="file"))),
        "data.pkl: .*got tuple",
    ),
    "a persistent id that is text": (
        archive(b"\x80\x02" + text("x") + b"Q."),
        "data.pkl: .*pickle protocol than 0",
    ),
    "a storage of complex numbers": (
        archive(dictionary(text("weight_hh_l0"), tensor(kind="ComplexFloatStorage", size=6))),
        "data.pkl: .*fit its storage of 6",
    ),
    "a storage that is missing": (
        archive(dictionary(text("x"), tensor(key="1"))),
        "'archive/data/1'.*missing",
    ),
    "a storage outside": (
        archive(dictionary(text("x"), tensor(key="../../../etc/passwd"))),
        "'archive/data/../../../etc/passwd'.*missing",
    ),
    "a storage that is smaller": (
        archive(dictionary(text("x"), tensor(size=13))),
        "'data/0': expected 13 .*4 bytes, got 48 bytes",
    ),
    "a storage of two types": (
        archive(dictionary(text("x"), tensor(), text("y"), tensor(kind="DoubleStorage"))),
        "'data/0': expected 12 .*8 bytes",
    ),
    "a storage of two sizes": (
        archive(dictionary(text("x"), tensor(), text("y"), tensor((2,), (1,), size=11))),
        "'data/0': expected 11 .*4 bytes",
    ),
    "a tensor past its storage": (
        archive(dictionary(text("x"), tensor(offset=1))),
        r"data.pkl: .*\(3, 4\).* 12 ",
    ),
    "strides past the storage": (
        archive(dictionary(text("x"), tensor((2, 2), (11, 1)))),
        r"data.pkl: .*\(2, 2\).* 12 ",
    ),
    "a negative stride": (
        archive(dictionary(text("x"), tensor((2,), (-1,)))),
        "data.pkl: expected .*strides",
    ),
    "a negative offset": (
        archive(dictionary(text("x"), tensor(offset=-1))),
        "data.pkl: expected .*strides",
    ),
    "a number expanded to 2**40": (
        archive(dictionary(text("x"), tensor((2**20, 2**20), (0, 0)))),
        "data.pkl: .*16 times",
    ),
    "a shape whose product wraps": (
        archive(dictionary(text("x"), tensor((2**40, 2**40), (1, 1)))),
        r"data.pkl: .*\(1099511627776, 1099511627776\).* 12 ",
    ),
    "a shape beyond 64 bits": (
        archive(dictionary(text("x"), tensor((2**70,), (1,)))),
        "data.pkl: expected .*shape",
    ),
    "a shape and strides that differ": (
        archive(dictionary(text("x"), tensor((3, 4), (1,)))),
        "data.pkl: expected .*strides",
    ),
    "a shape of nine axes": (
        archive(dictionary(text("x"), tensor((1,) * 9, (1,) * 9))),
        "data.pkl: expected .*at most 8 axes",
    ),
    "tensors that share one storage 1000 times": (
        archive(
            dictionary(
                *(
                    part
                    for i in range(1000)
                    for part in (integer(i), tensor((1500,), (1,), size=1500))
                )
            ),
            {"data/0": bytes(6000)},
        ),
        "expected .*16 times",
    ),
    "a dictionary in itself": (
        archive(b"\x80\x02}q\x00(" + text("x") + b"h\x00u."),
        "RNN.*got none",
    ),
    "dictionaries that double 60 times": (
        archive(
            b"\x80\x02}q\x00"
            + (text("x") + tensor() + b"s")
            + b"".join(
                b"}q"
                + bytes([i + 1])
                + b"("
                + text("a")
                + b"h"
                + bytes([i])
                + text("b")
                + b"h"
                + bytes([i])
                + b"u"
                for i in range(15)
            )
            + b"."
        ),
        "^source: expected .*10000 entries",
    ),
    "values that take more memory than allowed": (
        archive(b"\x80\x02" + b"}" * 1_300_000 + b".", method=zipfile.ZIP_STORED),
        "data.pkl: expected values that take at most 67108864 bytes and 16 times",
    ),
    "marks and nothing else": (archive(b"(" * 250_000), "data.pkl .*damaged"),
    "an unknown byte order": (
        archive(weights(), {"byteorder": b"middle"}),
        "byteorder: expected .*got b'middle'",
    ),
    "no data.pkl": (archive(weights(), root=""), "NAME/data.pkl, got 0"),
    "a data.pkl further down": (archive(weights(), root="a/b/"), "NAME/data.pkl, got 1"),
    "a TorchScript archive": (
        archive(weights(), {"constants.pkl": b"", "code/__torch__.py": b""}),
        r"got a TorchScript archive: torch.save\(torch.jit.load\(path\).state_dict\(\), new_path\)",
    ),
    "a compressed TorchScript archive": (
        archive(weights(), {"code/__torch__.py": b""}, method=zipfile.ZIP_DEFLATED),
        "got a TorchScript archive",
    ),
    "an exported program": (
        archive(weights(), {"models/model.json": b"{}"}),
        r"got an exported program \(.pt2\): torch.save\(torch.export.load",
    ),
    "a bomb in a compressed archive": (
        archive(weights(), {"data/0": bytes(2**22)}, method=zipfile.ZIP_DEFLATED),
        "'archive/data/0': expected at most 200 times",
    ),
    "a pickle": (pickle.dumps({"weight_ih_l0": 1}), "got a pickle that torch.save did not write"),
    "a tar file": (b"storages".ljust(257, b"\0") + b"ustar  \0".ljust(600, b"\0"), "got the tar"),
    "a Keras file": (b"\x89HDF\r\n\x1a\n" + bytes(100), "got .*HDF5"),
    "nothing": (b"", "expected .*8 bytes, got 0"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The effects of reading each hostile file, in a separate process."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = {name: folder / f"{index}.pt" for index, name in enumerate(HOSTILE)}
    for name, path in paths.items():
        path.write_bytes(HOSTILE[name][0])
    prepare = "import zipfile, zlib, safetensors, elman.interop.torch.reading; elman.Network"
    read = "elman.from_torch(path, activation='tanh', output_activation='identity')"
    results = read_guarded(paths.values(), prepare, read)
    assert sorted(folder.iterdir()) == sorted(paths.values())
    return {name: results[str(path)] for name, path in paths.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_does_nothing(name, hostile, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(HOSTILE[name][0])
    with pytest.raises(elman.ElmanError, match=HOSTILE[name][1]) as caught:
        elman.from_torch(path, activation="tanh", output_activation="identity")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    seen = hostile[name]
    assert seen["error"].startswith(f"{type(caught.value).__name__}: ")
    assert seen["events"] == []
    allowed = 128 if name == "values that take more memory than allowed" else 8
    assert SANITIZED or seen["grown_kib"] < allowed * 1024


def test_the_watch_detects_a_second_file_and_code(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    read = "open(os.devnull).close(); eval('1'); b'x' * (100 << 20)"
    (seen,) = read_guarded([tmp_path / "a"], "", read).values()
    assert {event for event, _ in seen["events"]} >= {"open", "compile", "exec"}
    assert seen["grown_kib"] > 90 * 1024


def test_a_file_cut_or_flipped_anywhere_is_an_error_or_another_number(rng):
    data = archive(weights())
    for length in range(len(data)):
        with pytest.raises(elman.ElmanError):
            read(data[:length])
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        try:
            elman.from_torch(read(bytes(flipped)), activation="tanh")
        except elman.ElmanError:
            continue


def test_damage_in_a_storage_is_found_by_its_checksum():
    data = archive(weights()).replace(NUMBERS.tobytes(), NUMBERS[::-1].tobytes())
    with pytest.raises(ModelFormatError, match="damaged: Bad CRC-32"):
        read(data)


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (UnsupportedModelError, archive(b"\x80\x02" + tensor() + b".")),
        (ModelFormatError, archive(weights(), {})),
        (LimitError, HOSTILE["values that take more memory than allowed"][0]),
    ],
)
def test_errors_name_the_file(error, data, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(error, match=f"^{path}: "):
        elman.from_torch(path, activation="tanh")


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_header_of_safetensors_that_begins_as_a_pickle_is_read(tmp_path, length):
    shapes = {"weight_ih_l0": (4, 3), "weight_hh_l0": (4, 4), "bias_ih_l0": (4,)}
    shapes["bias_hh_l0"] = (4,)
    entries, data = {}, b""
    for name, shape in shapes.items():
        tensor = np.full(shape, len(entries) / 4, np.float32).tobytes()
        ends = [len(data), len(data) + len(tensor)]
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": ends}
        data += tensor
    header = json.dumps(entries).encode().ljust(length)
    path = tmp_path / "m.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header + data)
    net = elman.from_torch(path, activation="tanh")
    assert net.tensors()["layers.0.W_hh"].tolist() == [[0.25] * 4] * 4
