"""Say which peers take no part in a group of cases, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peers import TITLES
from pieces import WORKS, of_group, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    Facts = dict[str, Any]

CELL = "its kernels compute whole sequences and updates, not a step"
ONE_LAYER = "its kernels are called for one layer in float32"
NO_BATCHES = "has no batches of sequences"
FLOAT32 = "computes in float32 on the CPU"
REFUSES = "refuses most networks in float64 ([conformance](conformance.md))"
NO_TRAINING = "does not train"
NOT_WRITTEN = "has no such program here"
UNKNOWN = "took no part in this run"

NO_STEP = {"libxsmm": CELL}
ABSENT = {  # by group and work
    ("step", "step"): NO_STEP,
    ("sequence", "sequence"): {},
    ("batch", "batch"): {"ncnn": NO_BATCHES},
    ("deep", "sequence"): {"libxsmm": ONE_LAYER},
    ("deep", "batch"): {"ncnn": NO_BATCHES, "libxsmm": ONE_LAYER},
    **{
        ("float64", work): {
            **dict.fromkeys(("litert", "openvino", "ncnn"), FLOAT32),
            **{"tract": REFUSES, "libxsmm": ONE_LAYER},
        }
        for work in ("sequence", "batch")
    },
    ("pool", "tick"): dict.fromkeys(
        ("pure_python", "numba", "tract", "ncnn", "libxsmm", "eigen"), NOT_WRITTEN
    ),
    ("generate", "generate"): NO_STEP,
    ("training", "update"): {
        **dict.fromkeys(("onnxruntime", "litert", "openvino", "tract", "ncnn"), NO_TRAINING),
        **dict.fromkeys(("pure_python", "numba", "eigen"), NOT_WRITTEN),
    },
}
NAMES = {"deep": "two layers", "float64": "float64"}  # of groups whose works others have, too


def absent(result: Facts) -> str:
    """Return a table of who takes no part in the cases of a group, and why."""
    rows = [
        [what, ", ".join(TITLES[name] for name in names), why]
        for (group, work), reasons in ABSENT.items()
        for what in [", ".join(filter(None, [WORKS[work], NAMES.get(group)]))]
        for why, names in _missing(of_group(result, group, work), reasons, result["left_out"])
    ]
    first, _, *others = table(["in the cases of", "without", "which"], rows).splitlines()
    return "\n".join([first, "|---|---|---|", *others]) if rows else ""


def _missing(
    cases: list[Facts], reasons: dict[str, str], left_out: Facts
) -> Iterator[tuple[str, list[str]]]:
    """Yield the reasons, and the peers in none of the cases for each."""
    if not cases:
        return
    found = {entry["name"] for case in cases for entry in case["entries"]}
    names = [name for name in TITLES if name not in found and name not in left_out]
    for why in dict.fromkeys(reasons.get(name, UNKNOWN) for name in names):
        yield why, [name for name in names if reasons.get(name, UNKNOWN) == why]
