// sums.cpp - bindings of the sums inside a run.
#include "elman/sums.hpp"

#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

template <class Real>
using Contiguous = py::array_t<Real, py::array::c_style | py::array::forcecast>;

// An array (..., size) of Real without gaps.
template <class Real>
Contiguous<Real> vectors(py::handle object, const char* argument, Index size) {
    const py::array array = as_real<Real>(object, argument);
    if (array.ndim() == 0 || array.shape(array.ndim() - 1) != size)
        throw ShapeError(std::string(argument) + ": expected " + text("...", {size}) + ", got " +
                         text(shape_of(array)));
    Contiguous<Real> result = Contiguous<Real>::ensure(array);
    if (!result) throw py::error_already_set();
    return result;
}

template <class Real>
py::array sums_of(const Network<Real>& network, const std::string& matrix, py::handle start,
                  py::handle x, Index threads) {
    const PackedMatrix<Real> W = matrix_of(network, matrix);
    const Contiguous<Real> from = vectors<Real>(x, "x", W.cols);
    Shape shape = shape_of(from);
    shape.back() = W.rows;
    py::array sums = new_array<Real>(shape);
    Contiguous<Real> starts;
    if (!start.is_none()) {
        starts = vectors<Real>(start, "start", W.rows);
        check_shape(starts, "start", shape);
    }
    const SumsTask<Real> task{matrix, from.size() / W.cols,
                              start.is_none() ? nullptr : starts.data(), from.data(),
                              static_cast<Real*>(sums.mutable_data())};
    Polled polled(work_of(task.count, W.rows * (W.cols + kNumberWork)));
    compute_sums(network, task, threads, polled.pause());
    polled.finish();
    return sums;
}

}  // namespace

void bind_sums(py::class_<AnyNetwork>& network) {
    network
        .def(
            "sums",
            [](const AnyNetwork& any, const std::string& matrix, py::handle start, py::handle x,
               Index threads) {
                return any.visit(
                    [&](const auto& n) { return sums_of(n, matrix, start, x, threads); });
            },
            py::arg("matrix"), py::arg("start"), py::arg("x"), py::arg("threads") = 1,
            "Return start + W x, (..., rows), for a matrix by the name of its tensor: the sums of "
            "a run, bit for bit. None starts from the bias, or from zeros for W_hh.")
        .def(
            "partial_sums",
            [](const AnyNetwork& any, const std::string& matrix) {
                return any.visit([&](const auto& n) { return matrix_of(n, matrix).partial_sums; });
            },
            py::arg("matrix"), "Return the number of partial sums of a product with this matrix.");
}

}  // namespace elman::python
