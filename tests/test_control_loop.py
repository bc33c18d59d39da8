"""The example that takes a network from PyTorch into a control loop."""

import pathlib
import runpy

import pytest

pytestmark = pytest.mark.any_isa


def test_the_example_keeps_the_forces_of_pytorch(capsys):
    pytest.importorskip("torch")
    path = pathlib.Path(__file__).parents[1] / "examples" / "control_loop.py"
    main = runpy.run_path(str(path))["main"]
    main(["--updates", "20", "--trials", "2", "--seconds", "1"])
    said = capsys.readouterr().out
    apart = float(said.rpartition("at most ")[2].split()[0])
    assert apart < 1e-4
    assert "elman" in said
