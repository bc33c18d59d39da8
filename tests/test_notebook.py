"""In a notebook: progress, figures and what the last value of a cell shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elman

pytestmark = pytest.mark.any_isa

SETUP = """
import numpy as np, elman
x = np.sin(np.arange(200) / 5)[:, None]
net = elman.Network(1, [8, 4], 1, output_activation="identity", seed=0)
result = elman.train(net, x[:-1], x[1:], epochs=300, validation=0.2, progress=True)
"""
CELLS = {
    "progress": SETUP,
    "figure": "elman.plot.history(result.history)",
    "panels": "elman.plot.sequence(net.trace(x))",
    "again": "%matplotlib inline\nelman.plot.history(result.history)",
    "pyplot": "import matplotlib.pyplot as p\nelman.plot.weights(net, ax=p.figure().subplots());",
    "result": "result",
    "history": "result.history",
    "network": "net",
    "layer": "net.layers[0]",
    "run": "net.run(x, return_hidden=True)",
    "silent": "elman.train(net, x, x, epochs=2).history.stopped",
    "interrupted": """
def fail(record, trainer):
    raise RuntimeError("stop")
try:
    elman.train(net, x, x, epochs=2, progress=True, callback=fail)
except RuntimeError:
    pass
""",
}


@pytest.fixture(scope="module")
def shown():
    """The outputs of every cell of a notebook that was executed."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def only(outputs):
    (output,) = outputs
    return output["data"]


def test_progress_is_one_line_that_ends_with_the_last_epoch(shown):
    text = only(shown["progress"])["text/plain"]
    assert re.fullmatch(r"epoch 300/300  loss [\d.e-]+  validation [\d.e-]+", text)
    assert re.fullmatch(r"epoch 1/2  loss [\d.e-]+", only(shown["interrupted"])["text/plain"])
    assert only(shown["silent"])["text/plain"] == "'epochs'"


def test_a_figure_is_an_image_without_any_setup(shown):
    for name in ("figure", "panels", "again", "pyplot"):
        assert only(shown[name])["image/png"].startswith("iVBORw0KGgo")  # base64 of PNG
    (output,) = shown["figure"]
    assert output["metadata"]["image/png"] == {"width": 700, "height": 400}


def test_the_last_value_of_a_cell_is_short(shown):
    for name in ("result", "history", "network", "layer", "run"):
        text = only(shown[name])["text/plain"]
        assert len(text) < 500
        assert len(text.splitlines()) <= 6
    assert "<td>layer 1</td><td>8</td><td>4</td>" in only(shown["network"])["text/html"]


# --- without a notebook ---------------------------------------------------------------------------


def test_a_figure_gives_its_image():
    plot = pytest.importorskip("elman.plot")
    history = elman.train(*_series(), epochs=2).history
    image, size = plot.history(history)._repr_png_()
    assert image.startswith(b"\x89PNG")
    assert size == {"width": 700, "height": 400}


def _series():
    x = np.sin(np.arange(50.0))[:, None]
    return elman.Network(1, 4, 1, output_activation="identity", seed=0), x[:-1], x[1:]


def test_a_run_is_shown_by_its_shapes():
    net, x, _ = _series()
    assert repr(net.run(x)) == "Run(output (49, 1), state (4,), hidden None, float32)"
    assert "hidden (49, 4)" in repr(net.run(x, return_hidden=True))
