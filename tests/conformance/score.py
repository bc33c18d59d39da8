"""Score engines on the conformance suite of the ONNX operator RNN, side by side.

    python tests/conformance/score.py [--failures]

A case passes if every value is within 4e-6 (float32) or 1e-13 (float64) of the specification,
absolute or relative, whichever is larger. Refused and wrong cases are counted separately.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from conformance import cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Engine = Callable[[cases.Case], list[Array]]

TOLERANCES = {"float32": 4e-6, "float64": 1e-13}


def elman(case: cases.Case) -> list[Array]:
    """Run a case in elman."""
    from conformance import backend

    return list(backend.prepare(case.model()).run(cases.fed(case)))


def onnx_runtime(case: cases.Case) -> list[Array]:
    """Run a case in ONNX Runtime."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(case.model().SerializeToString())
    return list(session.run(None, cases.fed(case)))


def onnx_reference(case: cases.Case) -> list[Array]:
    """Run a case in the reference evaluator of the onnx package."""
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(case.model()).run(None, cases.fed(case)))


ENGINES: dict[str, Engine] = {
    "elman": elman,
    "ONNX Runtime": onnx_runtime,
    "ONNX reference": onnx_reference,
}


def judge(case: cases.Case, engine: Engine) -> str:
    """Return "" for a correct answer, else "refused: ..." or "wrong: ..."."""
    try:
        with np.errstate(all="ignore"):
            found = engine(case)
    except ImportError:
        raise
    except Exception as error:  # any exception counts as a refusal
        return f"refused: {' '.join(str(error).split())[:150]}"
    tolerance = TOLERANCES[case.inputs["X"].dtype.name]
    for (name, expected), got in zip(case.expected().items(), found, strict=True):
        if np.shape(got) != expected.shape:
            return f"wrong: {name} has the shape {np.shape(got)}, not {expected.shape}"
        error = np.abs(got - expected) / np.maximum(1, np.abs(expected))
        if not error.max(initial=0) <= tolerance:
            return f"wrong: {name} is off by {error.max():.2g}"
    return ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--failures", action="store_true", help="print each failure")
    arguments = parser.parse_args()
    verdicts: dict[str, dict[str, str]] = {}
    for name, engine in ENGINES.items():
        try:
            verdicts[name] = {case.group + case.name: judge(case, engine) for case in cases.cases()}
        except ImportError as error:
            print(f"{name} is left out: {error}")
    print(_row("correct of all (wrong, refused)", list(verdicts)))
    groups = list(dict.fromkeys(case.group for case in cases.cases()))
    for group in [*groups, "all"]:
        members = [case for case in cases.cases() if group in (case.group, "all")]
        print(_row(group, [_count(found, members) for found in verdicts.values()]))
    if arguments.failures:
        for name, found in verdicts.items():
            for case in cases.cases():
                if said := found[case.group + case.name]:
                    print(f"{name}: {case.group}: {case.name}: {said}")


def _count(found: dict[str, str], members: list[cases.Case]) -> str:
    said = [found[case.group + case.name] for case in members]
    wrong = sum(verdict.startswith("wrong") for verdict in said)
    refused = sum(verdict.startswith("refused") for verdict in said)
    return f"{said.count('')} of {len(said)} ({wrong}, {refused})"


def _row(title: str, cells: list[str]) -> str:
    return f"{title:<32}" + "".join(f"{cell:<24}" for cell in cells)


if __name__ == "__main__":
    main()
