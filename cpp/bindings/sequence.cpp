#include "elman/sequence.hpp"

#include <limits>
#include <optional>
#include <utility>

#include "network.hpp"
#include "sequences.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

// One call: the checked arguments and the task for the core.
template <class Real>
class Call : public CheckedSequences<Real> {
  public:
    Call(const Network<Real>& network, const char* argument, py::handle x, py::handle state,
         py::handle lengths, py::handle offsets = py::none())
        : CheckedSequences<Real>(network, argument, x, state, lengths, offsets),
          network_(network),
          argument_(argument) {
        this->describe(task);
        if (!this->offsets().empty()) task.offsets = this->offsets().data();
    }

    void mask(py::handle mask, py::handle masked) {
        const bool hold = is_first_of("masked", masked, "hold", "zero");
        if (mask.is_none()) return;
        if (task.lengths) throw ArgumentError("mask: expected None with lengths, got a mask");
        mask_ = copy_mask(mask, this->step_shape({}));
        task.mask = mask_.data();
        task.hold_outputs = hold;
    }

    // The output array: a new one or the user's.
    py::array output(Outputs outputs, py::handle out) {
        const Index size = network_.output_size();
        return output(
            outputs, outputs == Outputs::all ? this->step_shape({size}) : this->shape({size}), out);
    }
    py::array output(Outputs outputs, const Shape& shape, py::handle out) {
        const bool all = outputs == Outputs::all;
        py::array array = out.is_none() ? new_array<Real>(shape) : check_out<Real>(out, shape);
        task.outputs = outputs;
        task.output = writable_view_of<Real>(array, all);
        if (!out.is_none()) {  // a new array is not visible to other threads
            pinned_out_.emplace(array);
            check_overlap(array, this->x(), argument_);
        }
        return array;
    }

    // Zeros the rows of flat arrays that belong to no sequence.
    void clear_rows_of_nobody(const py::array& array) const {
        const std::vector<Index>& offsets = this->offsets();
        if (offsets.empty() || array.size() == 0) return;
        if (offsets.front() > 0 || offsets.back() < this->x().shape(0)) array.attr("fill")(0);
    }

    // A new array for states.
    py::array states(const Shape& shape, Real*& to) {
        py::array array = new_array<Real>(shape);
        to = static_cast<Real*>(array.mutable_data());
        return array;
    }

    void run(Index threads) {
        Polled polled(this->work(step_work(network_), task.fed_back));
        run_sequences(network_, task, threads, polled.pause());
        polled.finish();
    }

    SequenceTask<Real> task;

  private:
    const Network<Real>& network_;
    const char* argument_;
    std::vector<unsigned char> mask_;
    std::optional<Pinned> pinned_out_;
};

// Whether Python handles x: a list of sequences or a data frame. Checked here so that arrays skip
// the Python code.
bool python_reads(py::handle x) {
    if (py::isinstance<py::array>(x)) return false;
    if (PyList_Check(x.ptr()) || PyTuple_Check(x.ptr()))
        return py::cast<bool>(
            py::module_::import("elman._arguments").attr("is_list_of_sequences")(x));
    return py::hasattr(x, "columns");
}

py::object not_implemented() {
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
}

template <class Real>
py::object call(const Network<Real>& network, py::handle x, py::handle outputs, py::handle out) {
    Call<Real> call(network, "x", x, py::none(), py::none());
    py::array output = call.output(outputs_from_name(outputs), out);
    call.run(1);
    return std::move(output);
}

template <class Real>
py::object run_call(Call<Real>& call, const Network<Real>& network, py::handle outputs,
                    bool return_hidden, Index threads, py::handle out) {
    py::array output = call.output(outputs_from_name(outputs), out);
    const Index size = network.state_size();
    py::array final_state = call.states(call.shape({size}), call.task.final_state);
    py::object hidden = py::none();
    if (return_hidden) {
        hidden = call.states(call.step_shape({size}), call.task.hidden);
        call.clear_rows_of_nobody(hidden);
    }
    if (call.task.outputs == Outputs::all) call.clear_rows_of_nobody(output);
    call.run(threads);
    return py::make_tuple(output, final_state, hidden);
}

// The first of the `steps` outputs follows the last row of `start`.
template <class Real>
py::object generate(const Network<Real>& network, py::handle start, Index steps, py::handle state) {
    Call<Real> call(network, "start", start, state, py::none());
    const Index input_size = network.input_size(), output_size = network.output_size();
    if (call.steps() < 1)
        throw ShapeError("start: expected at least one step, got " +
                         text(call.shape({0, input_size})));
    if (output_size != input_size)
        throw ShapeError("generate: expected as many outputs as inputs, " +
                         std::to_string(input_size) + ", got " + std::to_string(output_size) +
                         "; pass feedback= to turn an output into the next input");
    if (steps > std::numeric_limits<Index>::max() / 2 - call.steps())
        throw LimitError("steps: " + std::to_string(steps) + " is too large");
    py::array output = call.output(Outputs::all, call.shape({steps, output_size}), py::none());
    if (steps > 0) {
        call.task.fed_back = steps - 1;
        call.task.first_output = call.steps() - 1;
        call.run(1);
    }
    return std::move(output);
}

}  // namespace

void bind_sequence(py::class_<AnyNetwork>& network) {
    network
        .def(
            "call",
            [](const AnyNetwork& any, py::handle x, py::handle outputs, py::handle out) {
                if (python_reads(x)) return not_implemented();
                return any.visit([&](const auto& n) { return call(n, x, outputs, out); });
            },
            py::arg("x"), py::arg("outputs"), py::arg("out"),
            "Run whole sequences and return the outputs; NotImplemented for lists and data frames.")
        .def(
            "run",
            [](const AnyNetwork& any, py::handle x, py::handle state, py::handle lengths,
               py::handle outputs, bool return_hidden, Index threads, py::handle out,
               const char* argument, py::handle mask, py::handle masked, py::handle offsets) {
                if (python_reads(x)) return not_implemented();
                return any.visit([&](const auto& n) {
                    Call call(n, argument, x, state, lengths, offsets);
                    call.mask(mask, masked);
                    return run_call(call, n, outputs, return_hidden, threads, out);
                });
            },
            py::arg("x"), py::arg("state"), py::arg("lengths"), py::arg("outputs"),
            py::arg("return_hidden"), py::arg("threads"), py::arg("out"), py::arg("argument") = "x",
            py::arg("mask") = py::none(), py::arg("masked") = "hold",
            py::arg("offsets") = py::none(),
            "Run whole sequences and return (output, state, hidden or None); NotImplemented for "
            "lists and data frames. `argument` is the name of x in errors.")
        .def(
            "generate",
            [](const AnyNetwork& any, py::handle start, Index steps, py::handle state) {
                return any.visit([&](const auto& n) { return generate(n, start, steps, state); });
            },
            py::arg("start"), py::arg("steps"), py::arg("state"),
            "Feed outputs back as inputs and return them, (..., steps, O).");
}

}  // namespace elman::python
