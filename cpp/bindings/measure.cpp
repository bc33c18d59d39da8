// measure.cpp - functions for the demo and the tests: timing, single activations, polls, and thread
// limits.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "elman/activation.hpp"
#include "elman/stream.hpp"
#include "elman/threads.hpp"
#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

template <class Real>
py::array activate(const Activation& activation, py::handle values) {
    const py::array given = as_real<Real>(values, "values");
    const std::vector<Real> in = copy_reals<Real>(given, "values", shape_of(given));
    py::array out = new_array<Real>(shape_of(given));
    Real* to = static_cast<Real*>(out.mutable_data());
    constexpr Index kWork = 64;  // per element, in multiply-adds
    Polled polled(work_of(given.size(), kWork));
    in_pieces(given.size(), kWork, polled.pause(), [&](Index first, Index last) {
        apply_activation(activation, in.data() + first, to + first, last - first);
    });
    polled.finish();
    return out;
}

py::tuple thread_limits_after(std::optional<Index> most, std::optional<Index> work_of_each) {
    ThreadLimits limits = thread_limits();
    if (most) limits.most = *most;
    if (work_of_each) limits.work_of_each = *work_of_each;
    if (limits.most < 1 || limits.work_of_each < 1)
        throw ArgumentError("thread_limits: expected values of at least 1");
    set_thread_limits(limits);
    return py::make_tuple(limits.most, limits.work_of_each);
}

using Clock = std::chrono::steady_clock;

// Steps on an absolute schedule: a stall delays the following steps, as in a control loop. Without
// a period a step is due when it begins.
template <class Real>
py::tuple time_steps(const SharedNetwork<Real>& network, py::handle x, Index count,
                     long long period_ns) {
    const Index input_size = network->input_size();
    const Index row_count = py::len(x) ? static_cast<Index>(py::len(x)) : 1;
    const std::vector<Real> rows = copy_reals<Real>(x, "x", {row_count, input_size});
    std::vector<Real> y(static_cast<std::size_t>(network->output_size()));
    py::array_t<long long> service(count), latency(count);
    long long *const from_begin = service.mutable_data(), *const from_due = latency.mutable_data();
    Stream<Real> stream(network);
    const std::chrono::nanoseconds period(period_ns);
    const auto nanoseconds = [](Clock::duration d) { return std::chrono::nanoseconds(d).count(); };
    Clock::time_point due = Clock::now(), asked = due;
    // The lock is kept: releasing and retaking it would show in the slowest steps.
    const auto check_signals = [&](Clock::time_point now) {
        if (now - asked < Pause::kInterval) return;
        asked = now;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    };
    for (Index i = 0; i < count; ++i) {
        const Real* row = rows.data() + i % row_count * input_size;
        Clock::time_point begin = Clock::now();
        while (begin < due) {
            check_signals(begin);
            begin = Clock::now();
        }
        const bool done = stream.step(row, y.data());
        const Clock::time_point end = Clock::now();
        if (!done) throw ArgumentError("x: expected finite numbers");
        from_begin[i] = nanoseconds(end - begin);
        from_due[i] = nanoseconds(end - (period_ns ? due : begin));
        due += period;
        check_signals(end);
    }
    return py::make_tuple(service, latency);
}

}  // namespace

// Single steps are timed in C++: a pair of clock calls in Python costs as much as a step.
void bind_measure(py::module_& m) {  // NOLINT(readability-function-size): a list
    m.def(
        "activate",
        [](py::handle activation, const py::array& values) {
            const Activation f = activation_of(activation, "activation");
            return values.itemsize() == 4 ? activate<float>(f, values)
                                          : activate<double>(f, values);
        },
        py::arg("activation"), py::arg("values"),
        "Apply the kernel of an elementwise activation to a float32 or float64 array.");
    m.def(
        "time_steps",
        [](const AnyNetwork& any, py::handle x, Index count, long long period_ns) {
            return std::visit(
                [&](const auto& network) { return time_steps(network, x, count, period_ns); },
                any.network);
        },
        py::arg("network"), py::arg("x"), py::arg("count"), py::arg("period_ns") = 0,
        "Time `count` single steps, cycling through the rows of x (N, I).\n\n"
        "Step i is due i * period_ns after the first, whether or not step i - 1 has ended. Return "
        "two\narrays of nanoseconds (count,): from the start of each step, and from when it was "
        "due. They are\nequal without a period.");
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
        "Return the median time in nanoseconds between two readings of the clock of time_steps.");
    m.def("polls", &polls,
          "Return the number of times so far that a call could have been stopped by a signal.");
    m.def("thread_limits", &thread_limits_after, py::arg("most") = py::none(),
          py::arg("work_of_each") = py::none(),
          "Set the maximum number of threads of a call and the multiply-adds that justify one;\n"
          "return (most, work_of_each).");
}

}  // namespace elman::python
