"""The conformance suite of the ONNX operator RNN: elman passes, and every input matters."""

import importlib.metadata
import json

import numpy as np
import pytest

import elman
from conformance import cases, reference, score

onnx = pytest.importorskip("onnx")

CASES = cases.cases()
GROUPS = list(dict.fromkeys(case.group for case in CASES))


def members(group):
    """Return the cases of a group by name."""
    return {case.name: case for case in CASES if case.group == group}


@pytest.mark.parametrize("group", GROUPS)
def test_elman_gives_what_the_specification_says(group):
    said = {name: score.judge(case, score.elman) for name, case in members(group).items()}
    assert {name: verdict for name, verdict in said.items() if verdict} == {}


@pytest.mark.parametrize("group", GROUPS)
def test_a_network_from_onnx_gives_what_the_specification_says(group):
    for case in members(group).values():
        _check_network(case)


def _check_network(case):
    net = elman.from_onnx(_joined(case))
    x, state = case.inputs["X"], case.inputs.get("initial_h")
    if not case.attributes.get("layout"):
        x = x.swapaxes(0, 1)
        state = None if state is None else state.swapaxes(0, 1)
    state = None if state is None else state.reshape(len(x), -1)
    run = net.run(x, state=state, lengths=case.inputs.get("sequence_lens"))
    tolerance = score.TOLERANCES[x.dtype.name]
    if any(key in case.attributes for key in ("activation_alpha", "activation_beta", "clip")):
        tolerance = max(tolerance, 1e-7)  # an alpha of 0.3 is exact, not the nearest float32
    for name, expected in case.expected().items():
        if not case.attributes.get("layout"):
            expected = np.moveaxis(expected, -2, 0)
        got = run.output if name == "Y" else run.state
        np.testing.assert_allclose(
            got,
            expected.reshape(got.shape),
            atol=tolerance,
            rtol=tolerance,
            err_msg=f"{case.name}: {name}",
        )


def _joined(case):
    """Return the model of a case, with two directions concatenated."""
    model = case.model()
    if case.attributes.get("direction") == "bidirectional" and "Y" in case.outputs:
        perm = [0, 1, 2, 3] if case.attributes.get("layout") else [0, 2, 1, 3]
        shape = onnx.numpy_helper.from_array(np.array([0, 0, -1]), "shape")
        model.graph.initializer.append(shape)
        model.graph.node.append(onnx.helper.make_node("Transpose", ["Y"], ["parts"], perm=perm))
        model.graph.node.append(onnx.helper.make_node("Reshape", ["parts", "shape"], ["joined"]))
        (output,) = [output for output in model.graph.output if output.name == "Y"]
        output.name = "joined"
        output.type.tensor_type.ClearField("shape")
    return model


def test_a_bare_output_of_both_directions_is_refused():
    case = members("direction")["bidirectional"]
    with pytest.raises(elman.UnsupportedModelError, match="output 'Y': "):
        elman.from_onnx(case.model())


@pytest.mark.slow  # it tests the cases, not elman
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.name}")
def test_every_part_of_a_case_matters(case):
    expected = case.expected()
    for title, changed in _mutants(case):
        found = changed.expected()
        differences = [np.abs(found[name] - expected[name]).max() for name in expected]
        assert max(differences) > 1e-3, f"the answer does not depend on {title}"


def _mutants(case):
    """Yield the case without one of its inputs or attributes, or with another recurrence."""
    steps = case.inputs["X"].shape[1 if case.attributes.get("layout") else 0]
    start = "initial_h" in case.inputs
    if steps > 1 or start:
        yield "R", case._replace(inputs={**case.inputs, "R": 0 * case.inputs["R"]})
    for name in ("B", "initial_h"):
        if name in case.inputs:
            yield name, _without(case, name)
    if len(set(case.inputs.get("sequence_lens", ())) - {steps}) > 0:
        yield "sequence_lens", _without(case, "sequence_lens")
    without = {key: v for key, v in case.attributes.items() if key != "clip"}
    if len(without) < len(case.attributes):
        yield "clip", case._replace(attributes=without)
    if case.attributes.get("direction") == "reverse" and steps > 1:
        forward = {key: v for key, v in case.attributes.items() if key != "direction"}
        yield "the direction", case._replace(attributes=forward)


def _without(case, name):
    return case._replace(inputs={key: a for key, a in case.inputs.items() if key != name})


def test_the_reference_computes_what_can_be_done_by_hand():
    # two steps of one unit: h = 0.5 x + 0.25 h, where the activation is linear
    one = np.ones((1, 1, 1))
    inputs = {"X": np.array([[[2.0]], [[4.0]]]), "W": 0.5 * one, "R": 0.25 * one}
    linear = {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]}
    values = reference.rnn(linear, inputs)
    np.testing.assert_array_equal(values["Y"].ravel(), [1.0, 2.25])
    np.testing.assert_array_equal(values["Y_h"].ravel(), [2.25])
    values = reference.rnn({**linear, "direction": "reverse"}, inputs)
    np.testing.assert_array_equal(values["Y"].ravel(), [1.5, 2.0])
    np.testing.assert_array_equal(values["Y_h"].ravel(), [1.5])
    values = reference.rnn({**linear, "clip": 1.5}, inputs)
    np.testing.assert_array_equal(values["Y"].ravel(), [1.0, 1.5])


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("LeakyRelu", -2.0, -0.02),
        ("ThresholdedRelu", 1.0, 0.0),
        ("HardSigmoid", 1.0, 0.7),
        ("HardSigmoid", -3.0, 0.0),
        ("Elu", -1.0, np.expm1(-1.0)),
        ("Softsign", -3.0, -0.75),
        ("Softplus", 0.0, np.log(2)),
    ],
)
def test_the_reference_has_the_defaults_of_the_onnx_operators(name, x, expected):
    inputs = {"X": np.full((1, 1, 1), x), "W": np.ones((1, 1, 1)), "R": np.zeros((1, 1, 1))}
    y = reference.rnn({"activations": [name]}, inputs)["Y"].item()
    assert y == pytest.approx(expected, rel=1e-7)  # alpha and beta are float32


def test_onnx_runtime_agrees_on_the_plain_cases():
    pytest.importorskip("onnxruntime")
    plain = [case for case in CASES if case.group in ("plain", "clip", "direction")]
    said = {case.name: score.judge(case, score.onnx_runtime) for case in plain}
    assert [name for name, verdict in said.items() if verdict] == ["hidden_size left out"]


# --- the scores of other engines ------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded():
    return json.loads(score.SCORES.read_text(encoding="utf-8"))


def test_the_page_of_scores_is_that_of_their_file(recorded, monkeypatch, tmp_path):
    assert score.outdated(recorded) == []
    monkeypatch.setattr(score, "PAGE", tmp_path / "missing.md")
    assert score.outdated(recorded)[0].startswith("docs/conformance.md is not the page")
    fewer = recorded | {"cases": recorded["cases"][1:], "versions": {}}
    cases_differ, missing, _ = score.outdated(fewer)
    assert "The cases differ" in cases_differ
    assert "no scores of ONNX Runtime, ONNX reference, OpenVINO, elman, tract" in missing


def test_refused_and_wrong_are_counted_apart():
    said = {"plain: a": "", "plain: b": "wrong: Y is off by 0.5", "clip: c": "refused: because"}
    found = score.scores({"elman": said}) | {"cases": list(said)}
    assert found["failures"] == {
        "elman": {"plain: b": "wrong: Y is off by 0.5", "clip: c": "refused"}
    }
    assert score.counts(found)[1:] == [
        ["plain", "1 of 2 (1, 0)"],
        ["clip", "0 of 1 (0, 1)"],
        ["all", "1 of 3 (1, 1)"],
    ]
    text = score.page(found)
    assert "| plain: b | Y is off by 0.5 |" in text
    assert "| clip: c | refused |" in text
    assert "plain: a" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in score.ENGINES if name != "elman"])
def test_the_scores_are_those_of_the_recorded_version(name, recorded):
    package = score.PACKAGES[name]
    pytest.importorskip(package)
    if importlib.metadata.version(package) != recorded["versions"][name]:
        pytest.skip(f"recorded of {name} {recorded['versions'][name]}")
    found = {f"{c.group}: {c.name}": score.judge(c, score.ENGINES[name]) for c in CASES}
    kinds = {case: said.partition(":")[0] for case, said in found.items() if said}
    expected = recorded["failures"][name]
    assert kinds == {case: said.partition(":")[0] for case, said in expected.items()}
