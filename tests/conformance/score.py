"""Score engines on the conformance suite of the ONNX operator RNN, side by side.

    python tests/conformance/score.py              # print the table
    python tests/conformance/score.py --failures   # and each failure
    python tests/conformance/score.py --write      # into scores.json and docs/conformance.md
    python tests/conformance/score.py --check      # fail if these do not match, or the cases differ

A case passes if every value is within 4e-6 (float32) or 1e-13 (float64) of the specification,
absolute or relative, whichever is larger. Refused and wrong cases are counted separately.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import pathlib
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from conformance import cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Engine = Callable[[cases.Case], list[Array]]
    Scores = dict[str, Any]

HERE = pathlib.Path(__file__).resolve().parent
SCORES, PAGE = HERE / "scores.json", HERE.parents[1] / "docs" / "conformance.md"
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


def openvino(case: cases.Case) -> list[Array]:
    """Run a case in OpenVINO on the CPU, in float32."""
    os.environ["CI"] = "true"  # or it reports its use over the network
    import openvino

    core = openvino.Core()
    model = core.read_model(case.model().SerializeToString(), b"")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(cases.fed(case))
    return [found[i] for i in range(len(compiled.outputs))]


def tract(case: cases.Case) -> list[Array]:
    """Run a case in tract."""
    import tract

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.onnx")
        path.write_bytes(case.model().SerializeToString())
        model = tract.onnx().load(path)
    runnable = model.into_model().into_runnable()
    return [tensor.to_numpy() for tensor in runnable.run(list(cases.fed(case).values()))]


# The packages whose versions are recorded, and the engines.
PACKAGES = {
    "elman": "elman",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    "ONNX reference": "onnx",
    "tract": "tract",
}
ENGINES: dict[str, Engine] = {
    "elman": elman,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "ONNX reference": onnx_reference,
    "tract": tract,
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


def main() -> int:
    """Print the table, write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--failures", action="store_true", help="print each failure")
    parser.add_argument("--write", action="store_true", help="write scores.json and the page")
    parser.add_argument("--check", action="store_true", help="compare the page with scores.json")
    arguments = parser.parse_args()
    if arguments.check:
        said = outdated(json.loads(SCORES.read_text(encoding="utf-8")))
        print(*said, sep="\n", end="\n" * bool(said), file=sys.stderr)
        return 1 if said else 0
    verdicts = judged()
    found = scores(verdicts)
    for row in counts(found):
        print(f"{row[0]:<32}" + "".join(f"{cell:<24}" for cell in row[1:]))
    if arguments.failures:
        for name, said in verdicts.items():
            for case, verdict in said.items():
                if verdict:
                    print(f"{name}: {case}: {verdict}")
    if arguments.write:
        SCORES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(found), encoding="utf-8")
    return 0


def judged() -> dict[str, dict[str, str]]:
    """Return the verdicts of each installed engine by the names of the cases."""
    found = {}
    for name, engine in ENGINES.items():
        try:
            found[name] = {_name(case): judge(case, engine) for case in cases.cases()}
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def scores(verdicts: dict[str, dict[str, str]]) -> Scores:
    """Return what is recorded: versions, all cases, and each failure without its reason."""
    failures = {
        name: {
            case: "refused" if said.startswith("refused") else said
            for case, said in found.items()
            if said
        }
        for name, found in verdicts.items()
    }
    return {
        "versions": {name: importlib.metadata.version(PACKAGES[name]) for name in verdicts},
        "cases": [_name(case) for case in cases.cases()],
        "failures": failures,
    }


def _name(case: cases.Case) -> str:
    return f"{case.group}: {case.name}"


def counts(found: Scores) -> list[list[str]]:
    """Return the rows of the table: the correct cases of each group, and (wrong, refused)."""
    names = found["cases"]
    groups = list(dict.fromkeys(name.partition(":")[0] for name in names))
    rows = [["correct of all (wrong, refused)", *found["versions"]]]
    for group in [*groups, "all"]:
        members = [name for name in names if group in (name.partition(":")[0], "all")]
        rows.append([group, *(_count(said, members) for said in found["failures"].values())])
    return rows


def _count(said: dict[str, str], members: list[str]) -> str:
    failed = [said[name] for name in members if name in said]
    refused = failed.count("refused")
    correct = f"{len(members) - len(failed)} of {len(members)}"
    return f"{correct} ({len(failed) - refused}, {refused})" if failed else correct


def page(found: Scores) -> str:
    """Return the page of these scores."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    failed = [
        [name, *(said.get(name, "").replace("wrong: ", "") for said in found["failures"].values())]
        for name in found["cases"]
    ]
    failed = [row for row in failed if any(row[1:])]
    return (
        "\n\n".join(
            [
                "# Conformance: the ONNX operator RNN",
                INTRODUCTION.format(cases=len(found["cases"]), versions=versions),
                _table(counts(found)),
                "## Every failure",
                EVERY,
                _table([["case", *found["versions"]], *failed]),
            ]
        )
        + "\n"
    )


INTRODUCTION = (
    "Written by `python tests/conformance/score.py --write`. Each of {cases} cases is one node with"
    " activations, directions, lengths, clipping, layouts and dtypes of"
    " [the specification](https://onnx.ai/onnx/operators/onnx__RNN.html); the expected values are"
    " computed from it with 40 digits. A case is correct if every value is within 4e-6 (float32) or"
    " 1e-13 (float64), *refused* if the engine raises an error when it reads or runs the model, and"
    " *wrong* if it returns something else. Engines, on the CPU: {versions}. OpenVINO has a"
    " precision hint of float32."
)


EVERY = (
    "Of a wrong answer, how far it is from the specification: relative to values above 1, absolute"
    " below. An empty cell is a correct answer."
)


def _table(rows: list[list[str]]) -> str:
    first, *others = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([first, "|---" * len(rows[0]) + "|", *others])


def outdated(found: Scores) -> list[str]:
    """Return a sentence for each thing that does not match the recorded scores."""
    said = []
    if found["cases"] != [_name(case) for case in cases.cases()]:
        said.append("The cases differ from those of scores.json: run score.py --write.")
    if missing := set(ENGINES) - set(found["versions"]):
        said.append(f"scores.json has no scores of {', '.join(sorted(missing))}.")
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(found):
        said.append("docs/conformance.md is not the page of scores.json: run score.py --write.")
    return said


if __name__ == "__main__":
    sys.exit(main())
