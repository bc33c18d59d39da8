"""Faults, each a single plausible slip, that the tests must catch.

    python tests/faults/run.py

`right` occurs once in `file`, or once in `within`, which occurs once there. In C++ it is a whole
expression, or statements that end in a semicolon, because both forms are compiled.
"""

from __future__ import annotations

import pathlib
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Fault(NamedTuple):
    """One fault."""

    name: str
    kind: str
    file: str  # from the root of the repository
    tests: str  # the nearest: "storage" means test_storage.py and every test_storage_*.py
    right: str
    wrong: str
    within: str = ""

    @property
    def is_core(self) -> bool:
        """Whether the fault is in compiled code."""
        return self.file.startswith("cpp/")

    def put_into(self, text: str, instead: str) -> str:
        """Return the text of the file with `right` replaced."""
        within = self.within or self.right
        if text.count(within) != 1 or within.count(self.right) != 1:
            raise ValueError(f"{self.name}: expected its text once in {self.file}")
        return text.replace(within, within.replace(self.right, instead))

    def test_files(self) -> list[pathlib.Path]:
        """Return the nearest tests, at least one file per word."""
        files: list[pathlib.Path] = []
        for word in self.tests.split():
            tests = ROOT / "tests"
            found = [*tests.glob(f"test_{word}.py"), *sorted(tests.glob(f"test_{word}_*.py"))]
            if not found:
                raise ValueError(f"{self.name}: expected a file tests/test_{word}.py, got none")
            files += found
        return files


CORE = [
    # --- kernels ---
    Fault(
        "few rows",
        "order of sums",
        "cpp/src/kernels/product.hpp",
        "contract",
        "sum[term % S][m] = fma(weight, element[m][i], sum[term % S][m]);",
        "sum[(term + 1) % S][m] = fma(weight, element[m][i], sum[(term + 1) % S][m]);",
    ),
    Fault(
        "fold",
        "order of sums",
        "cpp/src/kernels/tile.hpp",
        "contract",
        "add_to(2, 3);\n        add_to(0, 2);",
        "add_to(0, 2);\n        add_to(0, 3);",
    ),
    Fault(
        "last terms",
        "bound",
        "cpp/src/kernels/tile.hpp",
        "network",
        "k + s < terms",
        "k + s + 1 < terms",
    ),
    Fault(
        "second half of the sums",
        "index",
        "cpp/src/kernels/tile.hpp",
        "contract",
        "tile.x.column(n)[first + k]",
        "tile.x.column(n)[k]",
    ),
    Fault(
        "squares of the last column",
        "bound",
        "cpp/src/kernels/product.hpp",
        "optimizers",
        "k < cols",
        "k + 1 < cols",
        "for (Index k = 0; k < cols; ++k) {\n                const Packet<Real> g",
    ),
    Fault(
        "fade limit",
        "wrong constant",
        "cpp/src/kernels/activation.hpp",
        "contract",
        "limits[faded]",
        "limits[faded] * Real(0x1p20)",
        "broadcast<Real>(limits[faded])",
    ),
    Fault(
        "slope of elu",
        "wrong constant",
        "cpp/src/kernels/activation.hpp",
        "gradients",
        "add(y, alpha)",
        "add(y, broadcast<Real>(1))",
    ),
    Fault(
        "thresholded NaN",
        "missing check",
        "cpp/src/kernels/activation.hpp",
        "activations",
        "select(less(v, infinity), broadcast<Real>(0), v)",
        "broadcast<Real>(0)",
    ),
    # --- engines ---
    Fault(
        "start state",
        "swapped argument",
        "cpp/src/start_state.hpp",
        "directions",
        "given ? given : initial",
        "initial ? initial : given",
    ),
    Fault(
        "row of a fed-back output",
        "index",
        "cpp/src/stages.cpp",
        "network",
        "t - task_.first_output",
        "t - task_.steps",
        "outputs.write(column, y.row(t - task_.first_output), y.stride);",
    ),
    Fault(
        "hidden states of the second group",
        "index",
        "cpp/src/stages.cpp",
        "contract",
        "group_.first + column",
        "column",
        "job_.hidden(group_.first + column, chunk.first + t)",
    ),
    Fault(
        "run after a step",
        "lost state",
        "cpp/src/block.cpp",
        "stream",
        "now_ == 0",
        "now_ <= 1",
        "if (now_ == 0) return;",
    ),
    Fault(
        "states held in reverse",
        "direction",
        "cpp/src/layerwise.cpp",
        "directions",
        "if (half.reverse) return {steps_before(column, index).first, step + 1};",
        "if (half.reverse) return {step, steps_before(column, index + 1).last};",
    ),
    Fault(
        "masked steps that are zero",
        "missing check",
        "cpp/src/layerwise.cpp",
        "directions",
        "task_.mask && task_.hold_outputs",
        "task_.mask != nullptr",
    ),
    Fault(
        "scaling of outputs",
        "order of operations",
        "cpp/src/scaling.hpp",
        "network",
        "if (output.std) y *= output.std[i];\n    if (output.mean) y += output.mean[i];",
        "if (output.mean) y += output.mean[i];\n    if (output.std) y *= output.std[i];",
    ),
    Fault(
        "strides of two batch axes",
        "index",
        "cpp/include/elman/views.hpp",
        "network",
        "first + b * strides[0]",
        "first + b * strides.back()",
    ),
    # --- training ---
    Fault(
        "last errors of a step",
        "bound",
        "cpp/src/loss.hpp",
        "gradients",
        "k < kSums - 1",
        "k < kSums - 2",
    ),
    Fault(
        "binary cross-entropy",
        "sign",
        "cpp/src/loss.hpp",
        "gradients",
        "std::max(z_i, 0.0) - t * z_i",
        "std::max(z_i, 0.0) + t * z_i",
    ),
    Fault(
        "second moment of Adam",
        "swapped argument",
        "cpp/src/optimizer.cpp",
        "trainers",
        "integer_power(settings_.beta2, updates_)",
        "integer_power(settings_.beta1, updates_)",
    ),
    Fault(
        "clipped gradients",
        "bound",
        "cpp/src/trainer.cpp",
        "training",
        "std::clamp(gradients[i], -most, most)",
        "std::min(gradients[i], most)",
    ),
    Fault(
        "start of a truncated sequence",
        "missing check",
        "cpp/src/leaf.cpp",
        "gradients",
        "starts_[c] > 0 || ends_[c] == 0",
        "ends_[c] == 0",
    ),
    Fault(
        "tree of leaves",
        "order of sums",
        "cpp/src/backpropagation.cpp",
        "data_parallel",
        "left_of(count)",
        "count - 1",
        "const Index left = left_of(count);\n    run_leaves",
    ),
    Fault(
        "gradient of a bias",
        "order of sums",
        "cpp/src/kernels/tile.hpp",
        "bits",
        "d.at(t).column(n)",
        "d.at(steps - 1 - t).column(n)",
    ),
    Fault(
        "learning rate of an update",
        "index",
        "cpp/src/trainer.cpp",
        "training",
        "task.learning_rates[update++]",
        "task.learning_rates[std::max<Index>(0, update++ - 1)]",
    ),
    Fault(
        "carried states of a shuffled batch",
        "index",
        "cpp/src/trainer.cpp",
        "training",
        "carried_.data() + batch.sequences[i] * state_size",
        "carried_.data() + i * state_size",
    ),
    Fault(
        "updates of a checkpoint",
        "lost state",
        "cpp/src/trainer.cpp",
        "checkpoint",
        "state.updates",
        "Index(0)",
        "optimizer_.restore(std::move(moments), state.updates);",
    ),
    # --- initialization ---
    Fault(
        "random words",
        "wrong constant",
        "cpp/src/random.cpp",
        "initialization",
        "0xBB67AE8584CAA73Bu",
        "0xBB67AE8584CAA73Du",
    ),
    # --- bindings ---
    Fault(
        "values of a mask",
        "missing check",
        "cpp/bindings/arrays.cpp",
        "directions",
        "kind != 'b' && array.size() > 0",
        "false",
    ),
    Fault(
        "byte order",
        "wrong dtype",
        "cpp/bindings/arrays.cpp",
        "arrays",
        "other->type_num == own->type_num && other->byteorder != foreign",
        "other->type_num == own->type_num",
    ),
    Fault(
        "stride of features",
        "wrong stride",
        "cpp/bindings/arrays.cpp",
        "arrays",
        "stride(batch_axes + own_axes - 1)",
        "Index(1)",
    ),
    Fault(
        "busy stream",
        "race",
        "cpp/bindings/stream.cpp",
        "lifetime",
        "if (stream.busy().is_taken()) return false;",
        "static_cast<void>(0);",
    ),
    Fault(
        "swap of other sizes",
        "missing check",
        "cpp/src/pool.cpp",
        "pool",
        "found != expected",
        "found == std::string()",
    ),
    Fault(
        "index given twice",
        "missing check",
        "cpp/src/pool.cpp",
        "pool",
        "mark == mark_",
        "mark == mark_ + 1",
        'if (mark == mark_) refuse("rows"',
    ),
    Fault(
        "held row",
        "wrong row",
        "cpp/src/pool.cpp",
        "pool",
        "next + i * memory.stride",
        "next",
    ),
    Fault(
        "interrupted pool",
        "half a step",
        "cpp/src/pool.cpp",
        "pool",
        "if (pause.stopped()) return false;",
        "static_cast<void>(0);",
        "if (pause.stopped()) return false;\n    commit(call.rows, count);",
    ),
    Fault(
        "interrupted call",
        "ignored result",
        "cpp/bindings/unlocked.cpp",
        "polling",
        "PyErr_CheckSignals() == 0",
        "(PyErr_CheckSignals(), true)",
    ),
]

PACKAGE = [
    # --- arguments and calls ---
    Fault(
        "common dtype",
        "wrong dtype",
        "python/elman/_arguments.py",
        "network",
        "any(not np.can_cast",
        "all(not np.can_cast",
    ),
    Fault(
        "state of a feedback",
        "lost state",
        "python/elman/_feedback.py",
        "network",
        'y, state = _last(core, x[..., None, :], state, "feedback")',
        'y, _ = _last(core, x[..., None, :], state, "feedback")',
    ),
    Fault(
        "rounding of a list",
        "wrong dtype",
        "python/elman/_ragged.py",
        "ragged",
        'np.concatenate(arrays, dtype=core.dtype, casting="unsafe")',
        "np.concatenate(arrays)",
    ),
    Fault(
        "columns of a frame",
        "order",
        "python/elman/_frame.py",
        "frame",
        "[self._numeric(name) for name in names]",
        "[self._numeric(name) for name in self.names if name in names]",
    ),
    Fault(
        "pickled stream",
        "lost state",
        "python/elman/_stream.py",
        "stream",
        "nonfinite, state)",
        "nonfinite)",
    ),
    # --- files ---
    Fault(
        "padding of a header",
        "sign",
        "python/elman/_container.py",
        "storage",
        "(-len(text) % 8)",
        "(len(text) % 8)",
    ),
    Fault(
        "hole between tensors",
        "missing check",
        "python/elman/_container.py",
        "storage",
        "entry.begin != end",
        "entry.begin < end",
    ),
    Fault(
        "symbolic link",
        "swapped argument",
        "python/elman/_files.py",
        "storage",
        "os.replace(temporary, target)",
        "os.replace(temporary, path)",
    ),
    Fault(
        "failed write",
        "missing cleanup",
        "python/elman/_files.py",
        "storage",
        "os.unlink(name)\n                raise",
        "pass\n                raise",
    ),
    Fault(
        "activation of a reverse half",
        "wrong key",
        "python/elman/_format.py",
        "directions",
        'layer["reverse_activation"] = _activation',
        'layer["activation"] = _activation',
    ),
    # --- references ---
    Fault(
        "last step of a padded sequence",
        "bound",
        "python/elman/reference/gradients.py",
        "reference_gradients",
        "t == n - 1",
        "t == T - 1",
    ),
    Fault(
        "bound of rounding",
        "wrong constant",
        "python/elman/reference/judge.py",
        "reference",
        "how.sums(terms)",
        "how.sums(4 * terms)",
    ),
    Fault(
        "readout of zeros",
        "missing step",
        "python/elman/reference/forward.py",
        "masked",
        "below = np.where(real, below, 0.0)",
        "pass",
    ),
    Fault(
        "sum of log_softmax",
        "wrong function",
        "python/elman/reference/activations.py",
        "activations",
        "np.log1p(rest)",
        "np.log(rest)",
    ),
    Fault(
        "reverse half in plain Python",
        "direction",
        "python/elman/pure.py",
        "directions",
        'direction == "reverse" or index == 1',
        'direction == "reverse"',
    ),
    # --- training ---
    Fault(
        "held-out sequences",
        "index",
        "python/elman/training/data.py",
        "training_data",
        "np.sort(order[:count])",
        "np.sort(order[-count:])",
    ),
    Fault(
        "smallest improvement",
        "sign",
        "python/elman/training/run.py",
        "training",
        "best - self.plan.min_delta",
        "best + self.plan.min_delta",
    ),
    Fault(
        "damaged checkpoint",
        "missing check",
        "python/elman/training/checkpoint.py",
        "checkpoint",
        "digest.update(array.tobytes())",
        "pass",
    ),
    Fault(
        "default of RMSprop",
        "wrong default",
        "python/elman/training/optimizers.py",
        "optimizers",
        "alpha: float = 0.99",
        "alpha: float = 0.9",
    ),
    Fault(
        "penalty of a ridge",
        "missing step",
        "python/elman/ridge.py",
        "ridge",
        "np.sqrt(alpha)",
        "alpha",
    ),
    Fault(
        "classes of a later batch",
        "index",
        "python/elman/sklearn/classifier.py",
        "sklearn",
        "np.searchsorted(self.classes_, found)[numbers]",
        "numbers",
    ),
    # --- other frameworks ---
    Fault(
        "merge of halves",
        "wrong constant",
        "python/elman/interop/_chain.py",
        "interop_chain",
        '0.5 if part.merge == "ave" else 1.0',
        "1.0",
    ),
    Fault(
        "scaling of inputs that is folded",
        "order of operations",
        "python/elman/interop/_chain.py",
        "interop_chain",
        "map=first.map.after(whole)",
        "map=whole.after(first.map)",
    ),
    Fault(
        "opaque value in place of a weight",
        "missing check",
        "python/elman/interop/torch/visible.py",
        "torch_objects",
        "return Unread(kind_of(child))",
        "return None",
    ),
    Fault(
        "second bias of PyTorch",
        "lost term",
        "python/elman/interop/torch/reading.py",
        "from_torch",
        "for kind in _BIASES if kind in half",
        "for kind in _BIASES[:1] if kind in half",
    ),
    Fault(
        "leaky ReLU of Keras",
        "wrong constant",
        "python/elman/interop/keras/config.py",
        "from_keras",
        "alpha=0.2),\n",
        "alpha=0.3),\n",
    ),
    Fault(
        "layers that turn time back",
        "lost state",
        "python/elman/interop/keras/reading.py",
        "from_keras",
        "reversed_ ^= part.go_backwards",
        "reversed_ = part.go_backwards",
    ),
    Fault(
        "transposed Gemm",
        "missing step",
        "python/elman/interop/onnx/arithmetic.py",
        "onnx_import",
        'b.T if node.attributes.get("transB", 0) else b',
        "b",
    ),
    Fault(
        "final state in reverse",
        "direction",
        "python/elman/interop/onnx/recurrent.py",
        "onnx_import",
        'return "first" if direction == "reverse" else',
        "return",
    ),
    Fault(
        "mean folded into a bias",
        "sign",
        "python/elman/interop/_export.py",
        "from_torch",
        '- W @ mean.astype("f8")',
        '+ W @ mean.astype("f8")',
    ),
    Fault(
        "last output of a source",
        "index",
        "python/elman/_compare/steps.py",
        "compare",
        "top[..., trace.step, :]",
        "top[..., 0, :]",
    ),
    # --- the command line ---
    Fault(
        "columns by name",
        "order",
        "python/elman/files/reading.py",
        "cli_run",
        "for name in table.inputs]",
        "for name in sorted(table.inputs)]",
    ),
    Fault(
        "state between chunks",
        "lost state",
        "python/elman/files/running.py",
        "cli_run",
        "self._states[rows] = result.state",
        "self._states[rows] = self._start",
    ),
    Fault(
        "exit code",
        "swapped argument",
        "python/elman/cli/__init__.py",
        "cli_convert",
        "return 1 if isinstance(error, VerificationError) else 2",
        "return 2 if isinstance(error, VerificationError) else 1",
    ),
]

FAULTS = CORE + PACKAGE
