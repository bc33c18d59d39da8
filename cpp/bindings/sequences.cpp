#include "sequences.hpp"

#include <algorithm>

namespace elman::python {

template <class Real>
CheckedSequences<Real>::CheckedSequences(const Network<Real>& network, const char* argument,
                                         py::handle x, py::handle state, py::handle lengths,
                                         py::handle offsets)
    : x_(as_real<Real>(x, argument)),
      pinned_x_(x_),
      has_state_(!state.is_none()),
      has_lengths_(!lengths.is_none()),
      has_offsets_(!offsets.is_none()) {
    const Index input_size = network.input_size();
    const bool fits = has_offsets_ ? x_.ndim() == 2 : x_.ndim() >= 2;
    if (!fits || x_.shape(x_.ndim() - 1) != input_size)
        throw ShapeError(std::string(argument) + ": expected " +
                         (has_offsets_ ? text("steps of all sequences", {input_size})
                                       : text("..., T", {input_size})) +
                         ", got " + text(shape_of(x_)));
    if (has_offsets_) {
        if (has_lengths_) throw ArgumentError("lengths: expected None with offsets, got lengths");
        offsets_ = copy_offsets(offsets, x_.shape(0));
        batch_ = {static_cast<Index>(offsets_.size()) - 1};
        steps_ = 0;
        for (std::size_t b = 1; b < offsets_.size(); ++b)
            steps_ = std::max(steps_, offsets_[b] - offsets_[b - 1]);
    } else {
        batch_ = Shape(x_.shape(), x_.shape() + x_.ndim() - 2);
        steps_ = x_.shape(x_.ndim() - 2);
    }
    sequences_ = product(batch_);
    if (has_state_) {
        const py::array given = as_real<Real>(state, "state");
        state_shape_ = shape_of(given);
        state_ = copy_reals<Real>(given, "state", shape({network.state_size()}), true);
    }
    if (has_lengths_) lengths_ = copy_lengths(lengths, batch_, steps_);
}

bool is_first_of(const char* argument, py::handle name, const char* first, const char* second) {
    const auto is = [&](const char* expected) {
        return PyUnicode_Check(name.ptr()) &&
               PyUnicode_CompareWithASCIIString(name.ptr(), expected) == 0;
    };
    if (is(first)) return true;
    if (is(second)) return false;
    throw ArgumentError(std::string(argument) + ": expected '" + first + "' or '" + second +
                        "', got " + shown(name));
}

Outputs outputs_from_name(py::handle outputs) {
    if (outputs.is_none()) return Outputs::all;
    return is_first_of("outputs", outputs, "all", "last") ? Outputs::all : Outputs::last;
}

template class CheckedSequences<float>;
template class CheckedSequences<double>;

}  // namespace elman::python
