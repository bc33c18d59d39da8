"""In a notebook: progress, figures and what the last value of a cell shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elman
from fixtures import make_pages, pages

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
    "readout": "net.readout",
    "report": "net.verify(x)",
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
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    done = executed(nbformat.v4.new_notebook(cells=cells))
    return {name: cell.outputs for name, cell in zip(CELLS, done, strict=True)}


def executed(notebook, folder=None):
    """Return the cells of code of a notebook, with their outputs."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    resources = {"metadata": {"path": str(folder)}} if folder else {}
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    )
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


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
    for name in ("result", "history", "network", "layer", "readout", "report", "run"):
        data = only(shown[name])
        assert len(data["text/plain"]) < 500
        assert len(data["text/plain"].splitlines()) <= 6
        assert data["text/html"].startswith("<table>")
    assert "<td>layer 1</td><td>8</td><td>4</td>" in only(shown["network"])["text/html"]


# --- the notebooks of the documentation -----------------------------------------------------------


@pytest.mark.parametrize("page", make_pages.NOTEBOOKS)
def test_a_page_runs_as_a_notebook_and_shows_each_picture_once(tmp_path, page):
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(pages.ROOT / make_pages.notebook_path(page), as_version=4)
    nbformat.validate(notebook)
    outputs = [
        (cell.source, output) for cell in executed(notebook, tmp_path) for output in cell.outputs
    ]
    shown = [source for source, output in outputs if "image/png" in output.get("data", {})]
    assert shown == drawing(page)
    assert [source for source, output in outputs if output.get("name") == "stderr"] == []


def drawing(page):
    """Return the code that draws each picture of a page."""
    code, found = "", []
    for block in pages.blocks_of(page):
        if block.language == "python" and not block.needs:
            code = block.code.strip("\n")
        found += [code] if block.picture else []
    return found


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
