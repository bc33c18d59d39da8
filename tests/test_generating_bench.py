"""The free runs and the traces of the benchmark: their answers, their timing, and the page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import cases
import generating
import measure
import page
import peers
import results
import tracing
from elman.cli.timing.answers import Wrong
from elman.cli.timing.base import Peer
from elman.cli.timing.numpy import NumPy

pytestmark = pytest.mark.any_isa

SMALL = cases.Case("generate", "generate", 2, 6, 2, T=7)
TRACED = cases.Case("trace", "trace", 3, 5, 2, T=7, B=4)
COMPILED = ("numba", "jax")


class Converting(NumPy):
    """Inputs and outputs of different forms: pairs, and lists."""

    def input(self, x):
        return [("input", x_t) for x_t in x]

    def steps(self):
        step = super().steps()["np.dot"]

        def converting(pair):
            word, x_t = pair
            assert word == "input"
            return step(x_t).tolist()

        return {"lists": converting}


class Forgetful(Peer):
    """A step without a state."""

    def __init__(self, net):
        self.net = net

    def steps(self):
        return {"": self.net}

    def input(self, x):
        return x[:, np.newaxis]


def answers(name, peer, case=SMALL):
    net, x = generating.problem(case)
    expected = generating.by_reference(net, x, case.T)
    return generating.checked(name, peer(net), x, case.T, expected, net.num_parameters)


# --- the answers ----------------------------------------------------------------------------------


def test_the_reference_gets_its_own_outputs():
    net, x = generating.problem(SMALL)
    y = generating.by_reference(net, x, 7)
    stream, x_t = net.stream(), x[0]
    for y_t in y:
        x_t = stream.step(x_t)
        np.testing.assert_allclose(x_t, y_t, rtol=1e-5)


def test_a_peer_whose_outputs_are_no_inputs_converts_them():
    (entry,) = answers("converting", Converting)
    assert (entry.mode, entry.items) == ("lists", 7)
    entry.call()


def test_a_peer_that_forgets_is_wrong():
    with pytest.raises(Wrong, match="off by"):
        answers("forgetful", Forgetful)
    facts, wrong = generating.measure(SMALL, {"forgetful": Forgetful}, rounds=1)
    assert {entry["name"] for entry in facts["entries"]} == {"elman"}
    assert wrong["forgetful"].startswith("free run of 2, 6, 2: ")


@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_loops_give_the_same_outputs(name):
    pytest.importorskip(name, reason=f"needs {name}: pip install elman[bench]")
    found, _ = peers.available([name])
    modes = [entry.mode for entry in answers(name, found[name])]
    assert modes == ["a compiled loop", ""]
    net, x = generating.problem(SMALL)
    y = np.asarray(found[name](net).generate(x[0], 7))
    np.testing.assert_allclose(y, net.generate(x, 7), rtol=1e-5)


def test_wrong_sums_of_a_trace_are_found():
    net, x = tracing.problem(TRACED)
    trace = tracing.all_sums(net, x)
    assert tracing.wrong_sums(trace, x) is None
    other = tracing.all_sums(net, x + 1)
    assert tracing.wrong_sums(dataclasses.replace(trace, y=other.y), x).startswith("y: off by")
    mixed = dataclasses.replace(trace, layers=other.layers)
    assert tracing.wrong_sums(mixed, x).startswith("a: off by")
    mixed = dataclasses.replace(trace, readout=other.readout)
    assert tracing.wrong_sums(mixed, x).startswith("a of the readout: off by")


# --- the cases ------------------------------------------------------------------------------------


def test_a_case_has_the_call_the_loop_in_place_and_the_peers():
    found, _ = peers.available(["elman", "pure_python", "numpy"])
    facts, wrong = generating.measure(SMALL, found, rounds=2)
    assert wrong == {}
    assert [(e["name"], e["mode"]) for e in facts["entries"]] == [
        *(("elman", ""), ("elman", generating.LOOP), ("pure_python", "")),
        *(("numpy", "np.dot"), ("numpy", "one product a layer")),
    ]
    assert all(len(entry["times"]) == 2 for entry in facts["entries"])


def test_a_trace_is_compared_with_a_run():
    facts, wrong = tracing.measure(TRACED, [], rounds=1)
    assert [entry["mode"] for entry in facts["entries"]] == [tracing.RUN, tracing.TRACE]
    assert wrong == {}


def test_the_weights_of_a_case_are_those_of_its_network():
    for module, every in ((generating, generating.GENERATES), (tracing, tracing.TRACES)):
        for case in every:
            net, _ = module.problem(case)
            (layer,) = net.layers
            assert cases.weights(case) == layer.W_xh.size + layer.W_hh.size + net.readout.W_hy.size


@pytest.mark.parametrize(("allowed", "two"), [({0}, False), ({0, 3}, True)])
def test_two_threads_need_two_processors(monkeypatch, allowed, two):
    monkeypatch.setattr(measure, "ALLOWED", allowed)
    assert measure.several() is two


# --- the page -------------------------------------------------------------------------------------


def of(group, entries, **shape):
    return {
        **{"group": group, "work": group, "dtype": "float32", "threads": 1, "isa": "avx2"},
        **{"weights": 10, "shape": {"I": 2, "H": 6, "O": 2, "layers": 1, "T": 9, "B": 1} | shape},
        **{"entries": entries, "limits": [], "yardsticks": []},
    }


def entry(name, mode, *times):
    return {"name": name, "mode": mode, "times": list(times)}


def test_the_page_has_free_runs_and_traces():
    free = of("generate", [entry("elman", "", 100), entry("jax", "a compiled loop", 50)])
    traces = [entry("elman", tracing.RUN, 100), entry("elman", tracing.TRACE, 250)]
    empty = {key: [] for key in ("limits", "yardsticks", "imports", "cold_start", "tail")}
    result = results.derived({"cases": [free, of("trace", traces, T=100, B=16)], **empty})
    text = page.comparison(result["cases"][:1])
    assert "| JAX, a compiled loop | 0.500 |" in text
    text = page.comparison(result["cases"][1:])
    assert "| ns per step | 2 -> 6 -> 2, T = 100, B = 16 |" in text
    assert "| elman, trace, all sums | 2.50 |" in text
    said = page.losses(result)
    assert "Of 1 comparisons with a peer" in said
    assert "| a free run, 2 -> 6 -> 2, float32 | JAX, a compiled loop | 0.500 |" in said
