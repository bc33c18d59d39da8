// measure.cpp - what the demo and the tests want to know of the core: times and single functions.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "elman/stream.hpp"
#include "kernel_tables.hpp"
#include "network.hpp"

namespace elman::python {
namespace {

template <class Real>
py::array activate(const Activation& activation, const py::array& values) {
    const Elementwise f = elementwise(activation, false);
    const Index count = values.size();
    AlignedVector<Real> block(static_cast<std::size_t>(padded<Real>(count)));
    const py::array contiguous = py::array_t<Real, py::array::c_style>::ensure(values);
    std::copy_n(static_cast<const Real*>(contiguous.data()), count, block.data());
    kernel_table(isa()).kernels<Real>().apply(f, {block.data(), 0}, count, 1);
    py::array result = new_array<Real>(shape_of(values));
    std::copy_n(block.data(), count, static_cast<Real*>(result.mutable_data()));
    return result;
}

using Clock = std::chrono::steady_clock;

// Steps on an absolute schedule: a stall delays the steps behind it, as it would in a control loop,
// and is not hidden by waiting for it. Without a period a step is due when it begins.
template <class Real>
py::tuple time_steps(const SharedNetwork<Real>& network, py::handle x, Index count,
                     long long period_ns) {
    const Architecture& a = network->architecture();
    const Index row_count = py::len(x) ? static_cast<Index>(py::len(x)) : 1;
    const std::vector<Real> rows = copy_reals<Real>(x, "x", {row_count, a.input_size});
    std::vector<Real> y(static_cast<std::size_t>(a.output_size()));
    py::array_t<long long> service(count), latency(count);
    long long *const from_begin = service.mutable_data(), *const from_due = latency.mutable_data();
    Stream<Real> stream(network);
    const std::chrono::nanoseconds period(period_ns);
    const auto nanoseconds = [](Clock::duration d) { return std::chrono::nanoseconds(d).count(); };
    Clock::time_point due = Clock::now();
    for (Index i = 0; i < count; ++i) {
        const Real* row = rows.data() + i % row_count * a.input_size;
        Clock::time_point begin = Clock::now();
        while (begin < due) begin = Clock::now();
        stream.step(row, y.data());
        const Clock::time_point end = Clock::now();
        from_begin[i] = nanoseconds(end - begin);
        from_due[i] = nanoseconds(end - (period_ns ? due : begin));
        due += period;
    }
    return py::make_tuple(service, latency);
}

}  // namespace

// Single steps are timed here, one by one: a pair of Python's clock calls costs as much as a step.
void bind_measure(py::module_& m) {
    m.def(
        "activate",
        [](const ActivationArguments& activation, const py::array& values) {
            const Activation f = activation_of(activation, "activation");
            return values.itemsize() == 4 ? activate<float>(f, values)
                                          : activate<double>(f, values);
        },
        py::arg("activation"), py::arg("values"),
        "Apply the kernels' own function, any but softmax, to a float32 or float64 array.");
    m.def(
        "time_steps",
        [](const AnyNetwork& any, py::handle x, Index count, long long period_ns) {
            return std::visit(
                [&](const auto& network) { return time_steps(network, x, count, period_ns); },
                any.network);
        },
        py::arg("network"), py::arg("x"), py::arg("count"), py::arg("period_ns") = 0,
        "Time `count` single steps over the rows of x (N, I), in turn; return nanoseconds "
        "(count,), twice.\n\n"
        "Step i is due i * period_ns after the first, whether or not the one before is done. The "
        "first\nresult counts from when a step began, the second from when it was due; they are "
        "equal where\nthere is no period.");
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
