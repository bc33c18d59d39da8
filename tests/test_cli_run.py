"""`elman run`: the bits of a call for each sequence, the columns of the result, whole outputs."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import elman
from elman.files import lines
from fixtures.command import Terminal, answer, complaint, run, start
from fixtures.tables import as_csv, as_npy, from_csv, inputs

pytestmark = pytest.mark.any_isa

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"], scope="module")


@pytest.fixture(scope="module")
def dtype():
    """The dtype of `net`; with `both_dtypes` a test runs for both."""
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


# --- elman run ------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("steps", [1, 4096, 4097])
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


@pytest.mark.parametrize("shape", [(9, 3), (4, 9, 3), (2, 3, 9, 3)])
def test_run_takes_npy_with_any_batch_axes(net, model, shape):
    x = inputs(*shape)
    for option in ([], ["--last"], ["--threads", "2"]):
        out = answer("run", model, "-", "--format", "npy", *option, stdin=as_npy(x))
        want = net(x, outputs="last" if "--last" in option else "all")
        got = np.load(io.BytesIO(out))
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        assert np.array_equal(got, want)


def test_run_in_chunks_gives_the_bits_of_one_call(net, model):
    x = inputs(700, 512, 3)
    assert x.size > 1 << 20  # values of a chunk
    out = answer("run", model, "-", "--format", "npy", stdin=as_npy(x))
    assert np.array_equal(np.load(io.BytesIO(out)), net(x))


def test_last_is_one_line_of_csv_for_each_sequence(net, model):
    x = inputs(4099, 3)
    out = answer("run", model, "-", "--last", stdin=as_csv(x))
    assert np.array_equal(from_csv(out, net.dtype.type), net(x, outputs="last")[np.newaxis])
    batch = inputs(6, 5, 3)
    out = answer("run", model, "-", "--last", stdin=as_npy(batch))
    assert np.array_equal(from_csv(out, net.dtype.type), net(batch, outputs="last"))


# --- elman run --stream ---------------------------------------------------------------------------


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


@both_dtypes
def test_stream_gives_the_bytes_of_run(model):
    text = b"a,b,c\n\n" + as_csv(inputs(100, 3))
    streamed = answer("run", model, "-", "--stream", stdin=text)
    assert streamed == answer("run", model, "-", stdin=text)
    assert streamed.startswith(b"output_1,output_2\n")
    assert streamed.count(b"\n") == 101


# --- the model's table ----------------------------------------------------------------------------

TABLE = elman.Table(inputs=list("cab"), targets=["u", "v"], sequence="id")


@pytest.fixture
def named(net, tmp_path):
    """A model whose table names its inputs, its outputs and the column of sequences."""
    path = tmp_path / "named.safetensors"
    net.replace(table=TABLE).save(path)
    return path


def in_sequences(names, x, header="b,id,note,c,a"):
    """Return rows of inputs c, a, b as CSV with other columns."""
    rows = zip(x.tolist(), names, strict=True)
    return "\n".join(
        [header, *(f"{b!r},{name},?,{c!r},{a!r}" for (c, a, b), name in rows)]
    ).encode()


def lines_of(out):
    """Return the header and the rows of fields."""
    header, *rows = (line.split(",") for line in out.decode().splitlines())
    return header, rows


def numbers(rows, dtype, first):
    """Return the fields from this one on as an array."""
    return np.array([[dtype.type(field) for field in row[first:]] for row in rows])


def of_each(net, x, names, outputs="all"):
    """Return the outputs of each sequence for itself, in the order of lines or of names."""
    names = np.array(list(names))
    rows = {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}
    if outputs == "last":
        return np.stack([net(x[place], "last") for place in rows.values()])
    y = np.empty((len(x), net.output_size), net.dtype)
    for place in rows.values():
        y[place] = net(x[place])
    return y


def test_each_sequence_that_a_column_names_is_run_for_itself(net, named):
    x, names = inputs(9, 3), "abacabbca"
    text, want = in_sequences(names, x), of_each(net, x, names)
    outs = [
        answer("run", named, "-", *options, stdin=text)
        for options in ([], ["--threads", "2"], ["--stream"], ["--sequence", "id"])
    ]
    header, rows = lines_of(outs[0])
    assert header == ["id", "u", "v"]
    assert [row[0] for row in rows] == list(names)
    assert np.array_equal(numbers(rows, net.dtype, 1), want)
    assert outs == [outs[0]] * 4
    last = of_each(net, x, names, "last")
    header, rows = lines_of(answer("run", named, "-", "--last", stdin=text))
    assert (header, [row[0] for row in rows]) == (["id", "u", "v"], ["a", "b", "c"])
    assert np.array_equal(numbers(rows, net.dtype, 1), last)
    out = answer("run", named, "-", "--last", "--format", "npy", stdin=text)
    assert np.array_equal(np.load(io.BytesIO(out)), last)
    out = answer("run", named, "-", "--format", "npy", stdin=text)
    assert np.array_equal(np.load(io.BytesIO(out)), want)
    steps = json.loads(answer("verify", named, "--input", "-", "--json", stdin=text))["steps"]
    assert steps == 9


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_200_machines_in_one_file_are_200_sequences(tmp_path, outputs):
    """Run as one sequence, the state goes from machine to machine: another class here and there."""
    sizes = {"input_size": 2, "hidden_size": 16, "output_size": 3, "output_activation": "softmax"}
    table = elman.Table(
        inputs=["heat", "noise"],
        targets=["condition"],
        sequence="machine",
        classes=["broken", "fine", "worn"],
        outputs=outputs,
    )
    net = elman.Network(**sizes, seed=1, init=elman.EchoState(), table=table)
    net.save(tmp_path / "m")
    x = inputs(200, 12, 2)
    text = "".join(f"{h!r},m{i},{n!r}\n" for i, rows in enumerate(x.tolist()) for h, n in rows)
    (tmp_path / "x.csv").write_text("heat,machine,noise\n" + text)
    header, rows = lines_of(answer("run", tmp_path / "m", tmp_path / "x.csv"))
    assert header == ["machine", "class", "broken", "fine", "worn"]
    y = net(x, outputs)
    flat, each = y.reshape(-1, 3), 1 if outputs == "last" else 12
    want = np.array(table.classes)[flat.argmax(axis=1)]
    assert [row[0] for row in rows] == [f"m{i // each}" for i in range(200 * each)]
    assert [row[1] for row in rows] == want.tolist()
    assert np.array_equal(numbers(rows, net.dtype, 2), flat)
    one = net(x.reshape(-1, 2)).reshape(y.shape) if outputs == "all" else None
    assert one is None or (one.argmax(-1) != y.argmax(-1)).mean() > 0.01  # what it was


def test_a_file_without_the_column_of_sequences_is_refused_unless_it_is_one(net, named):
    x = inputs(5, 3)
    text = in_sequences("abcde", x, header="b,name,note,c,a")
    said = complaint("run", named, "-", stdin=text)
    assert re.match("standard input: expected the column 'id'", said)
    out = answer("run", named, "-", "--sequence", "", stdin=text)
    assert np.array_equal(numbers(lines_of(out)[1], net.dtype, 0), net(x))
    said = complaint("run", named, "-", stdin=as_csv(x))  # no header: no other columns
    assert "expected the column 'id', the sequence of each line, got no header" in said
    out = answer("run", named, "-", "--sequence", "", stdin=as_csv(x))
    assert np.array_equal(from_csv(out, net.dtype.type), net(x))


def test_an_error_at_the_beginning_leaves_standard_output_empty(named, tmp_path):
    assert "expected the column 'b'" in complaint("run", named, "-", stdin=b"id,a,c\nx,1,2\n")
    assert "line 2, column b" in complaint("run", named, "-", stdin=b"id,a,b,c\nx,1,,2\n")
    table = elman.Table(inputs=["a"], targets=["u"])
    net = elman.Network(1, 2, 1, seed=0, direction="bidirectional", table=table)
    net.save(tmp_path / "m")
    said = complaint("run", tmp_path / "m", "-", "--stream", stdin=b"a\n1\n")
    assert "expected layers that all run forward" in said


def test_a_model_without_a_table_is_told_the_column_of_sequences(net, model):
    x, names = inputs(6, 3), "babbab"
    rows = zip(x.tolist(), names, strict=True)
    text = "".join(f"{a!r},{name},{b!r},{c!r}\n" for (a, b, c), name in rows).encode()
    want = of_each(net, x, names)
    out = answer("run", model, "-", "--sequence", "who", stdin=b"p,who,q,r\n" + text)
    header, rows = lines_of(out)
    assert header == ["who", "output_1", "output_2"]
    assert [row[0] for row in rows] == list(names)
    assert np.array_equal(numbers(rows, net.dtype, 1), want)
    out = answer("run", model, "-", "--sequence", "2", stdin=text)
    assert (
        out
        == answer("run", model, "-", "--sequence", "who", stdin=b"p,who,q,r\n" + text).split(
            b"\n", 1
        )[1]
    )
    said = complaint("run", model, "-", "--sequence", "whom", stdin=b"p,who,q,r\n" + text)
    assert "'whom'" in said


def test_without_a_header_the_column_of_sequences_is_given_by_its_number(net, named):
    x, names = inputs(9, 3), "abacabbca"
    rows = zip(x.tolist(), names, strict=True)
    text = "".join(f"{c!r},{name},{a!r},{b!r}\n" for (c, a, b), name in rows).encode()
    assert "expected the column 'id'" in complaint("run", named, "-", stdin=text)
    out = answer("run", named, "-", "--sequence", "2", stdin=text).decode()
    rows = [line.split(",") for line in out.splitlines()]
    assert [row[0] for row in rows] == list(names)
    assert np.array_equal(numbers(rows, net.dtype, 1), of_each(net, x, names))
    said = complaint("run", named, "-", "--sequence", "2", stdin=in_sequences(names, x))
    assert said == "sequence: expected 'id', as in the model's table, got '2'"


def test_the_column_of_sequences_may_be_named_as_in_the_file(net, named):
    x, names = inputs(6, 3), "babbab"
    text = in_sequences(names, x).replace(b"id", b" ID", 1)
    out = answer("run", named, "-", "--sequence", "ID", stdin=text)
    assert np.array_equal(numbers(lines_of(out)[1], net.dtype, 1), of_each(net, x, names))


def test_another_column_of_sequences_than_the_tables_is_refused(named):
    text = in_sequences("ab", inputs(2, 3))
    said = complaint("run", named, "-", "--sequence", "note", stdin=text)
    assert said == "sequence: expected 'id', as in the model's table, got 'note'"


@pytest.mark.parametrize("missing", [[], ["--missing", "hold"]])
def test_blocks_of_a_file_do_not_show_in_interleaved_sequences(
    net, named, tmp_path, monkeypatch, missing
):
    monkeypatch.setattr(lines, "BLOCK", 1 << 12)  # about 50 lines
    x = inputs(1000, 3)
    names = [f"s{i % 7 + i // 90}" for i in range(len(x))]
    (tmp_path / "x.csv").write_bytes(in_sequences(names, x))
    _, rows = lines_of(answer("run", named, tmp_path / "x.csv", *missing))
    assert np.array_equal(numbers(rows, net.dtype, 1), of_each(net, x, names))
    _, rows = lines_of(answer("run", named, tmp_path / "x.csv", "--last", *missing))
    assert [row[0] for row in rows] == list(dict.fromkeys(names))
    assert np.array_equal(numbers(rows, net.dtype, 1), of_each(net, x, names, "last"))


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_sequences_of_a_network_that_reads_backwards(tmp_path, direction):
    sizes = {"input_size": 3, "hidden_size": 4, "output_size": 2}
    table = TABLE
    net = elman.Network(**sizes, direction=direction, seed=0, initial_state=None, table=table)
    net.save(tmp_path / "m")
    x, names = inputs(9, 3), "abacabbca"
    _, rows = lines_of(answer("run", tmp_path / "m", "-", stdin=in_sequences(names, x)))
    assert np.array_equal(numbers(rows, net.dtype, 1), of_each(net, x, names))


def test_sequences_begin_in_the_stored_state(tmp_path):
    sizes = {"input_size": 3, "hidden_size": 4, "output_size": 2}
    net = elman.Network(**sizes, seed=0, initial_state=np.linspace(-0.9, 0.9, 4), table=TABLE)
    net.save(tmp_path / "m")
    x, names = inputs(9, 3), "abacabbca"
    _, rows = lines_of(answer("run", tmp_path / "m", "-", stdin=in_sequences(names, x)))
    assert np.array_equal(numbers(rows, net.dtype, 1), of_each(net, x, names))


def test_several_steps_ahead_are_columns_and_times_are_passed_through(net, tmp_path):
    table = elman.Table(inputs=["load", "x", "y"], targets=["load"], horizon=[1, 24], time="when")
    net.replace(table=table).save(tmp_path / "m")
    x = inputs(3, 3)
    whens = [f"2024-03-0{i} 00:00" for i in (1, 2, 3)]
    text = "when,load,x,y\n" + "".join(
        f"{when},{','.join(map(repr, row))}\n" for when, row in zip(whens, x.tolist(), strict=True)
    )
    for option in ([], ["--stream"]):
        header, rows = lines_of(answer("run", tmp_path / "m", "-", *option, stdin=text.encode()))
        assert header == ["when", "load+1", "load+24"]
        assert [row[0] for row in rows] == whens
        assert np.array_equal(numbers(rows, net.dtype, 1), net(x))
    header, rows = lines_of(answer("run", tmp_path / "m", "-", "--last", stdin=text.encode()))
    assert header == ["load+1", "load+24"]
    assert np.array_equal(numbers(rows, net.dtype, 0), net(x, "last")[None])


def test_keys_that_need_quotes_get_them_and_names_that_are_taken_an_underscore(net, tmp_path):
    table = elman.Table(inputs=list("abc"), classes=["id", "class"], sequence="id")
    net.replace(table=table).save(tmp_path / "m")
    text = b'id,a,b,c\n"x, ""y""",1,2,3\n"#z",1,2,3\n'
    out = answer("run", tmp_path / "m", "-", stdin=text).decode().splitlines()
    assert out[0] == "id_,class_,id,class"
    assert [line.rsplit(",", 3)[0] for line in out[1:]] == ['"x, ""y"""', '"#z"']


def test_an_output_that_is_not_a_number_has_no_class(net):
    from elman.files import running

    net = net.replace(table=elman.Table(classes=["no", "yes"]))
    y = np.array([[0.1, 0.9], [np.nan, 0.5], [0.5, 0.5]], net.dtype)
    assert running.class_names(net, y) == ["yes", "", "no"]


@pytest.mark.parametrize("option", [[], ["--stream"], ["--last"]])
def test_a_header_without_an_input_of_the_model_is_refused(named, option):
    said = complaint("run", named, "-", *option, stdin=b"a,id,b\n1,x,2\n")
    assert re.match("standard input: expected .*'c'.*'a', 'id', 'b'", said)


def test_the_table_says_whether_the_last_output_is_the_answer(net, tmp_path):
    path, x = tmp_path / "m", inputs(4, 3)
    net.replace(table=elman.Table(outputs="last")).save(path)
    last = net(x, "last")[None]
    for options, want in (
        ([], last),
        (["--last"], last),
        (["--all"], net(x)),
        (["--stream"], net(x)),
    ):
        out = answer("run", path, "-", *options, stdin=as_csv(x))
        assert np.array_equal(from_csv(out, net.dtype.type), want)


def test_stream_answers_the_lines_before_a_bad_one(net, model):
    done = run("run", model, "-", "--stream", stdin=b"1,2,3\n4,5,6\n7,8\n")
    assert np.array_equal(from_csv(done.stdout, net.dtype.type), net([[1, 2, 3], [4, 5, 6]]))
    assert done.returncode == 2
    assert re.match(b"elman: standard input line 3: expected 3 .*, got 2\n", done.stderr)


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no SIGPIPE on this system")
def test_a_closed_pipe_ends_it_quietly(model, tmp_path):
    (tmp_path / "x.csv").write_bytes(as_csv(inputs(20_000, 3)))
    with start("run", model, tmp_path / "x.csv") as process:
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
        assert process.stdout.readline()  # it is running
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == b"elman: interrupted\n"


def test_missing_and_unusable_paths_are_one_sentence(model, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"1,2,3\n")
    x, nowhere = tmp_path / "x.csv", tmp_path / "no" / "where.csv"
    assert complaint("run", model, nowhere) == f"{nowhere}: No such file or directory"
    assert complaint("verify", model, "--input", nowhere).startswith(f"{nowhere}: ")
    assert complaint("run", model, x, "-o", nowhere).startswith(f"{nowhere.parent}: ")
    assert (
        complaint("run", model, tmp_path) == f"{tmp_path}: a folder without files .npy or .parquet"
    )


# --- refused input --------------------------------------------------------------------------------


def bad_line_4711():
    lines = as_csv(inputs(5000, 3)).splitlines()
    lines[4710] = b"0.5,0,7.O"
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("text", "where", "got"),
    [
        (bad_line_4711(), " line 4711, column 3", "'7.O'"),
        (b"1,2,3\n1,2\n", " line 2", "2"),
        (b"1,2,3,4\n", "", "4"),
        (b"a,b,c\nd,e,f\n", " line 2, column a", "'d'"),
        (b"1,2,3\n1;2;3\n", " line 2", "1"),
        (b"1,2,3\n1,2,3,\n", " line 2", "4"),
        (b"1,2,3\n1,2," + b"z" * 999, " line 2, column 3", f"'{40 * 'z'}...'"),
    ],
)
def test_a_bad_line_of_csv_is_named(model, tmp_path, text, where, got):
    path = tmp_path / "input.csv"
    path.write_bytes(text)
    said = complaint("run", model, path, "-o", tmp_path / "y.csv")
    assert said.startswith(f"{path}{where}: expected ")
    assert said.endswith(f", got {got}; {tmp_path / 'y.csv'} was not written")


def test_a_model_of_one_input_refuses_two_columns(tmp_path):
    elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0).save(tmp_path / "m")
    said = complaint("run", tmp_path / "m", "-", stdin=b"1,2\n")
    assert said == "standard input: expected 1 column of inputs, got 2"


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (inputs(5), "expected (..., T, 3), got (5,)"),
        (inputs(5, 4), "expected (..., T, 3), got (5, 4)"),
        (np.float64(1.0), "expected (..., T, 3), got ()"),
        (np.array([[1, "a", None]]), "NPY"),
        (inputs(2, 5, 3), "--format npy"),
        (inputs(5, 3) + 0j, "complex128"),
    ],
)
def test_a_bad_array_is_named(model, array, got):
    said = complaint("run", model, "-", stdin=as_npy(array))
    assert got in said


@pytest.mark.parametrize("damage", [b"", b"\x93NUM", as_npy(inputs(50, 3))[:-1]])
def test_a_damaged_npy_file_is_named(model, tmp_path, damage):
    (tmp_path / "x.npy").write_bytes(damage)
    said = complaint("run", model, tmp_path / "x.npy")
    assert said.startswith(f"{tmp_path / 'x.npy'}: expected ")


@pytest.mark.skipif("ELMAN_SANITIZED" in os.environ, reason="the sanitizer adds its own words")
def test_an_npy_file_cannot_ask_for_more_memory_than_there_is(model):
    header = io.BytesIO()
    shape = (2**40, 3)  # 26 TB
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    said = complaint("run", model, "-", stdin=header.getvalue())
    assert said.startswith("standard input: expected an NPY file")


# --- whole outputs --------------------------------------------------------------------------------


@pytest.fixture
def x_csv(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(as_csv(inputs(2000, 3)))
    return path


@pytest.fixture
def y_csv(tmp_path):
    """The result of yesterday."""
    path = tmp_path / "y.csv"
    path.write_bytes(b"yesterday\n")
    return path


def kept(path, *others):
    """Return whether the result of yesterday is still there, and nothing new."""
    folder = {path, *others}
    return path.read_bytes() == b"yesterday\n" and set(path.parent.iterdir()) == folder


def test_the_output_is_never_the_input_or_the_model(net, x_csv, tmp_path):
    model = tmp_path / "m.safetensors"
    net.save(model)
    (tmp_path / "link").symlink_to(x_csv)
    os.link(model, tmp_path / "hard")
    before = x_csv.read_bytes(), model.read_bytes()
    for output in (x_csv, tmp_path / "link", model, tmp_path / "hard", f"{tmp_path}/./x.csv"):
        said = complaint("run", model, x_csv, "-o", output)
        assert said.startswith(f"{output}: expected a file other than ")
        assert "overwrite" in said
    with x_csv.open("ab") as appending:
        done = run("run", model, x_csv, stdout=appending)
    assert done.returncode == 2
    assert done.stderr.startswith(b"elman: standard output: expected a file other than ")
    assert (x_csv.read_bytes(), model.read_bytes()) == before


def test_an_output_that_exists_is_replaced_with_its_mode_and_its_links(net, model, x_csv, tmp_path):
    y, link = tmp_path / "y.csv", tmp_path / "link.csv"
    y.write_bytes(b"yesterday\n")
    y.chmod(0o640)
    link.symlink_to(y)
    assert answer("run", model, x_csv, "-o", link) == b""
    assert link.is_symlink()
    assert y.stat().st_mode & 0o777 == 0o640
    assert np.array_equal(from_csv(y.read_bytes(), net.dtype.type), net(inputs(2000, 3)))


@pytest.mark.parametrize("line", ["0.5,0,7.O", "1,2"])
def test_a_bad_line_leaves_the_output_as_it_was(model, tmp_path, y_csv, line):
    text = as_csv(inputs(5000, 3)).decode().splitlines()
    text[4710] = line
    x = tmp_path / "x.csv"
    x.write_text("\n".join(text))
    said = complaint("run", model, x, "-o", y_csv)
    assert re.match(rf"{x} line 4711(, column 3)?: expected ", said)
    assert said.endswith(f"; {y_csv} was not written")
    assert kept(y_csv, x)


def test_devices_are_written_to(model, x_csv):
    assert answer("run", model, x_csv, "-o", os.devnull) == b""
    written = answer("run", model, x_csv)
    assert answer("run", model, x_csv, "-o", "/dev/stdout") == written
    assert answer("run", model, "-", "--stream", "-o", "/dev/stdout", stdin=b"1,2,3\n") != b""


def test_a_stream_does_not_go_into_a_file(model, tmp_path):
    said = complaint("run", model, "-", "--stream", "-o", tmp_path / "y.csv", stdin=b"1,2,3\n")
    assert said.startswith("--output: expected standard output or a device with --stream, got ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_named(model, x_csv):
    full = "No space left on device"
    assert complaint("run", model, x_csv, "-o", "/dev/full") == f"/dev/full: {full}"
    for command in (("run", model, x_csv), ("info", model), ("--help",)):
        with open("/dev/full", "wb", buffering=0) as stdout:
            done = run(*command, stdout=stdout)
        assert (done.returncode, done.stderr.decode()) == (2, f"elman: standard output: {full}\n")


def limited(model, x, y):
    """Return a command that may write files of 10 kB, as on a disk that gets full."""
    return f"ulimit -f 10; exec {sys.executable} -m elman run {model} {x} -o {y}"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_a_file_that_cannot_grow_leaves_the_old_one(net, tmp_path, suffix):
    model, x, y = tmp_path / "m", tmp_path / "x.csv", tmp_path / f"y.{suffix}"
    net.save(model)
    x.write_bytes(as_csv(inputs(2000, 3)))
    y.write_bytes(b"yesterday\n")
    done = subprocess.run(
        ["sh", "-c", limited(model, x, y)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"elman: {y}: File too large; {y} was not written\n"
    assert kept(y, x, model)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does it")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_the_output_as_it_was_and_says_so(model, y_csv, number, code, word):
    with start("run", model, "-", "-o", y_csv) as process:
        process.stdin.write(as_csv(inputs(100, 3)))
        process.stdin.flush()
        while len(list(y_csv.parent.iterdir())) < 2:  # until the temporary file is there
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(timeout=60) == code
        assert process.stderr.read().decode() == f"elman: {word}; {y_csv} was not written\n"
    assert kept(y_csv)


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize(
    ("closed", "code", "told"),
    [
        ("<&-", 2, "elman: standard input: is closed\n"),
        (">&-", 2, "elman: standard output: is closed\n"),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 2, ""),
    ],
)
def test_closed_standard_streams(net, model, closed, code, told):
    command = f"{sys.executable} -m elman run {model} - {closed}"
    done = subprocess.run(["sh", "-c", command], input=b"1,2,3\n", capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (code, told)
    if code == 0:
        assert np.array_equal(from_csv(done.stdout, net.dtype.type), net([[1, 2, 3]]))
    else:
        assert done.stdout == b""


def test_names_in_messages_cannot_steer_the_terminal(tmp_path):
    evil = "no\x1b[31m\nsuch"
    said = complaint("run", tmp_path / evil, "-")
    assert said == f"{tmp_path}/no\\x1b[31m\\nsuch: No such file or directory"
    done = run("run", "--\x1b[31m")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert b"\\x1b[31m" in done.stderr


def test_no_memory_is_one_sentence(model, x_csv, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(elman, "load", fail)
    assert complaint("run", model, x_csv) == "not enough memory"


@pytest.mark.parametrize("option", [[], ["--stream"]])
def test_a_number_that_float32_does_not_hold_is_refused(tmp_path, option):
    model = tmp_path / "m"
    elman.Network(3, 4, 1, seed=0, dtype="float32").save(model)
    done = run("run", model, "-", *option, stdin=b"1,2,3\n1,-1e40,3\n")
    assert done.returncode == 2
    where = "standard input" if option else "standard input line 2"
    assert done.stderr.decode() == (
        f"elman: {where}: expected numbers of float32, up to 3.4e+38, got -1e+40\n"
    )


def test_an_empty_input_is_an_error(model):
    for options in ([], ["--last"], ["--stream"]):
        assert complaint("run", model, "-", *options).startswith("standard input: expected ")


@pytest.mark.parametrize(
    "options",
    [
        ["--stream", "--last"],
        ["--stream", "--format", "npy"],
        ["--stream", "--format", "parquet"],
        ["--stream", "--inputs", "a"],
        ["--stream", "--lengths", "n.npy"],
        ["--stream", "--columns", "a"],
        ["--stream", "--skip-bad", "bad.jsonl"],
        ["--stream", "--restart"],
        ["-o", "y.csv.gz"],
        ["--threads", "0"],
        ["--format", "x"],
        ["--x"],
    ],
)
def test_wrong_usage_ends_with_code_2(model, options):
    done = run("run", model, "-", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Error" in done.stderr
    assert b"Traceback" not in done.stderr


def test_stream_refuses_npy(model):
    said = complaint("run", model, "-", "--stream", stdin=as_npy(inputs(5, 3)))
    assert re.match("standard input: expected .*, got an array", said)


# --- terminals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_long_work_shows_a_progress_bar_on_a_terminal_only(model, tmp_path, suffix, monkeypatch):
    from elman.cli import progress

    monkeypatch.setattr(progress, "PATIENCE", 0)
    monkeypatch.setattr(lines, "BLOCK", 1 << 12)
    x = inputs(9000, 3)
    source, output = tmp_path / f"x.{suffix}", tmp_path / "y.csv"
    source.write_bytes(as_csv(x) if suffix == "csv" else as_npy(x))
    answer("run", model, source, "-o", output)
    without = output.read_bytes()
    with Terminal() as terminal:
        answer("run", model, source, "-o", output, stderr=terminal.file)
        assert b"running" in terminal.content()
    assert output.read_bytes() == without


def test_short_work_shows_nothing(model, tmp_path):
    (tmp_path / "x.csv").write_bytes(as_csv(inputs(10, 3)))
    options = ("-o", tmp_path / "y.csv")
    with Terminal() as terminal:
        answer("run", model, tmp_path / "x.csv", *options, stderr=terminal.file)
        assert terminal.content() == b""


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("done_before", [0, 100])
def test_without_a_terminal_there_is_a_line_a_minute(capsys, done_before):
    from elman.cli.progress import Progress

    def progress(second, begun=None):
        done = done_before + second  # of 400, one a second
        counts = (10 * done, 1000 * done, 4_000_000 * done, 0)
        return elman.Progress(done / 400, *counts, float(second), begun)

    clock, begun = Clock(), progress(0) if done_before else None
    with Progress(hidden=False, clock=clock) as shown:
        for second in range(1, 200):
            clock.now = float(second)
            shown(progress(second, begun))
    expected = {0: ["15 5:40", "30 4:40", "45 3:40"], 100: ["40 4:00", "55 3:00", "70 2:00"]}
    for line, numbers in zip(
        capsys.readouterr().err.splitlines(), expected[done_before], strict=True
    ):
        percent, left = numbers.split()
        speed = "10 sequences/s, 1,000 steps/s, 4 MB/s"
        assert line == f"elman: {percent} %, {speed}, {left} left"


def test_a_run_reports_its_progress_every_minute(tmp_path, capsys, monkeypatch):
    from elman.cli.progress import Progress
    from elman.files import jobs

    monkeypatch.setattr(jobs, "PART", 1000)
    np.save(tmp_path / "x.npy", inputs(700, 4, 3))
    clock, calls = Clock(), 0
    with Progress(hidden=False, clock=clock) as shown:

        def progress(done):
            nonlocal calls
            calls += 1
            clock.now += 25  # a third call is due after a minute
            shown(done)

        net = elman.Network(3, 4, 2, seed=0)
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy", progress=progress, threads=1)
    assert calls > 5
    assert len(capsys.readouterr().err.splitlines()) == calls // 3
