"""Measure the memory of a training update as a function of the sequence length. Linux only.

One process per length reports the peak memory of an update beyond the memory before it, in which
the data are already included.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Facts = dict[str, Any]

LENGTHS = (1000, 2000, 4000)
I, H, O, B = 16, 64, 16, 16
STATUS = Path("/proc/self/status")


def memory(done: Callable[[], object] = lambda: None) -> list[Facts]:
    """Return the bytes of an update at each length, and of only the states (T, B, H)."""
    if not STATUS.exists():
        return []
    found = []
    for T in LENGTHS:
        run = [sys.executable, __file__, str(T)]
        said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        shape = {"I": I, "H": H, "O": O, "T": T, "B": B, "layers": 1}
        found.append({"shape": shape, "bytes": int(said), "states": T * B * H * 4})
        done()
    return found


def main() -> None:
    """Print the bytes of the first update, for the length in `sys.argv`."""
    from cases import Case
    from trainers.elman import Elman
    from training import problem

    trainer = Elman(*problem(Case("memory", "update", I, H, O, int(sys.argv[1]), B)))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    before = _status("VmRSS")
    trainer.update()
    print(_status("VmHWM") - before)


def _status(name: str) -> int:
    """Return a size in bytes from the kernel's status of this process."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
    return int(lines[name].split()[0]) * 1024


if __name__ == "__main__":
    main()
