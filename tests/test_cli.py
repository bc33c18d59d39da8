"""The command line: its answers are those of the package, its errors one sentence each."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

import elman
from elman.cli import tables

pytestmark = pytest.mark.any_isa

ELMAN = [sys.executable, "-m", "elman"]

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"], scope="module")


def run_elman(*args, stdin=b"", env=None):
    return subprocess.run(
        [*ELMAN, *map(str, args)],
        input=stdin,
        capture_output=True,
        timeout=120,
        env=os.environ | (env or {}),
    )


def answer(*args, **kwargs):
    """Run a command that must succeed and say nothing on standard error; return its output."""
    done = run_elman(*args, **kwargs)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def complaint(*args, code=2, **kwargs):
    """Run a command that must fail with this code, and return its one sentence."""
    done = run_elman(*args, **kwargs)
    sentence = done.stderr.decode()
    assert (done.returncode, sentence.count("\n")) == (code, 1), sentence
    assert sentence.startswith("elman: ")
    return sentence.removeprefix("elman: ").rstrip("\n")


def python(code):
    """Run a program in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, text=True)


@pytest.fixture(scope="module")
def dtype():
    """Give the dtype of `net`; with `both_dtypes` a test runs for the other one too."""
    return "float32"


@pytest.fixture(scope="module")
def net(dtype):
    return elman.Network(
        input_size=3,
        hidden_size=[8, 5],
        output_size=2,
        seed=1,
        dtype=dtype,
        input_mean=[1.0, 0.0, -1.0],
        input_std=[0.5, 1.0, 2.0],
        metadata={"title": "a test"},
    )


@pytest.fixture(scope="module")
def model(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    net.save(path)
    return path


def inputs(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def as_csv(x):
    return "".join(",".join(map(repr, row)) + "\n" for row in x.tolist()).encode()


def from_csv(text, dtype):
    return np.array([[dtype(v) for v in line.split(",")] for line in text.decode().splitlines()])


def as_npy(x):
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


# --- elman itself ---------------------------------------------------------------------------------


def test_help_names_every_command_and_the_exit_codes():
    text = answer("--help").decode()
    for word in ("demo", "info", "run", "verify", "bench", "Exit codes"):
        assert word in text


def test_version_is_that_of_the_package():
    assert answer("--version").decode() == f"elman {elman.__version__}\n"


def test_the_command_elman_is_the_same_as_the_module():
    (entry,) = metadata.entry_points(group="console_scripts", name="elman")
    assert entry.value == "elman.cli:main"


def test_help_imports_neither_numpy_nor_rich():
    done = python(
        "import sys; sys.argv = ['elman', '--help']\n"
        "from elman.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'elman.cli.app' in sys.modules\n"
        "assert not {'numpy', 'rich'} & set(sys.modules)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_a_missing_extra_is_named_in_one_sentence(missing):
    done = python(
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['elman', 'demo']\n"
        "from elman.cli import main; sys.exit(main())"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"elman: the command line needs {missing}: pip install 'elman[cli]'\n"


@pytest.mark.parametrize(
    ("suffix", "missing", "sentence"),
    [
        ("onnx", "onnx", "an ONNX model needs onnx: pip install 'elman[onnx]'"),
        ("weights.h5", "h5py", "a file of Keras needs h5py: pip install 'elman[keras]'"),
        ("pt", "torch", "a .pt file needs torch: pip install torch"),
    ],
)
def test_a_missing_extra_of_convert_is_named_in_one_sentence(
    tanh_model, tmp_path, suffix, missing, sentence
):
    target = str(tmp_path / f"m.{suffix}")
    done = python(
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"sys.argv = ['elman', 'convert', {str(tanh_model)!r}, {target!r}]\n"
        "from elman.cli import main; sys.exit(main())"
    )
    assert (done.returncode, done.stderr) == (2, f"elman: {sentence}\n")
    assert not list(tmp_path.iterdir())


# --- elman run ------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("steps", [0, 1, 7, tables.STEPS, 2 * tables.STEPS + 1])
def test_run_answers_csv_with_the_bits_of_a_call(net, model, steps):
    x = inputs(steps, 3)
    y = from_csv(answer("run", model, "-", stdin=as_csv(x)), net.dtype.type)
    assert np.array_equal(y.reshape(-1, 2), net(x))


@both_dtypes
def test_run_writes_every_number_in_its_shortest_exact_form(net, model):
    x = inputs(50, 3)
    text = answer("run", model, "-", stdin=as_csv(x)).decode()
    assert text == "".join(",".join(str(v) for v in row) + "\n" for row in net(x))


def test_run_reads_and_writes_files_by_their_suffix(net, model, tmp_path):
    x = inputs(20, 3)
    (tmp_path / "x.csv").write_bytes(as_csv(x))
    np.save(tmp_path / "x.npy", x)
    for source, output in (("x.csv", "y.npy"), ("x.npy", "y.csv"), ("x.csv", "y.txt")):
        assert answer("run", model, tmp_path / source, "-o", tmp_path / output) == b""
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == net.dtype
    assert np.array_equal(y, net(x))
    text = (tmp_path / "y.csv").read_bytes()
    assert np.array_equal(from_csv(text, net.dtype.type), net(x))
    assert (tmp_path / "y.txt").read_bytes() == text


@pytest.mark.parametrize("shape", [(0, 3), (9, 3), (4, 9, 3), (2, 3, 9, 3), (0, 9, 3), (4, 0, 3)])
@pytest.mark.parametrize("option", [[], ["--last"], ["--threads", "2"]])
def test_run_takes_npy_with_any_batch_axes_through_pipes(net, model, shape, option):
    x = inputs(*shape)
    out = answer("run", model, "-", "--format", "npy", *option, stdin=as_npy(x))
    want = net(x, outputs="last" if "--last" in option else "all")
    got = np.load(io.BytesIO(out))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert np.array_equal(got, want)


def test_run_cuts_large_batches_without_a_trace(net, model):
    x = inputs(700, 512, 3)
    assert x.size > tables.VALUES
    out = answer("run", model, "-", "--format", "npy", stdin=as_npy(x))
    assert np.array_equal(np.load(io.BytesIO(out)), net(x))


def test_last_is_one_line_of_csv_for_each_sequence(net, model):
    x = inputs(tables.STEPS + 3, 3)
    out = answer("run", model, "-", "--last", stdin=as_csv(x))
    assert np.array_equal(from_csv(out, net.dtype.type), net(x, outputs="last")[np.newaxis])
    batch = inputs(6, 5, 3)
    out = answer("run", model, "-", "--last", stdin=as_npy(batch))
    assert np.array_equal(from_csv(out, net.dtype.type), net(batch, outputs="last"))


@pytest.mark.parametrize(
    "text",
    [
        b"a,b,c\n1,2,3\n4,5,6\n",
        b"\xef\xbb\xbf1,2,3\n4,5,6\n",
        b"1,2,3\r\n4,5,6\r\n",
        b"# three sensors\n\n1, 2 ,3\n   \n# and again\n4,5,6",
        b"\n# comment\nleft,middle,right\n1e0,+2.0,3.\n4,5,6\n",
        b"\xe9t\xe9,b,c\n1,2,3\n4,5,6\n",
    ],
)
def test_headers_comments_blank_lines_and_line_ends_are_understood(net, model, text):
    y = from_csv(answer("run", model, "-", stdin=text), net.dtype.type)
    assert np.array_equal(y, net([[1, 2, 3], [4, 5, 6]]))


def test_not_a_number_is_a_number(net, model):
    y = from_csv(answer("run", model, "-", stdin=b"1,nan,3\ninf,5,6\n"), net.dtype.type)
    assert np.array_equal(y, net([[1, np.nan, 3], [np.inf, 5, 6]]), equal_nan=True)


# --- elman run --stream ---------------------------------------------------------------------------


def start(*args):
    pipe = subprocess.PIPE
    return subprocess.Popen([*ELMAN, *map(str, args)], stdin=pipe, stdout=pipe, stderr=pipe)


@both_dtypes
def test_stream_answers_a_line_before_the_next_one_comes(net, model):
    x = inputs(20, 3)
    with start("run", model, "-", "--stream") as process:
        for row, want in zip(x, net(x), strict=True):
            process.stdin.write(as_csv(row[np.newaxis]))
            process.stdin.flush()
            got = from_csv(process.stdout.readline(), net.dtype.type)  # hangs if it is not sent
            assert np.array_equal(got[0], want)
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == process.stderr.read() == b""


def test_stream_gives_the_bytes_of_run(model):
    text = b"a,b,c\n\n" + as_csv(inputs(100, 3))
    streamed = answer("run", model, "-", "--stream", stdin=text)
    assert streamed == answer("run", model, "-", stdin=text)
    assert streamed.count(b"\n") == 100


@pytest.fixture
def named(net, tmp_path):
    """A model whose table names its inputs and the column of sequences."""
    path = tmp_path / "named.safetensors"
    net.replace(table=elman.Table(inputs=list("cab"), sequence="id")).save(path)
    return path


def in_sequences(names, x, header="b,id,note,c,a"):
    """Return rows of inputs c, a, b as CSV with other columns."""
    rows = zip(x.tolist(), names, strict=True)
    return "\n".join(
        [header, *(f"{b!r},{name},?,{c!r},{a!r}" for (c, a, b), name in rows)]
    ).encode()


def test_each_sequence_that_a_column_names_is_run_for_itself(net, named):
    x, names = inputs(9, 3), "abacabbca"
    rows = {name: [i for i, other in enumerate(names) if other == name] for name in names}
    want = np.empty((9, 2), net.dtype)
    for place in rows.values():
        want[place] = net(x[place])
    text = in_sequences(names, x)
    for options in ([], ["--threads", "2"], ["--stream"]):
        out = answer("run", named, "-", *options, stdin=text)
        assert np.array_equal(from_csv(out, net.dtype.type), want)
    last = np.stack([net(x[rows[name]], outputs="last") for name in "abc"])
    out = answer("run", named, "-", "--last", stdin=text)
    assert np.array_equal(from_csv(out, net.dtype.type), last)
    out = answer("run", named, "-", "--last", "--format", "npy", stdin=text)
    assert np.array_equal(np.load(io.BytesIO(out)), last)
    out = answer("run", named, "-", "--format", "npy", stdin=text)
    assert np.array_equal(np.load(io.BytesIO(out)), want)
    steps = json.loads(answer("verify", named, "--input", "-", "--json", stdin=text))["steps"]
    assert steps == 9


def test_without_the_column_of_sequences_a_file_is_one(net, named):
    x = inputs(5, 3)
    text = in_sequences("abcde", x, header="b,name,note,c,a")
    out = answer("run", named, "-", stdin=text)
    assert np.array_equal(from_csv(out, net.dtype.type), net(x))
    assert answer("run", named, "-", stdin=as_csv(x)) == out
    assert answer("run", named, "-", stdin=b"b,id,c,a\n") == b""
    assert answer("run", named, "-", "--last", stdin=b"b,id,c,a\n") == b""


@pytest.mark.parametrize("option", [[], ["--stream"], ["--last"]])
def test_a_header_without_an_input_of_the_model_is_refused(named, option):
    said = complaint("run", named, "-", *option, stdin=b"a,id,b\n1,x,2\n")
    assert said == (
        "standard input: expected the column 'c', an input of the model, got 'a', 'id', 'b'"
    )
    said = complaint("run", named, "-", *option, stdin=b"a,id,b,c\n1,x,2\n")
    assert said == "standard input line 2: expected 4 fields, as in the header, got 3"


def test_columns_that_have_numbers_for_names_are_those_in_their_places(net, tmp_path):
    """As a model has them that was trained on a file without a header."""
    net.replace(table=elman.Table(inputs=["1", "2", "3"], sequence="4")).save(tmp_path / "m")
    x = inputs(5, 3)
    out = answer("run", tmp_path / "m", "-", stdin=b"a,b,c\n" + as_csv(x))
    assert np.array_equal(from_csv(out, net.dtype.type), net(x))


def test_the_table_says_whether_the_last_output_is_the_answer(net, tmp_path):
    path, x = tmp_path / "m", inputs(4, 3)
    net.replace(table=elman.Table(outputs="last")).save(path)
    for options, want in (([], net(x, "last")[None]), (["--last"], net(x, "last")[None])):
        out = answer("run", path, "-", *options, stdin=as_csv(x))
        assert np.array_equal(from_csv(out, net.dtype.type), want)
    for option in ("--all", "--stream"):
        out = answer("run", path, "-", option, stdin=as_csv(x))
        assert np.array_equal(from_csv(out, net.dtype.type), net(x))


def test_info_shows_the_table(net, named):
    text = answer("info", named).decode()
    assert re.search(r"^table\.inputs +c, a, b$", text, re.MULTILINE)
    assert re.search(r"^table\.sequence +id$", text, re.MULTILINE)
    assert "table.classes" not in text
    facts = json.loads(answer("info", named, "--json"))
    assert facts["table"] == json.loads(elman.load(named).table.to_json())


def test_stream_answers_the_lines_before_a_bad_one(net, model):
    done = run_elman("run", model, "-", "--stream", stdin=b"1,2,3\n4,5,6\n7,8\n")
    assert np.array_equal(from_csv(done.stdout, net.dtype.type), net([[1, 2, 3], [4, 5, 6]]))
    assert done.returncode == 2
    assert b"standard input line 3: expected 3 numbers separated by commas, got 2" in done.stderr


@pytest.mark.parametrize("option", [[], ["--stream"]])
@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no SIGPIPE on this system")
def test_a_closed_pipe_ends_it_quietly(model, tmp_path, option):
    (tmp_path / "x.csv").write_bytes(as_csv(inputs(20_000, 3)))
    with start("run", model, tmp_path / "x.csv", *option) as process:
        process.stdin.close()
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == -signal.SIGPIPE


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does it")
def test_ctrl_c_ends_it_without_a_traceback(model):
    with start("run", model, "-", "--stream") as process:
        process.stdin.write(b"1,2,3\n")
        process.stdin.flush()
        assert process.stdout.readline()  # it is at work
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) not in (0, 1, 2)
        assert b"Traceback" not in process.stderr.read()


# --- what is refused ------------------------------------------------------------------------------


def bad_line_4711():
    lines = as_csv(inputs(5000, 3)).splitlines()
    lines[4710] = b"0.5,0,7.O"
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (bad_line_4711(), "line 4711: expected 3 numbers separated by commas, got '7.O'"),
        (b"1,2,3\n1,2\n", "line 2: expected 3 numbers separated by commas, got 2"),
        (b"1,2,3,4\n", "line 1: expected 3 numbers separated by commas, got 4"),
        (b"1,2,x\n", "line 1: expected 3 numbers separated by commas, got 'x'"),
        (b"a,b,c\nd,e,f\n", "line 2: expected 3 numbers separated by commas, got 'd'"),
        (b"1,2,3\n\n# c\n1,,3\n", "line 4: expected 3 numbers separated by commas, got ''"),
        (b"1,2,3\n1;2;3\n", "line 2: expected 3 numbers separated by commas, got '1;2;3'"),
        (b"1,2,3\n1,2,3,\n", "line 2: expected 3 numbers separated by commas, got ''"),
        (b"1,2,3\n1,2,\xff\xfe\n", "line 2: expected 3 numbers separated by commas, got '\ufffd"),
        (
            b"1,2,3\n" + b"z" * 9999,
            f"line 2: expected 3 numbers separated by commas, got '{40 * 'z'}...",
        ),
    ],
)
def test_a_bad_line_of_csv_is_named(model, tmp_path, text, sentence):
    path = tmp_path / "input.csv"
    path.write_bytes(text)
    said = complaint("run", model, path, "-o", tmp_path / "y.csv", env={"PYTHONUTF8": "1"})
    assert said.startswith(f"{path} {sentence}")


def test_one_column_is_called_a_number(tmp_path):
    elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0).save(tmp_path / "m")
    said = complaint("run", tmp_path / "m", "-", stdin=b"1,2\n")
    assert said == "standard input line 1: expected 1 number, got 2"


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (inputs(5), "expected (..., T, 3), got (5,)"),
        (inputs(5, 4), "expected (..., T, 3), got (5, 4)"),
        (np.float64(1.0), "expected (..., T, 3), got ()"),
        (np.array([[1, "a", None]]), "expected an NPY file of numbers"),
        (inputs(2, 5, 3), "use --format npy"),
    ],
)
def test_a_bad_array_is_named(model, array, sentence):
    said = complaint("run", model, "-", stdin=as_npy(array))
    assert said.startswith("standard input: ")
    assert sentence in said


def test_complex_numbers_are_refused(model):
    assert "complex128" in complaint("run", model, "-", stdin=as_npy(inputs(5, 3) + 0j))


@pytest.mark.parametrize("damage", [b"", b"\x93NUM", as_npy(inputs(50, 3))[:-1], b"1,2,3\n"])
def test_a_damaged_npy_file_is_named(model, tmp_path, damage):
    (tmp_path / "x.npy").write_bytes(damage)
    said = complaint("run", model, tmp_path / "x.npy")
    assert said.startswith(f"{tmp_path / 'x.npy'}: expected an NPY file of numbers")


@pytest.mark.skipif("ELMAN_SANITIZED" in os.environ, reason="the sanitizer adds its own words")
def test_an_npy_file_cannot_ask_for_more_memory_than_there_is(model):
    header = io.BytesIO()
    shape = (2**40, 3)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    said = complaint("run", model, "-", stdin=header.getvalue())
    assert said.startswith("standard input: expected an NPY file of numbers")


@pytest.mark.parametrize("command", ["info", "verify", "run", "bench"])
def test_a_missing_model_is_one_sentence(tmp_path, command):
    missing = tmp_path / "missing.safetensors"
    said = complaint(command, missing, *(["-"] if command == "run" else []))
    assert said == f"{missing}: No such file or directory"


@pytest.mark.parametrize("command", ["info", "verify", "run", "bench"])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path, command):
    (tmp_path / "model").write_bytes(b"PK\x03\x04" + bytes(100))
    said = complaint(command, tmp_path / "model", *(["-"] if command == "run" else []))
    assert str(tmp_path / "model") in said


def test_missing_and_unusable_paths_are_one_sentence(model, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"1,2,3\n")
    x, nowhere = tmp_path / "x.csv", tmp_path / "no" / "where.csv"
    assert complaint("run", model, nowhere) == f"{nowhere}: No such file or directory"
    assert complaint("verify", model, "--input", nowhere).startswith(f"{nowhere}: ")
    assert complaint("run", model, x, "-o", nowhere).startswith(f"{nowhere}: ")
    assert complaint("run", model, tmp_path) == f"{tmp_path}: Is a directory"


def test_the_output_cannot_overwrite_the_input(model, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"1,2,3\n")
    for option in ([], ["--stream"]):
        said = complaint("run", model, tmp_path / "x.csv", "-o", tmp_path / "x.csv", *option)
        assert said == f"{tmp_path / 'x.csv'}: the output would overwrite the input"
    assert (tmp_path / "x.csv").read_bytes() == b"1,2,3\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--stream", "--last"],
        ["--stream", "--format", "npy"],
        ["--threads", "0"],
        ["--format", "x"],
        ["--x"],
    ],
)
def test_wrong_usage_ends_with_code_2(model, options):
    done = run_elman("run", model, "-", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Error" in done.stderr
    assert b"Traceback" not in done.stderr


def test_stream_refuses_npy(model):
    said = complaint("run", model, "-", "--stream", stdin=as_npy(inputs(5, 3)))
    assert said == "standard input: --stream reads lines of CSV, got an NPY file"


# --- elman info and verify ------------------------------------------------------------------------


def test_info_gives_a_program_the_facts(net, model):
    facts = json.loads(answer("info", model, "--json"))
    assert facts["file"] == str(model)
    assert facts["bytes"] == model.stat().st_size
    assert facts["hidden_sizes"] == [8, 5]
    assert facts["num_parameters"] == net.num_parameters
    assert (facts["dtype"], facts["isa"]) == (str(net.dtype), net.isa)
    assert (facts["input_scaling"], facts["output_scaling"]) == (True, False)
    assert facts["metadata"] == {"title": "a test"}
    assert facts["versions"]["elman"] == elman.__version__
    assert facts["versions"]["numpy"] == np.__version__


def test_info_gives_a_person_the_facts(net, model):
    text = answer("info", model).decode()
    for fact in ("3 > 8 > 5 > 2", str(net.num_parameters), str(net.dtype), net.isa, "a test"):
        assert fact in text


def test_info_says_the_numbers_of_activations(tmp_path):
    f, g = elman.Activation("leaky_relu", alpha=0.1), elman.Activation("tanh", clip=3)
    sizes = {"input_size": 3, "hidden_size": [4, 5], "output_size": 2}
    elman.Network(**sizes, activation=[f, "relu"], output_activation=g, seed=0).save(
        tmp_path / "model"
    )
    text = answer("info", tmp_path / "model").decode()
    assert "leaky_relu(alpha=0.1), relu; output tanh(clip=3)" in text
    facts = json.loads(answer("info", tmp_path / "model", "--json"))
    assert facts["activations"] == ["leaky_relu(alpha=0.1)", "relu"]
    assert facts["output_activation"] == "tanh(clip=3)"


def test_info_understands_a_network_without_readout(tmp_path):
    net = elman.Network(input_size=3, hidden_size=4, output_size=None, seed=0)
    net.save(tmp_path / "model")
    assert "3 > 4\n" in answer("info", tmp_path / "model").decode()
    facts = json.loads(answer("info", tmp_path / "model", "--json"))
    assert (facts["output_activation"], facts["output_size"]) == (None, 4)


def test_a_bidirectional_network_is_described_and_run_whole(rng, tmp_path):
    net = elman.Network(
        input_size=2, hidden_size=3, output_size=1, direction="bidirectional", dtype="float64"
    )
    model, table = tmp_path / "model", tmp_path / "x.npy"
    net.save(model)
    x = rng.standard_normal((3 * tables.STEPS, 2))
    np.save(table, x)
    text = answer("info", model).decode()
    assert "2 > 2 x 3 > 1\n" in text
    assert "bidirectional\n" in text
    facts = json.loads(answer("info", model, "--json"))
    assert (facts["directions"], facts["state_size"]) == (["bidirectional"], 6)
    got = np.load(io.BytesIO(answer("run", model, table, "--format", "npy")))
    assert (got == net(x)).all()
    assert b"verified" in answer("verify", model)
    said = complaint("run", model, "-", "--stream", stdin=b"1,2\n")
    assert said.startswith("stream: expected layers that all run forward")


def test_a_model_file_cannot_steer_the_terminal(tmp_path):
    net = elman.Network(
        input_size=1, hidden_size=1, output_size=1, seed=0, metadata={"a\x1b[2J": "b\x1b]0;c\x07\n"}
    )
    net.save(tmp_path / "model")
    out = answer("info", tmp_path / "model")
    assert not {0x1B, 0x07} & set(out)
    assert b"a\\x1b[2J" in out


def test_metadata_that_the_terminal_cannot_encode_are_escaped(tmp_path):
    net = elman.Network(
        input_size=1, hidden_size=1, output_size=1, seed=0, metadata={"title": "caf\xe9"}
    )
    net.save(tmp_path / "model")
    out = answer("info", tmp_path / "model", env={"PYTHONIOENCODING": "ascii"})
    assert b"caf\\xe9" in out


def test_verify_passes_a_right_network(net, model, tmp_path):
    assert "verified" in answer("verify", model).decode()
    np.save(tmp_path / "x.npy", inputs(2, 30, 3))
    report = json.loads(answer("verify", model, "--input", tmp_path / "x.npy", "--json"))
    assert report["ok"] is True
    assert report["steps"] == 60
    report = json.loads(answer("verify", model, "--input", "-", "--json", stdin=b"1,2,3\n"))
    assert report["steps"] == 1


def test_verify_draws_its_numbers_from_the_seed(model):
    first, again, other = (answer("verify", model, "--json", "--seed", s) for s in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize("as_json", [False, True])
def test_verify_fails_a_wrong_network_with_code_1(model, as_json):
    done = python(
        "import sys, elman._network\n"
        "def verify(self, *args, **kwargs): raise elman.VerificationError('layer 0 is wrong')\n"
        "elman.Network.verify = verify\n"
        f"sys.argv = ['elman', 'verify', {str(model)!r}] + ['--json'] * {as_json}\n"
        "from elman.cli import main; sys.exit(main())"
    )
    assert done.returncode == 1
    if as_json:
        assert json.loads(done.stdout) == {"ok": False, "message": "layer 0 is wrong"}
        assert done.stderr == ""
    else:
        assert (done.stdout, done.stderr) == ("", "elman: layer 0 is wrong\n")


# --- elman bench ----------------------------------------------------------------------------------

WORKS = {"step", "sequence", "batch"}


@pytest.fixture(scope="module")
def tanh_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "model.safetensors"
    elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=1).save(path)
    return path


def names_of(entries):
    return {entry["name"] for entry in entries}


def test_bench_times_three_ways_on_a_model(tanh_model):
    facts = json.loads(answer("bench", tanh_model, "--json"))
    (network,) = facts["networks"]
    assert (network["sizes"], network["dtype"]) == ("3 > 8 > 5 > 2", "float32")
    assert facts["left_out"] == network["left_out"] == network["wrong"] == {}
    for work in WORKS:
        first, *_ = network[work]
        assert first["name"] == "elman"
        assert first["ratio"]["median"] == 1
        assert names_of(network[work]) == {"elman", "pure_python", "numpy"}
        assert all(entry["ns_per_step"]["median"] > 0 for entry in network[work])


def test_bench_has_networks_of_its_own_for_a_person():
    text = answer("bench", "--sizes", "16,8", env={"COLUMNS": "80"}).decode()
    assert text.index("1 > 8 > 1") < text.index("4 > 16 > 1")
    for word in ("elman", "pure Python", "NumPy", *WORKS):
        assert word in text
    assert "\x1b" not in text


@pytest.mark.parametrize("more", [{"output_activation": "softmax"}, {"output_size": None}])
def test_bench_leaves_out_who_cannot_compute_a_model(tmp_path, more):
    sizes = {"input_size": 3, "hidden_size": 4, "output_size": 2}
    elman.Network(**sizes | more, seed=0, activation="relu").save(tmp_path / "model")
    (network,) = json.loads(answer("bench", tmp_path / "model", "--json"))["networks"]
    assert set(network["left_out"]) == {"numpy"}
    assert names_of(network["step"]) == {"elman", "pure_python"}
    text = " ".join(answer("bench", tmp_path / "model").decode().split())
    assert "NumPy is left out: takes only tanh layers" in text


def test_bench_names_the_benchmark_that_times_other_frameworks():
    said = run_elman("bench", "--help", env={"COLUMNS": "200"}).stdout.decode()
    assert "python bench/run.py" in said
    assert "pip install '.[bench]'" in said


def test_bench_times_no_wrong_answer(tanh_model):
    done = python(
        "import sys, elman.pure\n"
        "elman.pure.step = lambda weights, x, state: ([1e3, 0.0], state)\n"
        f"sys.argv = ['elman', 'bench', {str(tanh_model)!r}, '--json']\n"
        "from elman.cli import main; sys.exit(main())"
    )
    (network,) = json.loads(done.stdout)["networks"]
    assert network["wrong"]["pure_python"].startswith("step: step: off by")
    assert names_of(network["step"]) == {"elman", "numpy"}


def test_bench_keeps_to_one_thread_before_numpy_is_imported(tanh_model):
    done = python(
        "import sys, elman.cli.timing\n"
        "def one_thread(): print('numpy' in sys.modules)\n"
        "elman.cli.timing.one_thread = one_thread\n"
        f"sys.argv = ['elman', 'bench', {str(tanh_model)!r}]\n"
        "from elman.cli import main; sys.exit(main())"
    )
    assert done.stdout.startswith("False\n")


@pytest.mark.parametrize("sizes", ["33", "8,x"])
def test_bench_names_the_sizes_it_knows(sizes):
    done = run_elman("bench", "--sizes", sizes)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"takes some of" in done.stderr


# --- terminals ------------------------------------------------------------------------------------


@pytest.fixture
def terminal():
    """Give a pseudo-terminal: a file to write to, and a function that returns what it has got."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
    reader, writer = pty.openpty()
    with os.fdopen(reader, "rb", buffering=0) as shown, os.fdopen(writer, "wb") as tty:

        def content():
            tty.close()
            text = b""
            try:
                while piece := shown.read(4096):
                    text += piece
            except OSError:  # Linux says so when the other end is closed
                pass
            return text

        yield tty, content


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_long_work_shows_a_progress_bar_on_a_terminal_only(model, tmp_path, terminal, suffix):
    tty, content = terminal
    x = inputs(4 * tables.STEPS, 3)
    source, output = tmp_path / f"x.{suffix}", tmp_path / "y.csv"
    source.write_bytes(as_csv(x) if suffix == "csv" else as_npy(x))
    impatient = (
        "import sys, elman.cli.run; elman.cli.run.PATIENCE = 0\n"
        f"sys.argv = ['elman', 'run', {str(model)!r}, {str(source)!r}, '-o', {str(output)!r}]\n"
        "elman.cli.main()"
    )
    assert python(impatient).stderr == ""
    without = output.read_bytes()
    subprocess.run([sys.executable, "-c", impatient], stderr=tty, check=True)
    assert b"running" in content()
    assert output.read_bytes() == without


def test_bench_shows_how_far_it_is_on_a_terminal_only(tanh_model, terminal):
    tty, content = terminal
    args = [*ELMAN, "bench", tanh_model, "--json"]
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=tty, check=True)
    assert b"timing" in content()
    json.loads(done.stdout)


def test_short_work_shows_nothing(model, tmp_path, terminal):
    tty, content = terminal
    (tmp_path / "x.csv").write_bytes(as_csv(inputs(10, 3)))
    args = [*ELMAN, "run", model, tmp_path / "x.csv", "-o", tmp_path / "y.csv"]
    subprocess.run(args, stderr=tty, check=True)
    assert content() == b""
