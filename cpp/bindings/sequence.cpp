#include "elman/sequence.hpp"

#include <chrono>
#include <limits>
#include <optional>
#include <utility>

#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

constexpr std::chrono::milliseconds kSlice(50);  // between two looks for Ctrl-C

// Advances to the end. Short work keeps the interpreter's lock; long work gives it up, in slices.
template <class Real>
void finish(Sequence<Real>& sequence, bool is_short) {
    if (is_short) {
        while (!sequence.advance(kSlice)) {
        }
        return;
    }
    for (bool done = false; !done;) {
        {
            const Unlocked unlocked;
            done = sequence.advance(kSlice);
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
}

// Which of two names a string is: true for the first one.
bool is_first_of(const char* argument, py::handle name, const char* first, const char* second) {
    const auto is = [&](const char* expected) {
        return PyUnicode_Check(name.ptr()) &&
               PyUnicode_CompareWithASCIIString(name.ptr(), expected) == 0;
    };
    if (is(first)) return true;
    if (is(second)) return false;
    throw ArgumentError(std::string(argument) + ": expected '" + first + "' or '" + second +
                        "', got " + std::string(py::repr(name)));
}

Outputs outputs_from_name(py::handle outputs) {
    return is_first_of("outputs", outputs, "all", "last") ? Outputs::all : Outputs::last;
}

// The arguments of one call: what the user passed, checked, and what the core is told to do.
template <class Real>
class Call {
  public:
    Call(const Network<Real>& network, const char* argument, py::handle x, py::handle state,
         py::handle lengths)
        : network_(network), argument_(argument), x_(as_real<Real>(x, argument)), pinned_x_(x_) {
        const Index input_size = network.architecture().input_size;
        if (x_.ndim() < 2 || x_.shape(x_.ndim() - 1) != input_size)
            throw ShapeError(std::string(argument) + ": expected " + text("..., T", {input_size}) +
                             ", got " + text(shape_of(x_)));
        batch_shape_ = Shape(x_.shape(), x_.shape() + x_.ndim() - 2);
        task.sequences = product(batch_shape_);
        task.steps = x_.shape(x_.ndim() - 2);
        task.x = batch_of<Real>(x_);
        if (!state.is_none()) {
            state_ = copy_reals<Real>(state, "state", state_shape(), true);
            task.state = state_.data();
        }
        if (!lengths.is_none()) {
            lengths_ = copy_lengths(lengths, batch_shape_, task.steps);
            task.lengths = lengths_.data();
        }
    }

    void mask(py::handle mask, py::handle masked) {
        const bool hold = is_first_of("masked", masked, "hold", "zero");
        if (mask.is_none()) return;
        if (task.lengths) throw ArgumentError("mask: expected None beside lengths, got a mask");
        mask_ = copy_mask(mask, batch({task.steps}));
        task.mask = mask_.data();
        task.hold_outputs = hold;
    }

    Shape state_shape() const { return batch({network_.architecture().state_size()}); }
    Shape batch(std::initializer_list<Index> more) const { return concatenate(batch_shape_, more); }

    // Where the outputs go: a new array, or the user's own.
    py::array output(Outputs outputs, Index rows, py::handle out) {
        const bool all = outputs == Outputs::all;
        const Index size = network_.architecture().output_size();
        const Shape shape = all ? batch({rows, size}) : batch({size});
        py::array array = out.is_none() ? new_array<Real>(shape) : check_out<Real>(out, shape);
        task.outputs = outputs;
        task.output = writable_batch_of<Real>(array, all);
        const Pinned pinned(array);
        if (!out.is_none()) check_overlap(array, x_, argument_);
        return array;
    }

    void run(Index threads, const py::array& output) {
        const Index steps = task.steps + task.fed_back + 1;  // a sequence without any costs too
        const bool is_short =
            task.sequences == 0 || kShortWork / task.sequences / steps >= step_work(network_);
        const Pinned target(output);
        Sequence<Real> sequence(network_, task, threads);
        finish(sequence, is_short);
    }

    SequenceTask<Real> task;

  private:
    const Network<Real>& network_;
    const char* argument_;
    py::array x_;
    Pinned pinned_x_;  // what is converted after it may run code that resizes it
    Shape batch_shape_;
    std::vector<Real> state_;
    std::vector<Index> lengths_;
    std::vector<unsigned char> mask_;
};

py::object call(const AnyNetwork& any, py::handle x, py::handle outputs, py::handle out) {
    return std::visit(
        [&](const auto& network) -> py::object {
            using Real = RealOf<std::decay_t<decltype(network)>>;
            Call<Real> call(*network, "x", x, py::none(), py::none());
            py::array output = call.output(outputs_from_name(outputs), call.task.steps, out);
            call.run(1, output);
            return std::move(output);
        },
        any.network);
}

py::tuple run(const AnyNetwork& any, py::handle x, py::handle state, py::handle lengths,
              py::handle outputs, bool return_hidden, Index threads, py::handle out,
              const char* argument, py::handle mask, py::handle masked) {
    return std::visit(
        [&](const auto& network) {
            using Real = RealOf<std::decay_t<decltype(network)>>;
            Call<Real> call(*network, argument, x, state, lengths);
            call.mask(mask, masked);
            py::array output = call.output(outputs_from_name(outputs), call.task.steps, out);
            py::array final_state = new_array<Real>(call.state_shape());
            call.task.final_state = static_cast<Real*>(final_state.mutable_data());
            py::object hidden = py::none();
            if (return_hidden) {
                py::array array = new_array<Real>(
                    call.batch({call.task.steps, network->architecture().state_size()}));
                call.task.hidden = static_cast<Real*>(array.mutable_data());
                hidden = array;
            }
            call.run(threads, output);
            return py::make_tuple(output, final_state, hidden);
        },
        any.network);
}

// The first of `steps` outputs is the one after the last row of `start`.
py::object generate(const AnyNetwork& any, py::handle start, Index steps, py::handle state) {
    return std::visit(
        [&](const auto& network) -> py::object {
            using Real = RealOf<std::decay_t<decltype(network)>>;
            Call<Real> call(*network, "start", start, state, py::none());
            const Architecture& a = network->architecture();
            if (call.task.steps < 1)
                throw ShapeError("start: expected at least one step, got " +
                                 text(call.batch({0, a.input_size})));
            if (a.output_size() != a.input_size)
                throw ShapeError("generate: expected outputs of the size of the inputs, " +
                                 std::to_string(a.input_size) + ", got " +
                                 std::to_string(a.output_size()) +
                                 "; pass feedback= to say how an output becomes the next input");
            if (steps > std::numeric_limits<Index>::max() / 2 - call.task.steps)
                throw LimitError("steps: " + std::to_string(steps) + " are too many");
            py::array output = call.output(Outputs::all, steps, py::none());
            if (steps > 0) {
                call.task.fed_back = steps - 1;
                call.task.first_output = call.task.steps - 1;
                call.run(1, output);
            }
            return std::move(output);
        },
        any.network);
}

}  // namespace

void bind_sequence(py::class_<AnyNetwork>& network) {
    network
        .def("call", &call, py::arg("x"), py::arg("outputs"), py::arg("out"),
             "Run whole sequences; return the outputs.")
        .def("run", &run, py::arg("x"), py::arg("state"), py::arg("lengths"), py::arg("outputs"),
             py::arg("return_hidden"), py::arg("threads"), py::arg("out"),
             py::arg("argument") = "x", py::arg("mask") = py::none(), py::arg("masked") = "hold",
             "Run whole sequences; return (output, state, hidden or None). Errors call x "
             "`argument`.")
        .def("generate", &generate, py::arg("start"), py::arg("steps"), py::arg("state"),
             "Feed outputs back as inputs; return (..., steps, O).");
}

}  // namespace elman::python
