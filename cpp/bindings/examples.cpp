#include "examples.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "elman/moments.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

template <class Real>
using Numbers = py::array_t<Real, py::array::c_style | py::array::forcecast>;

std::string number(double value) {
    return py::str(py::float_(value));
}

// A bound of a range, in few digits.
std::string end(double value) {
    return py::str("{:g}").format(value);
}

// The position of a flat index in an array of this shape, for errors.
std::string place(const Shape& shape, Index index) {
    Shape at(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0; index /= shape[axis])
        at[axis] = index % shape[axis];
    return text(at);
}

template <class Real>
AnyExamples make_examples(const SharedNetwork<Real>& network, py::handle x, py::handle y,
                          const std::string& loss, py::handle outputs, py::handle lengths,
                          py::handle state, py::handle weights, ExampleRules rules) {
    return {std::make_shared<const CheckedExamples<Real>>(network, x, y, loss, outputs, lengths,
                                                          state, weights, std::move(rules))};
}

}  // namespace

template <class Real>
CheckedExamples<Real>::CheckedExamples(const SharedNetwork<Real>& network, py::handle x,
                                       py::handle y, const std::string& loss, py::handle outputs,
                                       py::handle lengths, py::handle state, py::handle weights,
                                       ExampleRules rules)
    : network_(network), rules_(std::move(rules)), given_(*network, "x", x, state, lengths) {
    network->architecture().require_forward("net", "others have no gradients");
    examples_.loss = loss_from_name(loss);
    examples_.outputs = outputs_from_name(outputs);
    check_loss();
    given_.describe(examples_);
    counted_ =
        examples_.outputs == Outputs::all ? given_.shape({given_.steps()}) : given_.shape({});
    check_state();
    if (!weights.is_none()) take_weights(weights);
    const Shape shape = given_.shape({given_.steps(), network->input_size()});
    if (const Found wrong = polled(network->input_size(), [&](Pause& p) { return wrong_x(p); }))
        throw ArgumentError("x: expected finite numbers, got " + number(wrong->value) + " at " +
                            place(shape, wrong->index));
    if (examples_.loss == Loss::cross_entropy)
        take_classes(y);
    else
        take_targets(y);
    Polled polled(given_.work(1));
    const double sum = total_weight(examples_, polled.pause());
    polled.finish();
    if (!std::isfinite(sum))
        throw ArgumentError(rules_.weights + ": expected a finite sum, got " + number(sum));
    counts_ = sum > 0;
}

template <class Real>
void CheckedExamples<Real>::require_counts() const {
    if (counts_) return;
    throw ArgumentError(
        weights_.empty() ? std::string("x: expected a real step, got none")
                         : rules_.weights + ": expected a sum above 0 over all real steps, got 0");
}

template <class Real>
void CheckedExamples<Real>::require(const Architecture& a) const {
    const Architecture& own = network_->architecture();
    const bool same = own.input_size == a.input_size && own.state_size() == a.state_size() &&
                      own.output_size() == a.output_size() &&
                      own.readout.has_value() == a.readout.has_value() &&
                      (!a.readout || own.readout->activation == a.readout->activation);
    if (!same) throw ArgumentError("examples: expected examples for a network of these sizes");
}

template <class Real>
void CheckedExamples<Real>::check_loss() const {
    const Architecture& a = network_->architecture();
    const bool scaling = a.output_mean || a.output_std;
    const auto is = [&](Function f) { return a.readout && a.readout->activation == Activation(f); };
    const auto require = [&](const char* loss, const char* functions, bool fits) {
        if (fits && !scaling) return;
        throw ArgumentError(std::string("loss: '") + loss + "' expects output_activation " +
                            functions + " without output scaling, got " +
                            (!a.readout ? "a network without a readout"
                             : scaling
                                 ? "one with output scaling"
                                 : "output_activation '" + text(a.readout->activation) + "'"));
    };
    if (examples_.loss == Loss::bce) require("bce", "'sigmoid'", is(Function::sigmoid));
    if (examples_.loss == Loss::cross_entropy)
        require("cross_entropy", "'softmax' or 'log_softmax'",
                is(Function::softmax) || is(Function::log_softmax));
}

template <class Real>
void CheckedExamples<Real>::check_state() const {
    for (const Real value : given_.state())
        if (!std::isfinite(value))
            throw ArgumentError("state: expected finite numbers, got " + number(value));
}

template <class Real>
void CheckedExamples<Real>::take_weights(py::handle weights) {
    weights_ = copy_reals<double>(weights, rules_.weights.c_str(), counted_);
    if (const Found wrong = polled(1, [&](Pause& p) { return wrong_weight(p); }))
        throw ArgumentError(rules_.weights + ": expected finite numbers, none below 0, got " +
                            number(wrong->value) + " at " + place(counted_, wrong->index));
    examples_.weights = weights_.data();
}

template <class Real>
void CheckedExamples<Real>::take_targets(py::handle y) {
    const Shape expected = concatenate(counted_, {network_->output_size()});
    y_ = as_real<Real>(y, "y", expected);
    pinned_y_.emplace(y_);
    examples_.targets = view_of<Real>(y_, examples_.outputs == Outputs::all);
    find_ranges();
    const auto find = [&](Pause& p) { return wrong_target(p); };
    const Found wrong = polled(network_->output_size(), find);
    if (!wrong) return;
    const std::string got =
        ", got " + number(wrong->value) + " at " + place(expected, wrong->index);
    throw ArgumentError("y: expected " + expected_target(*wrong) + got +
                        (std::isfinite(wrong->value) && examples_.loss == Loss::mse
                             ? "; use output_activation=\"identity\", or scale the targets"
                             : ""));
}

// The range allowed for the targets of each output. Targets slightly beyond the range of an output
// because of rounding are allowed: rounding to float32 also for a network of float64, since data
// are often float32.
template <class Real>
void CheckedExamples<Real>::find_ranges() {
    constexpr double most = std::numeric_limits<Real>::max();
    constexpr double slack = 8 * std::numeric_limits<float>::epsilon();
    const auto size = static_cast<std::size_t>(network_->output_size());
    ranges_.assign(size, {-most, most});
    if (examples_.loss == Loss::bce) ranges_.assign(size, {0, 1});
    if (examples_.loss != Loss::mse || !rules_.reachable) return;
    const std::vector<Range> reached = ranges_of_outputs(*network_);
    for (std::size_t i = 0; i < size; ++i) {
        const auto& [lowest, highest] = reached[i];
        const double below = std::isfinite(lowest) ? std::abs(lowest) : 0;
        const double above = std::isfinite(highest) ? std::abs(highest) : 0;
        const double room = slack * std::max(below, above);
        ranges_[i] = {std::max(-most, lowest - room), std::min(most, highest + room)};
    }
}

template <class Real>
std::string CheckedExamples<Real>::expected_target(const Wrong& wrong) const {
    if (examples_.loss == Loss::bce) return "numbers from 0 to 1";
    if (!std::isfinite(wrong.value)) return "finite numbers";
    const Architecture& a = network_->architecture();
    const Range range = ranges_of_outputs(
        *network_)[static_cast<std::size_t>(wrong.index % network_->output_size())];
    const std::string numbers = std::isinf(range.highest) ? "at least " + end(range.lowest)
                                : std::isinf(range.lowest)
                                    ? "at most " + end(range.highest)
                                    : "from " + end(range.lowest) + " to " + end(range.highest);
    return "numbers " + numbers + ", the range of " +
           (a.readout ? "output_activation '" + text(a.readout->activation)
                      : "activation '" + text(a.layers.back().activation)) +
           "'" + (a.output_mean || a.output_std ? " after output scaling" : "");
}

template <class Real>
void CheckedExamples<Real>::take_classes(py::handle y) {
    const py::array array = any_array(y, "y");
    const char kind = array.dtype().kind();
    if (kind != 'i' && kind != 'u')
        throw DTypeError("y: expected classes as integers, got dtype " +
                         std::string(py::str(array.dtype())));
    if (shape_of(array) != counted_)
        throw ShapeError("y: expected classes of shape " + text(counted_) + ", got " +
                         text(shape_of(array)));
    classes_ = copy_integers(array);
    examples_.classes = classes_.data();
    const auto wrong = polled(1, [&](Pause& p) { return wrong_class(p); });
    if (!wrong) return;
    const Index value = classes_[static_cast<std::size_t>(wrong->index)];
    throw ArgumentError(
        "y: expected classes from 0 to " + std::to_string(network_->output_size() - 1) + ", got " +
        (kind == 'u' ? std::to_string(static_cast<std::uint64_t>(value)) : std::to_string(value)) +
        " at " + place(counted_, wrong->index));
}

// --- searches for the first invalid value, without the interpreter's lock ---

template <class Real>
template <class Find>
auto CheckedExamples<Real>::polled(Index of_a_step, Find find) const -> Found {
    Polled polled(given_.work(of_a_step));
    const Found found = find(polled.pause());
    polled.finish();
    return found;
}

template <class Real>
auto CheckedExamples<Real>::wrong_x(Pause& pause) const -> Found {
    return not_finite(examples_.x, network_->input_size(), pause);
}

// The first number of real steps that is not finite. Several steps are checked at a time by the
// core: checked one by one in this file, which is compiled at -O1, the numbers took a twelfth of an
// update of 32 units.
template <class Real>
auto CheckedExamples<Real>::not_finite(const SequencesView<const Real>& view, Index size,
                                       Pause& pause) const -> Found {
    const Index at_once = std::max<Index>(1, 4096 / size);
    for (Index b = 0; b < given_.sequences(); ++b) {
        const Rows<const Real> rows = view.sequence(b);
        const bool contiguous = rows.stride == 1 && rows.step_stride == size;
        const Index length = examples_.length(b);
        pause.worked(kNumberWork);
        if (pause.stopped()) return {};
        for (Index first = 0; first < length && !pause.stopped(); first += at_once) {
            const Index last = std::min(length, first + at_once);
            pause.worked((last - first) * size);
            if (contiguous && are_finite(rows.row(first), (last - first) * size)) continue;
            for (Index t = first; t < last; ++t)
                for (Index i = 0; i < size; ++i)
                    if (const Real value = rows.row(t)[i * rows.stride]; !std::isfinite(value))
                        return Wrong{(b * given_.steps() + t) * size + i, value};
        }
    }
    return {};
}

template <class Real>
auto CheckedExamples<Real>::wrong_weight(Pause& pause) const -> Found {
    const auto count = static_cast<Index>(weights_.size());
    for (Index i = 0; i < count && !pause.stopped(); ++i) {
        pause.worked(1);
        const double weight = weights_[static_cast<std::size_t>(i)];
        if (!(weight >= 0) || !std::isfinite(weight)) return Wrong{i, weight};
    }
    return {};
}

// The first result of each(sequence, step, index) over the steps that count; index is that of y.
template <class Real>
template <class Each>
auto CheckedExamples<Real>::find_counted(Pause& pause, Index size, Each each) const -> Found {
    const bool all = examples_.outputs == Outputs::all;
    for (Index b = 0; b < given_.sequences(); ++b) {
        const Index length = examples_.length(b);
        pause.worked(kNumberWork);
        if (pause.stopped()) return {};
        for (Index t = all ? 0 : std::max<Index>(0, length - 1); t < length; ++t) {
            pause.worked(size);
            if (pause.stopped()) return {};
            if (!(examples_.weight(b, t) > 0)) continue;
            if (const Found found = each(b, t, all ? b * given_.steps() + t : b)) return found;
        }
    }
    return {};
}

template <class Real>
auto CheckedExamples<Real>::wrong_target(Pause& pause) const -> Found {
    const Index size = network_->output_size();
    constexpr double most = std::numeric_limits<Real>::max();
    const bool any = std::all_of(ranges_.begin(), ranges_.end(), [](const Range& range) {
        return range.lowest == -most && range.highest == most;
    });
    if (any && examples_.outputs == Outputs::all && !examples_.weights)
        return not_finite(examples_.targets, size, pause);
    return find_counted(pause, size, [&](Index b, Index t, Index index) -> Found {
        const Rows<const Real> rows = examples_.targets.sequence(b);
        const Real* row = examples_.outputs == Outputs::all ? rows.row(t) : rows.data;
        for (Index i = 0; i < size; ++i) {
            const Real value = row[i * rows.stride];
            const Range& range = ranges_[static_cast<std::size_t>(i)];
            if (!(value >= range.lowest && value <= range.highest))
                return Wrong{index * size + i, value};
        }
        return {};
    });
}

template <class Real>
auto CheckedExamples<Real>::wrong_class(Pause& pause) const -> Found {
    const Index size = network_->output_size();
    return find_counted(pause, 1, [&](Index, Index, Index index) -> Found {
        const Index value = classes_[static_cast<std::size_t>(index)];
        return value < 0 || value >= size ? Found(Wrong{index, 0}) : Found();
    });
}

Truncation truncation_of(std::optional<Index> bptt_steps, std::optional<Index> update_every,
                         Outputs outputs) {
    if (!bptt_steps) {
        if (update_every)
            throw ArgumentError("update_every: expected only with bptt_steps, got it without");
        return {};
    }
    if (*bptt_steps < 1)
        throw ArgumentError("bptt_steps: expected at least 1, got " + std::to_string(*bptt_steps));
    if (update_every && outputs == Outputs::last)
        throw ArgumentError("update_every: expected only with outputs='all', got it with 'last'");
    const Index every = update_every.value_or(*bptt_steps);
    if (every < 1 || every > *bptt_steps)
        throw ArgumentError("update_every: expected 1 to bptt_steps = " +
                            std::to_string(*bptt_steps) + ", got " + std::to_string(every));
    return {*bptt_steps, every};
}

template class CheckedExamples<float>;
template class CheckedExamples<double>;

namespace {

template <class Real>
py::array moments_of(const py::array& rows, const Numbers<double>& shift) {
    const Numbers<Real> x(rows);
    const Index size = shift.size();
    py::array sums = new_array<double>(Shape{2, size});
    double* to = static_cast<double*>(sums.mutable_data());
    std::fill_n(to, 2 * size, 0.0);
    add_moments(x.data(), x.shape(0), size, shift.data(), to);
    return sums;
}

// Python divides long data into blocks, so this is neither polled nor long.
py::array moments(const py::array& rows, const Numbers<double>& shift) {
    if (rows.ndim() != 2 || shift.ndim() != 1 || rows.shape(1) != shift.size())
        throw ShapeError("shift: expected one number for each column of rows");
    return NumpyTypes::get().is<float>(rows.dtype().ptr()) ? moments_of<float>(rows, shift)
                                                           : moments_of<double>(rows, shift);
}

}  // namespace

void bind_examples(py::module_& m) {
    py::class_<AnyExamples> type(m, "Examples", py::is_final(), plain_metaclass(),
                                 "Training examples, converted and checked.");
    type.def_property_readonly("sequences",
                               [](const AnyExamples& any) {
                                   return std::visit(
                                       [](const auto& e) { return e->given().sequences(); },
                                       any.examples);
                               })
        .def_property_readonly(
            "counts",
            [](const AnyExamples& any) {
                return std::visit([](const auto& e) { return e->counts(); }, any.examples);
            },
            "Whether any step has a weight.");
    forbid_construction(type);
    m.def(
        "examples",
        [](const AnyNetwork& any, py::handle x, py::handle y, const std::string& loss,
           py::handle outputs, py::handle lengths, py::handle state, py::handle weights,
           const std::string& weights_name, bool reachable) {
            return std::visit(
                [&](const auto& n) {
                    return make_examples(n, x, y, loss, outputs, lengths, state, weights,
                                         {reachable, weights_name});
                },
                any.network);
        },
        py::arg("network"), py::arg("x"), py::arg("y"), py::arg("loss"), py::arg("outputs"),
        py::arg("lengths") = py::none(), py::arg("state") = py::none(),
        py::arg("weights") = py::none(), py::arg("weights_name") = "weights",
        py::arg("reachable") = false, "Convert and check training examples.");
    m.def("moments", &moments, py::arg("rows"), py::arg("shift"),
          "Return the sums (2, C) of x - shift and of its squares over rows (N, C), in float64.");
}

}  // namespace elman::python
