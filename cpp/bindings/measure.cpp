// measure.cpp - what the demo and the tests want to know of the core: times and single functions.
#include <algorithm>
#include <chrono>
#include <vector>

#include "elman/stream.hpp"
#include "kernel_tables.hpp"
#include "network.hpp"

namespace elman::python {
namespace {

template <class Real>
py::array activate(const std::string& function, const py::array& values) {
    const Elementwise f{activation_from_name(function, "name"), false};
    const Index count = values.size();
    AlignedVector<Real> block(static_cast<std::size_t>(padded<Real>(count)));
    const py::array contiguous = py::array_t<Real, py::array::c_style>::ensure(values);
    std::copy_n(static_cast<const Real*>(contiguous.data()), count, block.data());
    kernel_table(isa()).kernels<Real>().apply(f, {block.data(), 0}, count, 1);
    py::array result = new_array<Real>(shape_of(values));
    std::copy_n(block.data(), count, static_cast<Real*>(result.mutable_data()));
    return result;
}

}  // namespace

// Single steps are timed here, one by one: a pair of Python's clock calls costs as much as a step.
void bind_measure(py::module_& m) {
    using Clock = std::chrono::steady_clock;
    m.def(
        "activate",
        [](const std::string& name, const py::array& values) {
            return values.itemsize() == 4 ? activate<float>(name, values)
                                          : activate<double>(name, values);
        },
        py::arg("name"), py::arg("values"),
        "Apply the kernels' own relu, tanh or sigmoid to a float32 or float64 array.");
    m.def(
        "time_steps",
        [](const AnyNetwork& any, py::handle x, Index count) {
            return std::visit(
                [&](const auto& network) {
                    using Real = RealOf<std::decay_t<decltype(network)>>;
                    const Architecture& a = network->architecture();
                    const std::vector<Real> rows = copy_reals<Real>(
                        x, "x", {py::len(x) ? static_cast<Index>(py::len(x)) : 1, a.input_size});
                    std::vector<Real> y(static_cast<std::size_t>(a.output_size()));
                    py::array_t<long long> nanoseconds(count);
                    Stream<Real> stream(network);
                    const Index period = static_cast<Index>(rows.size()) / a.input_size;
                    long long* times = nanoseconds.mutable_data();
                    for (Index i = 0; i < count; ++i) {
                        const Real* row = rows.data() + i % period * a.input_size;
                        const Clock::time_point start = Clock::now();
                        stream.step(row, y.data());
                        times[i] = std::chrono::nanoseconds(Clock::now() - start).count();
                    }
                    return nanoseconds;
                },
                any.network);
        },
        py::arg("network"), py::arg("x"), py::arg("count"),
        "Time `count` single steps over the rows of x (N, I), in turn; return nanoseconds "
        "(count,).");
    m.def(
        "clock_cost",
        [] {
            constexpr int count = 1001;
            std::vector<double> costs;
            for (int i = 0; i < count; ++i) {
                const Clock::time_point start = Clock::now();
                costs.push_back(static_cast<double>((Clock::now() - start).count()));
            }
            std::nth_element(costs.begin(), costs.begin() + count / 2, costs.end());
            return costs[count / 2];
        },
        "Return the median nanoseconds between two readings of the clock that time_steps uses.");
}

}  // namespace elman::python
