"""What all tests share: the instruction sets, and a header that says what is tested."""

from __future__ import annotations

import gc
import importlib
import os

# Matrices are small here: more threads of NumPy's would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

import elman

# A set that was forced from outside is the only one to test: this may be an emulated processor.
ISAS = [os.environ["ELMAN_ISA"]] if os.environ.get("ELMAN_ISA") else elman.available_isas()
FUSED_ISAS = [isa for isa in ISAS if isa != "sse2"]


def pytest_addoption(parser):
    parser.addoption(
        "--live", action="store_true", help="fail where a package is missing, instead of skipping"
    )


def pytest_configure(config):
    if config.getoption("--live"):
        pytest.importorskip = lambda name, **_: importlib.import_module(name)


def pytest_collection_finish():
    """Spare each collection of garbage the tests themselves: thousands of objects that stay."""
    gc.freeze()


def pytest_report_header():
    info = ", ".join(f"{key} {value}" for key, value in elman.build_info().items())
    return f"elman: {info}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Stay in this process for chosen tests, which takes less time than to start others."""
    chosen = config.option.keyword or any("::" in name for name in config.args)
    return 0 if chosen else None


@pytest.fixture(params=ISAS)
def isa(request):
    """Every instruction set in turn, for the networks that a test builds."""
    with elman.use_isa(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def fused_isas():
    """The instruction sets whose results are the same bits."""
    return FUSED_ISAS


@pytest.fixture(scope="session", autouse=True)
def _many_threads():
    """Let every call use the threads that it is given: few cores and little work would not."""
    elman._core.thread_limits(most=64, work_of_each=1)


@pytest.fixture
def rng():
    """The same random numbers in every run."""
    return np.random.default_rng(1990)
