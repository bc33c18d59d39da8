"""The echo-state networks of the benchmark: their results, their timing, and the page."""

from __future__ import annotations

import numpy as np
import pytest

import cases
import elman
import page
import reservoirs
import results
from elman import reference

pytestmark = pytest.mark.any_isa

WORKS = ("step", "sequence", "ridge")
SMALL = cases.Case("reservoirs", "step", 2, 12, 2, T=300, dtype="float64")


@pytest.fixture(params=reservoirs.NAMES)
def peer(request):
    """Each peer in turn, if installed."""
    pytest.importorskip(request.param, reason=f"needs {request.param}: pip install elman[bench]")
    return reservoirs.PEERS[request.param](*reservoirs.problem(SMALL))


@pytest.fixture
def none_installed(monkeypatch):
    monkeypatch.setattr(reservoirs, "missing", lambda: dict.fromkeys(reservoirs.NAMES, "missing"))


# --- the answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("work", WORKS)
def test_a_peer_gives_the_answers_of_a_network_with_its_weights(peer, work):
    _, x, y = reservoirs.problem(SMALL)
    case = SMALL._replace(work=work)
    assert reservoirs.wrong_answer(case, peer, x, y) is None
    weights = elman.state_dict(peer.net, "torch")
    name = "rnn.weight_hh_l0"
    weights[name] = weights[name] * 1.001
    peer.net = elman.from_torch(weights, activation="tanh", output_activation="identity")
    assert "off by" in reservoirs.wrong_answer(case, peer, x, y)


def test_each_loop_of_a_peer_runs(peer):
    _, x, y = reservoirs.problem(SMALL)
    for work, items in (("step", 200), ("sequence", 300), ("ridge", 1)):
        for entry in reservoirs.entries_of("a", SMALL._replace(work=work), peer, x, y):
            entry.call()
            assert entry.items == items


def test_an_answer_that_is_a_nan_or_off_is_wrong():
    _, x, y = reservoirs.problem(SMALL)
    ours = reservoirs.Elman(reservoirs.problem(SMALL)[0])
    ours.net = elman.ridge_readout(ours.net, x, y)
    expected = reference.run(ours.net, x).output
    assert reservoirs._differ(ours.run(x), expected) is None
    assert reservoirs._differ(expected + 1e-6, expected).startswith("off by 1e-06")
    assert (
        reservoirs._differ(np.full_like(expected, np.nan), expected)
        == "off by nan, more than 1e-08"
    )


# --- the cases ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("none_installed")
@pytest.mark.parametrize("work", WORKS)
def test_without_the_peers_a_case_has_elman_alone(work):
    facts, wrong = reservoirs.measure(SMALL._replace(work=work), [], rounds=1)
    assert wrong == {}
    assert [entry["name"] for entry in facts["entries"]] == ["elman"]
    assert (facts["group"], facts["work"], facts["dtype"]) == ("reservoirs", work, "float64")


@pytest.mark.usefixtures("none_installed")
def test_a_wrong_peer_is_reported_and_not_timed(monkeypatch):
    class Wrong(reservoirs.Peer):
        def __init__(self, net, x, y):
            super().__init__(net)

        def run(self, x):
            return super().run(x) + 0.5

    monkeypatch.setattr(reservoirs, "NAMES", ("wrong",))
    monkeypatch.setattr(reservoirs, "missing", dict)
    monkeypatch.setitem(reservoirs.PEERS, "wrong", Wrong)
    facts, wrong = reservoirs.measure(SMALL._replace(work="sequence"), [], rounds=1)
    assert [entry["name"] for entry in facts["entries"]] == ["elman"]
    assert wrong["wrong"].startswith("sequence of 2, 12, 2: off by ")


def test_the_weights_of_a_case_are_those_of_its_network():
    for case in reservoirs.RESERVOIRS:
        net, *_ = reservoirs.problem(case)
        (layer,) = net.layers
        assert cases.weights(case) == layer.W_xh.size + layer.W_hh.size + net.readout.W_hy.size


# --- the page -------------------------------------------------------------------------------------


def entry(name, mode, *times):
    return {"name": name, "mode": mode, "times": list(times)}


def of(work, *entries):
    shape = {"I": 1, "H": 32, "O": 1, "T": 1000, "B": 1, "layers": 1}
    return {
        **{"group": "reservoirs", "work": work, "dtype": "float64", "threads": 1, "isa": "avx2"},
        **{"weights": 34 * 32, "shape": shape, "entries": list(entries)},
        **{"limits": [], "yardsticks": []},
    }


def test_the_page_has_a_table_of_its_own_for_them():
    step = of("step", entry("elman", "out=", 200), entry("rclib", "predict_online", 4000))
    ridge = of("ridge", entry("elman", "", 4e6), entry("reservoirpy", "", 3e6))
    empty = {key: [] for key in ("limits", "yardsticks", "imports", "cold_start", "tail")}
    result = results.derived({"cases": [step, ridge], **empty})
    (found,) = [s for s in page._sections(result | FACTS) if s[0] == "Echo-state networks"]
    text = found[-1]
    assert "One step of T = 1000:" in text
    assert "| rclib, predict_online | 4,000 |" in text
    assert "A ridge fit of T = 1000:" in text
    assert "| ms per fit | 1 -> 32 -> 1 |" in text
    assert "| reservoirpy | 0.750 |" in text
    said = page.losses(result)
    assert "Of 0 comparisons with a peer" in said
    assert "With echo-state networks: of 2 comparisons with a peer" in said
    assert "| a ridge fit, 1 -> 32 -> 1, float64 | reservoirpy | 0.750 |" in said


FACTS = {"machine": {"caches": {}}, "load": {}, "versions": {}, "native": {}, "memory": []}
FACTS |= {"elman": {"sources": "f", "isa": "avx2", "compiler": "GCC", "flags": {}}}
FACTS |= {"left_out": {"rclib": "rclib is not installed"}, "wrong": {}}


def test_the_page_names_a_peer_that_is_left_out():
    assert page._left_out(FACTS | {"cases": []}) == "- rclib is left out: rclib is not installed."
