"""Shared fixtures, options and the report header."""

from __future__ import annotations

import gc
import importlib
import os
import re
import sys

# Matrices are small here: with more threads, NumPy would only wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

import elman

# If ELMAN_ISA forces a set, test only that one: the processor may be emulated.
ISAS = [os.environ["ELMAN_ISA"]] if os.environ.get("ELMAN_ISA") else elman.available_isas()
FUSED_ISAS = [isa for isa in ISAS if isa != "sse2"]


def pytest_addoption(parser):
    parser.addoption(
        "--live", action="store_true", help="fail where a package is missing, instead of skipping"
    )


def pytest_configure(config):
    if config.getoption("--live"):
        pytest.importorskip = lambda name, **_: importlib.import_module(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With --live, fail a test that is skipped because a package is missing."""
    report = yield
    if item.config.getoption("--live") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1]
        if re.search(r"pip install|is not installed|could not import", reason):
            report.outcome, report.longrepr = "failed", f"--live: {reason}"
    return report


def pytest_collection_finish():
    """Exclude the collected tests, thousands of objects, from garbage collection."""
    gc.freeze()


def pytest_report_header():
    info = ", ".join(f"{key} {value}" for key, value in elman.build_info().items())
    return f"elman: {info}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Run selected tests in this process: faster than starting workers."""
    chosen = config.option.keyword or any("::" in name for name in config.args)
    return 0 if chosen else None


@pytest.fixture(params=ISAS)
def isa(request):
    """Each instruction set in turn, used by the networks that a test builds."""
    with elman.use_isa(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def fused_isas():
    """The instruction sets that give the same bits."""
    return FUSED_ISAS


@pytest.fixture(scope="session", autouse=True)
def _many_threads():
    """Let every call use all its threads, despite few cores and little work."""
    elman._core.thread_limits(most=64, work_of_each=1)


@pytest.fixture
def rng():
    """A generator with the same random numbers in every run."""
    return np.random.default_rng(1990)


# --- other frameworks -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def nn(torch):
    torch.manual_seed(0)
    return torch.nn


@pytest.fixture(scope="module")
def keras():
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")
