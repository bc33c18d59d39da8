"""The command line: same results as the package, one-sentence errors."""

import io
import json
import os
import re
import signal
import sys
import warnings
from importlib import metadata

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import elman
from fixtures.command import answer, complaint, run, start
from fixtures.processes import python
from fixtures.tables import as_npy, inputs

pytestmark = pytest.mark.any_isa


@pytest.fixture(scope="module")
def net():
    return elman.Network(
        input_size=3,
        hidden_size=[8, 5],
        output_size=2,
        seed=1,
        input_mean=[1.0, 0.0, -1.0],
        input_std=[0.5, 1.0, 2.0],
        metadata={"title": "a test"},
    )


@pytest.fixture(scope="module")
def model(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    net.save(path)
    return path


# --- elman itself ---------------------------------------------------------------------------------


def test_help_names_every_command_and_the_exit_codes():
    text = answer("--help").decode()
    for word in ("convert", "demo", "info", "run", "train", "verify", "bench"):
        assert re.search(rf"^ +{word} ", text, re.MULTILINE)
    assert re.search(r"codes: 0 .*\b1 .*\b2 ", text, re.DOTALL)


def test_version_is_that_of_the_package():
    assert answer("--version").decode() == f"elman {elman.__version__}\n"


def test_the_command_elman_is_the_same_as_the_module():
    (entry,) = metadata.entry_points(group="console_scripts", name="elman")
    assert entry.value == "elman.cli:main"


def test_a_process_reads_and_writes_pipes_and_ends_with_the_exit_code(net, model, tmp_path):
    x = inputs(2, 9, 3)
    with start("run", model, "-", "--format", "npy") as process:
        out, err = process.communicate(as_npy(x), timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert np.array_equal(np.load(io.BytesIO(out)), net(x))
    with start("info", tmp_path / "missing") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert err.startswith(f"elman: {tmp_path / 'missing'}: ".encode())


def test_a_command_leaves_the_process_of_the_tests_as_it_was():
    def state():
        streams = (sys.argv, sys.stdin, sys.stdout, sys.stderr, sys.excepthook)
        signals = [signal.getsignal(number) for number in signal.valid_signals()]
        return streams, signals, dict(os.environ), list(warnings.filters), elman.isa()

    before = state()
    assert run("bench", "--sizes", "33").returncode == 2  # variables are already set
    assert state() == before


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


def test_a_missing_extra_is_named_in_one_sentence(model, tmp_path):
    commands = {  # missing package: the command that needs it, what to install
        "typer": ("demo", "'elman[cli]'"),
        "rich": ("demo", "'elman[cli]'"),
        "matplotlib": (
            f"train {model} -o {tmp_path / 'm'} --plot {tmp_path / 'h.svg'}",
            "'elman[plot]'",
        ),
        "onnx": (f"convert {model} {tmp_path / 'm.onnx'}", "'elman[onnx]'"),
        "h5py": (f"convert {model} {tmp_path / 'm.weights.h5'} --fold-scaling", "'elman[keras]'"),
        "torch": (f"convert {model} {tmp_path / 'm.pt'} --fold-scaling", "torch"),
    }
    done = python(
        "import sys\n"
        f"sys.modules |= dict.fromkeys({[*commands]})\n"
        "from elman.cli import main\n"
        f"for missing, (command, _) in {commands}.items():\n"
        "    sys.argv = ['elman', *command.split()]\n"
        "    assert main() == 2\n"
        "    del sys.modules[missing]\n"
    )
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    for said, (missing, (_, install)) in zip(lines, commands.items(), strict=True):
        assert re.fullmatch(rf"elman: .* {missing}: pip install {re.escape(install)}", said)
    assert not list(tmp_path.iterdir())


def test_a_package_that_another_one_misses_is_named_in_one_line(tmp_path, model):
    """As TensorFlow, where Keras is installed without its default backend."""
    (tmp_path / "torch.py").write_text("import missing_backend.core")
    done = python(
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from elman.cli import main\n"
        f"sys.argv = ['elman', 'convert', {str(model)!r}, {str(tmp_path / 'm.pt')!r},"
        " '--fold-scaling']\n"
        "sys.exit(main())\n"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "elman: missing_backend is not installed, and a package that is needed here imports it\n"
    )


# --- refused input --------------------------------------------------------------------------------


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


# --- elman info and verify ------------------------------------------------------------------------


def test_info_shows_the_table(net, tmp_path):
    named = tmp_path / "named"
    net.replace(table=elman.Table(inputs=list("cab"), sequence="id")).save(named)
    text = answer("info", named).decode()
    assert re.search(r"^table\.inputs +c, a, b$", text, re.MULTILINE)
    assert re.search(r"^table\.sequence +id$", text, re.MULTILINE)
    assert "table.classes" not in text
    facts = json.loads(answer("info", named, "--json"))
    assert facts["table"] == json.loads(elman.load(named).table.to_json())


def test_info_prints_json(net, model):
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


def test_info_prints_text(net, model):
    text = answer("info", model).decode()
    for fact in ("3 > 8 > 5 > 2", str(net.num_parameters), str(net.dtype), net.isa, "a test"):
        assert fact in text


def test_info_prints_the_parameters_of_activations(tmp_path):
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
    x = rng.standard_normal((10_000, 2))
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
    assert said.startswith("stream: expected ")


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
    out = answer("info", tmp_path / "model", encoding="ascii")
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


def test_verify_fails_a_wrong_network_with_code_1(net, tmp_path):
    path, x = tmp_path / "model", inputs(2, 9, 3).astype(net.dtype)
    net.save(path, golden=x)
    answer("verify", path)
    with safe_open(path, "numpy") as file:
        about = file.metadata()
    tensors = load_file(path)
    tensors["readout.b_y"] += 1
    save_file(tensors, path, about)
    said = complaint("verify", path, code=1)
    done = run("verify", path, "--json")
    assert (done.returncode, done.stderr) == (1, b"")
    assert json.loads(done.stdout) == {"ok": False, "message": said}
