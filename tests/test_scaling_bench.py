"""docs/scaling.md has the tables of bench/scaling.json, and they are computed as it says."""

import json
import math

import pytest

import scaling

pytestmark = pytest.mark.any_isa


def test_the_page_has_the_tables_of_the_results():
    text = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.page(text, json.loads(scaling.RESULTS.read_text())) == text


def test_a_rate_does_not_count_the_start_of_a_job():
    small, large = scaling.SIZES
    times = {str(small): [3 + small / 1000] * 3, str(large): [3 + large / 1000] * 3}
    rate, start = scaling.rising(times)
    assert math.isclose(rate, 1000)
    assert math.isclose(start, 3)


def test_the_cost_of_messages_is_what_exceeds_the_share_of_two_workers():
    times = {"process 1": [1.0], "dask 2": [0.6], "ray 2": [0.4]}
    results = {"training": {"256": times, "4096": {name: [2 * t[0]] for name, t in times.items()}}}
    found = scaling.overheads(results)
    assert math.isclose(found["dask"], 0.2)
    assert found["ray"] == 0.0


def test_the_least_batch_with_which_workers_are_faster():
    def times(workers):
        return {"process 1": [0.1, 0.2, 9], "process 2": [0.1] * 3, "dask 2": [workers] * 3}

    training = {"256": times(0.3), "1024": times(0.15), "4096": times(0.15)}
    found = scaling._faster(training, "dask 2", "process 1")
    assert found == "from 1,024 sequences (an update of 200 ms)"
    assert scaling._faster(training, "dask 2", "process 2") == "at none of these sizes"
