// sums.cpp - bindings of the sums of a run.
#include "elman/sums.hpp"

#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

// The vectors of an array (..., size) of Real.
template <class Real>
class Vectors {
  public:
    Vectors(py::handle object, const char* argument, Index size)
        : array_(as_real<Real>(object, argument)) {
        if (array_.ndim() == 0 || array_.shape(array_.ndim() - 1) != size)
            throw ShapeError(std::string(argument) + ": expected " + text("...", {size}) +
                             ", got " + text(shape_of(array_)));
        if (!evenly_spaced())
            array_ = py::module_::import("numpy").attr("ascontiguousarray")(array_);
    }

    Index count() const { return array_.size() / array_.shape(array_.ndim() - 1); }
    Columns<const Real> columns() const {
        const Index apart = array_.ndim() > 1 ? stride(array_.ndim() - 2) : 0;
        return {static_cast<const Real*>(array_.data()), apart};
    }
    // The shape with vectors of another size.
    Shape shape(Index size) const {
        Shape shape = shape_of(array_);
        shape.back() = size;
        return shape;
    }

  private:
    Index stride(py::ssize_t axis) const {
        return array_.strides(axis) / static_cast<Index>(sizeof(Real));
    }
    // Whether the vectors have no gaps, and the same distance, as in a slice of the last axis.
    bool evenly_spaced() const {
        if (stride(array_.ndim() - 1) != 1) return false;
        for (py::ssize_t axis = array_.ndim() - 2; axis > 0; --axis)
            if (stride(axis - 1) != array_.shape(axis) * stride(axis)) return false;
        return true;
    }

    py::array array_;
};

// The states of half a layer, after every step and before the first, as a task of the core.
template <class Real>
class HalfStates {
  public:
    HalfStates(const Network<Real>& network, std::size_t half, py::handle h, py::handle start)
        : network_(network),
          half_(network.halves().at(half)),
          h_(h, "h", half_.hidden_size),
          start_(start, "start", half_.hidden_size) {
        task.half = half;
        task.sequences = start_.count();
        task.steps = task.sequences > 0 ? h_.count() / task.sequences : 0;
        if (h_.count() != task.sequences * task.steps)
            throw ShapeError("start: expected a state for each sequence in h");
        task.h = h_.columns();
        task.start = start_.columns();
    }

    const Half& half() const { return half_; }
    Index count() const { return h_.count(); }

    // A new array for sums.
    py::array sums(Real*& to) const {
        py::array array = new_array<Real>(h_.shape(half_.hidden_size));
        to = static_cast<Real*>(array.mutable_data());
        return array;
    }

    void compute(Index threads) const {
        Polled polled(work_of(count(), half_.multiply_adds() + half_.hidden_size * kNumberWork));
        compute_sums(network_, task, threads, polled.pause());
        polled.finish();
    }

    HalfSums<Real> task;

  private:
    const Network<Real>& network_;
    const Half& half_;
    Vectors<Real> h_, start_;
};

template <class Real>
py::tuple half_sums(const Network<Real>& network, std::size_t half, py::handle x, py::handle h,
                    py::handle start, Index threads) {
    HalfStates<Real> states(network, half, h, start);
    const Vectors<Real> inputs(x, "x", states.half().input_size);
    if (inputs.count() != states.count()) throw ShapeError("x: expected as many steps as in h");
    states.task.x = inputs.columns();
    const py::array u = states.sums(states.task.u), a = states.sums(states.task.a);
    states.compute(threads);
    return py::make_tuple(u, a);
}

template <class Real>
py::array recurrent_sums(const Network<Real>& network, std::size_t half, py::handle h,
                         py::handle start) {
    HalfStates<Real> states(network, half, h, start);
    py::array sums = states.sums(states.task.recurrent);
    states.compute(1);
    return sums;
}

template <class Real>
py::array readout_sums(const Network<Real>& network, py::handle top, Index threads) {
    if (!network.readout()) throw ArgumentError("readout_sums: expected a readout, got none");
    const PackedMatrix<Real>& W = network.W_hy();
    const Vectors<Real> states(top, "top", W.cols);
    py::array sums = new_array<Real>(states.shape(W.rows));
    Polled polled(work_of(states.count(), W.rows * (W.cols + kNumberWork)));
    compute_readout_sums(network, states.columns(), states.count(),
                         static_cast<Real*>(sums.mutable_data()), threads, polled.pause());
    polled.finish();
    return sums;
}

// The number of partial sums of the products with each matrix, by the name of its tensor.
template <class Real>
py::dict partial_sums_of(const Network<Real>& network) {
    py::dict sums;
    std::size_t half = 0;
    const Architecture& architecture = network.architecture();
    for (std::size_t l = 0; l < architecture.layers.size(); ++l)
        for (const std::string& prefix : architecture.prefixes(l)) {
            const auto& [W_xh, W_hh, b_h] = network.weights(half++);
            sums[py::str(prefix + "W_xh")] = W_xh.partial_sums;
            sums[py::str(prefix + "W_hh")] = W_hh.partial_sums;
        }
    if (network.readout()) sums["readout.W_hy"] = network.W_hy().partial_sums;
    return sums;
}

}  // namespace

void bind_sums(py::class_<AnyNetwork>& network) {
    network
        .def(
            "half_sums",
            [](const AnyNetwork& any, std::size_t half, py::handle x, py::handle h,
               py::handle start, Index threads) {
                return any.visit(
                    [&](const auto& n) { return half_sums(n, half, x, h, start, threads); });
            },
            py::arg("half"), py::arg("x"), py::arg("h"), py::arg("start"), py::arg("threads") = 1,
            "Return the sums (u, a) of a run's half of a layer, counted from the bottom up, from "
            "its scaled inputs, its states after every step and those before the first.")
        .def(
            "recurrent_sums",
            [](const AnyNetwork& any, std::size_t half, py::handle h, py::handle start) {
                return any.visit([&](const auto& n) { return recurrent_sums(n, half, h, start); });
            },
            py::arg("half"), py::arg("h"), py::arg("start"),
            "Return W_hh h_(t-1) of a run's half of a layer, alone.")
        .def(
            "readout_sums",
            [](const AnyNetwork& any, py::handle top, Index threads) {
                return any.visit([&](const auto& n) { return readout_sums(n, top, threads); });
            },
            py::arg("top"), py::arg("threads") = 1,
            "Return the sums of the readout, from the states of the top layer.")
        .def(
            "partial_sums",
            [](const AnyNetwork& any) {
                return any.visit([](const auto& n) { return partial_sums_of(n); });
            },
            "Return the number of partial sums of a product with each matrix, by tensor name.");
}

}  // namespace elman::python
