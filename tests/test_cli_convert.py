"""`elman convert`: conversions between all kinds of files, and their messages."""

import json
import pathlib
import sys

import numpy as np
import pytest

import elman
from fixtures import command

pytestmark = pytest.mark.any_isa


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=0)


def convert(*words):
    """Run the command and return what it printed."""
    return command.answer("convert", *words).decode()


def state_dict(net, path):
    """Write PyTorch's names as a safetensors file."""
    from safetensors.numpy import save_file

    save_file(elman.state_dict(net, "torch"), path)


def test_a_state_dict_becomes_a_model_and_the_table_says_how(net, tmp_path):
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    state_dict(net, tmp_path / "torch.safetensors")
    words = ("--activation", "tanh", "--output-activation", "sigmoid")
    said = convert(tmp_path / "torch.safetensors", tmp_path / "model.safetensors", *words)
    assert elman.load(tmp_path / "model.safetensors") == net
    for part in ("rnn.weight_ih_l0", "layers.0.W_xh", "fc.weight", "readout.W_hy", str(net)):
        assert part in said


@pytest.mark.parametrize("name", ["torch.safetensors", "link.safetensors"])
def test_the_source_is_never_overwritten(tmp_path, name):
    source = tmp_path / "torch.safetensors"
    state_dict(elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0), source)
    (tmp_path / "link.safetensors").symlink_to(source)
    before = source.read_bytes()
    words = ("--activation", "tanh", "--output-activation", "sigmoid")
    said = command.complaint("convert", source, tmp_path / name, *words)
    assert "torch.safetensors, which it would overwrite" in said
    assert source.read_bytes() == before


def test_onnx_and_back_gives_equal_bits(net, tmp_path):
    pytest.importorskip("onnx")
    net.save(tmp_path / "model.safetensors")
    convert(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    convert(tmp_path / "model.onnx", tmp_path / "again.safetensors")
    assert elman.load(tmp_path / "again.safetensors") == net


@pytest.mark.parametrize(("embedding", "inputs"), [("one_hot", 7), ("rows", 3)])
def test_an_embedding_in_an_onnx_model_is_read_as_asked(tmp_path, embedding, inputs):
    pytest.importorskip("onnx")
    forms = np.load(pathlib.Path(__file__).parent / "fixtures" / "onnx_forms.npz")
    (tmp_path / "m.onnx").write_bytes(forms["torchscript-embedding.model"].tobytes())
    convert(tmp_path / "m.onnx", tmp_path / "m.safetensors", "--embedding", embedding)
    assert elman.load(tmp_path / "m.safetensors").input_size == inputs


def test_json_holds_the_mapping_and_the_network(net, tmp_path):
    net.save(tmp_path / "a.safetensors")
    facts = json.loads(convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--json"))
    assert facts["written"] is True
    assert facts["check"] is None
    assert facts["network"]["hidden_sizes"] == [8, 5]
    assert {"source": "layers.1.W_hh", "target": "layers.1.W_hh", "note": ""} in facts["mapping"]


def test_a_check_runs_the_source_in_its_framework(net, tmp_path):
    pytest.importorskip("onnx")
    elman.to_onnx(net, tmp_path / "model.onnx")
    said = convert(tmp_path / "model.onnx", tmp_path / "model.safetensors", "--check")
    assert "agrees with" in said
    assert elman.load(tmp_path / "model.safetensors") == net


def test_a_check_that_does_not_agree_writes_nothing_and_ends_with_code_1(
    net, tmp_path, monkeypatch
):
    pytest.importorskip("onnx")
    import elman.cli.convert

    other = elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=1)
    check = elman.cli.convert.check
    monkeypatch.setattr(elman.cli.convert, "check", lambda _, *rest: check(other, *rest))
    elman.to_onnx(net, tmp_path / "a.onnx")
    words = ("convert", tmp_path / "a.onnx", tmp_path / "b.safetensors", "--check")
    done = command.run(*words)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"check of the source: the network differs from" in done.stdout
    done = command.run(*words, "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["written"], facts["check"]["ok"]) == (1, False, False)
    assert not (tmp_path / "b.safetensors").exists()


def test_a_check_reads_the_file_once(net, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    from elman.interop.onnx import file, reading

    elman.to_onnx(net, tmp_path / "model.onnx")
    done = []
    for module, name in ((file, "read_file"), (reading, "assemble")):
        function = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, f=function, n=name: done.append(n) or f(*given)
        )
    convert(tmp_path / "model.onnx", tmp_path / "model.safetensors", "--check")
    assert done == ["read_file", "assemble"]


def test_a_check_of_a_file_of_elman_runs_what_is_written(net, tmp_path):
    pytest.importorskip("onnx")
    net.save(tmp_path / "model.safetensors")
    said = convert(tmp_path / "model.safetensors", tmp_path / "b.onnx", "--check", "--json")
    check = json.loads(said)["check"]
    assert (check["ok"], check["source"]["ok"], check["target"]["ok"]) == (True, True, True)
    assert check["source"]["framework"] == "the NumPy reference"
    assert "onnx" in check["target"]["framework"].lower()
    assert elman.from_onnx(tmp_path / "b.onnx") == net


def test_a_file_that_would_be_written_wrong_is_not_written(net, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    import elman.interop.onnx.writing as writing

    other = net.replace(tensors={"layers.0.W_hh": net.layers[0].W_hh.T})
    write = writing.write
    monkeypatch.setattr(writing, "write", lambda _: write(other))
    net.save(tmp_path / "model.safetensors")
    words = (tmp_path / "model.safetensors", tmp_path / "b.onnx", "--check")
    done = command.run("convert", *words)
    assert done.returncode == 1
    assert b"check of the source: the network agrees" in done.stdout
    assert b"check of the target: the network differs" in done.stdout
    assert b"layers.0.W_hh is transposed" in done.stdout
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize(("suffix", "package"), [("pt", "torch"), ("weights.h5", "keras")])
def test_a_check_without_the_targets_framework_names_the_package(
    net, tmp_path, monkeypatch, suffix, package
):
    pytest.importorskip("h5py")
    monkeypatch.setitem(sys.modules, package, None)
    net.save(tmp_path / "model.safetensors")
    words = ("convert", tmp_path / "model.safetensors", tmp_path / f"b.{suffix}", "--check")
    assert command.complaint(*words).endswith(f"pip install {package}")
    assert not (tmp_path / f"b.{suffix}").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Keras
@pytest.mark.parametrize("suffix", ["onnx", "pt", "weights.h5", "safetensors"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_check_runs_every_written_format(tmp_path, monkeypatch, suffix, direction):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for package in {"onnx": ["onnxruntime"], "pt": ["torch"], "weights.h5": ["keras"]}.get(
        suffix, []
    ):
        pytest.importorskip(package)
    net = elman.Network(
        input_size=3, hidden_size=[8, 5], output_size=2, seed=0, direction=direction
    )
    net = net.replace(tensors={"input_mean": [1, 2, 3], "input_std": [4, 5, 6]})
    net.save(tmp_path / "model.safetensors")
    words = () if suffix in ("onnx", "safetensors") else ("--fold-scaling",)
    said = convert(
        tmp_path / "model.safetensors", tmp_path / f"b.{suffix}", "--check", "--json", *words
    )
    assert json.loads(said)["check"]["target"]["ok"]


def test_a_check_runs_the_tensors_of_a_pt_file(tmp_path):
    torch = pytest.importorskip("torch")
    net = elman.Network(input_size=3, hidden_size=[8, 8], output_size=2, seed=0)
    tensors = {n: torch.from_numpy(a) for n, a in elman.state_dict(net, "torch").items()}
    torch.save(tensors, tmp_path / "model.pt")
    words = ("--activation", "tanh", "--output-activation", "sigmoid", "--check", "--json")
    facts = json.loads(convert(tmp_path / "model.pt", tmp_path / "model.onnx", *words))
    assert facts["check"]["ok"] is True
    assert elman.from_onnx(tmp_path / "model.onnx") == net


def test_a_pt_file_is_written_for_pytorch(net, tmp_path):
    torch = pytest.importorskip("torch")
    net.save(tmp_path / "model.safetensors")
    convert(tmp_path / "model.safetensors", tmp_path / "model.pt")
    tensors = torch.load(tmp_path / "model.pt", weights_only=True)
    for name, array in elman.state_dict(net, "torch").items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_weights_file_is_written_for_keras(tmp_path, direction):
    pytest.importorskip("h5py")
    net = elman.Network(
        input_size=3, hidden_size=[8, 5], output_size=2, seed=0, direction=direction
    )
    net.save(tmp_path / "model.safetensors")
    convert(tmp_path / "model.safetensors", tmp_path / "model.weights.h5")
    words = ("--activation", "tanh", "--output-activation", "sigmoid")
    convert(tmp_path / "model.weights.h5", tmp_path / "again.safetensors", *words)
    masked = "zero" if direction == "bidirectional" else "hold"  # as Keras
    assert elman.load(tmp_path / "again.safetensors") == net.replace(masked=masked)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Keras
def test_keras_loads_the_weights_file(net, tmp_path, rng, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    rnn = [layers.SimpleRNN(H, return_sequences=True) for H in net.hidden_sizes]
    model = keras.Sequential([layers.Input((None, 3)), *rnn, layers.Dense(2, activation="sigmoid")])
    net.save(tmp_path / "model.safetensors")
    convert(tmp_path / "model.safetensors", tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    x = rng.standard_normal((2, 20, 3)).astype(np.float32)
    found = elman.compare(net, model, x)
    assert found.ok
    assert max(*found.layers, found.output) < 2e-6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.bin", "b.onnx"), "a.bin: expected "),
        (("a.safetensors", "b.txt"), "b.txt: expected "),
        (("a.safetensors", "b.safetensors", "--prefix", "rnn"), "--prefix: expected "),
        (("a.safetensors", "b.safetensors", "--fold-scaling"), "--fold-scaling: expected "),
        (("missing.onnx", "b.safetensors"), "missing.onnx: "),
    ],
)
def test_impossible_conversions_are_one_sentence(net, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    net.save("a.safetensors")
    assert command.complaint("convert", *words).startswith(message)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors"]


def test_messages_name_the_file_and_the_options_of_the_command(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (4, 3), "weight_hh_l0": (4, 4), "bias_ih_l0": 4, "bias_hh_l0": 4}
    rnn = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    save_file({f"{model}.rnn.{n}": w for model in "ab" for n, w in rnn.items()}, "two.safetensors")
    front = {
        "words.weight": np.ones((9, 3)),
        "head.weight": np.ones((2, 4)),
        "head.bias": np.ones(2),
    }
    save_file({f"rnn.{n}": w for n, w in rnn.items()} | front, "words.safetensors")
    save_file(
        {f"rnn.{n}": w for n, w in rnn.items()} | {"h0": np.ones((1, 4))}, "start.safetensors"
    )
    scaling = {"input_mean": np.ones(3), "input_std": np.ones(3)}
    elman.Network(3, 4, 2, seed=0, **scaling).save("scaled.safetensors")

    two = command.complaint("convert", "two.safetensors", "out.pt")
    assert two.startswith("two.safetensors: expected one RNN, got 'a.rnn', 'b.rnn': ")
    assert "set --prefix to one name" in two
    words = command.complaint("convert", "words.safetensors", "out.pt")
    assert words.startswith("--embedding: expected what 'words' is: pass --embedding one_hot if ")
    assert words.endswith("or set --prefix and --readout to leave it out")
    start = command.complaint("convert", "start.safetensors", "out.pt")
    assert start.startswith("--initial-state: expected what 'h0' is: ")
    assert "pass --initial-state h0, " in start
    scaled = command.complaint("convert", "scaled.safetensors", "out.weights.h5")
    assert ": --fold-scaling multiplies it into the weights" in scaled


def test_messages_of_a_graph_name_the_file(tmp_path, monkeypatch):
    from fixtures.onnx_graphs import helper, model, onnx, value

    monkeypatch.chdir(tmp_path)
    nodes = [helper.make_node("Det", ["x"], ["y"])]
    onnx.save(model(nodes, [value("x", (2, 3, 4))], [value("y", None)]), "det.onnx")
    said = command.complaint("convert", "det.onnx", "out.safetensors")
    assert said == "det.onnx: node 0 (Det): the operator is not supported"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("readout: expected a name; readout='fc'", "--readout: expected a name; --readout fc"),
        (
            "pass readout=False, or set prefix= and readout=",
            "pass --readout false, or set --prefix and --readout",
        ),
        ('elman.from_torch(m, prefix="a", readout=["b"])',) * 2,
    ],
)
def test_arguments_are_shown_as_options_but_code_is_not_changed(said, shown):
    from elman.cli.convert import _in_options

    assert _in_options(said, ["prefix", "readout"]) == shown


def test_a_file_with_folded_scaling_that_would_be_written_wrong_is_not_written(
    net, tmp_path, monkeypatch
):
    pytest.importorskip("torch")
    import elman.cli.convert

    net = elman.Network(3, [8, 5], 2, output_activation="identity", seed=0)
    net = net.replace(tensors={"input_mean": np.ones(3), "input_std": np.full(3, 2)})
    other = net.replace(tensors={"layers.0.W_hh": net.layers[0].W_hh.T})
    net.save(tmp_path / "model.safetensors")
    words = (tmp_path / "model.safetensors", tmp_path / "b.pt", "--fold-scaling", "--check")
    contents = elman.cli.convert.formats.contents

    def wrong(_, *given, **named):
        return contents(other, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(elman.cli.convert.formats, "contents", wrong)
        done = command.run("convert", *words)
    assert done.returncode == 1
    assert b"layers.0.W_hh is transposed" in done.stdout
    assert not (tmp_path / "b.pt").exists()
    assert b"check of the target: the network agrees" in convert(*words).encode()
