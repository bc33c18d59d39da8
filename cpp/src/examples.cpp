#include "examples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "checks.hpp"
#include "finite.hpp"

namespace elman {
namespace {

template <class Real>
void check_sequences(const Sequences<Real>& inputs, const Index* sequences, Index count,
                     Pause& pause) {
    check_at_least("sequences", 0, inputs.sequences);
    check_at_least("steps", 0, inputs.steps);
    check_view("x", inputs.x, inputs.sequences, inputs.steps > 0);
    for (Index i = 0; i < count && !pause.stopped(); ++i) {
        pause.worked(kNumberWork);
        const Index b = sequences ? sequences[i] : i;
        check_within("sequences", 0, inputs.sequences - 1, b);
        check_within("lengths", 0, inputs.steps, inputs.length(b));
    }
}

template <class Real>
void check_loss(const Examples<Real>& examples, const Architecture& a) {
    const auto is = [&](Function f) { return a.readout && a.readout->activation == Activation(f); };
    const auto require = [&](const char* loss, const char* functions, bool fits) {
        if (!fits || a.output_mean || a.output_std)
            refuse("loss",
                   std::string("a ") + functions + " readout without output scaling for " + loss,
                   "another");
    };
    if (examples.loss == Loss::bce) require("bce", "sigmoid", is(Function::sigmoid));
    if (examples.loss == Loss::cross_entropy)
        require("cross_entropy", "softmax or log_softmax",
                is(Function::softmax) || is(Function::log_softmax));
}

// Checks the weights and classes of one sequence.
template <class Real>
void check_counted(const Examples<Real>& examples, Index b, Index classes, Pause& pause) {
    const bool all = examples.outputs == Outputs::all;
    const Index length = examples.length(b);
    for (Index t = all ? 0 : std::max<Index>(0, length - 1); t < length && !pause.stopped(); ++t) {
        pause.worked(kNumberWork);
        const double weight = examples.weight(b, t);
        if (!(weight >= 0) || !std::isfinite(weight))
            refuse("weights", "finite numbers, none below 0", shortest(weight));
        if (!examples.classes || weight == 0) continue;
        const Index c = examples.classes[all ? b * examples.steps + t : b];
        check_within("classes", 0, classes - 1, c);
    }
}

}  // namespace

void check(const Truncation& truncation) {
    if (truncation.steps == 0 && truncation.every == 0) return;
    check_at_least("truncation.steps", 1, truncation.steps);
    check_within("truncation.every", 1, truncation.steps, truncation.every);
}

void check_trainable(const Architecture& architecture) {
    architecture.require_forward("net", "others have no gradients");
    architecture.check_trainable();
}

template <class Real>
bool are_finite(const Real* values, Index count) {
    return all_finite(values, count);
}

template <class Real>
std::vector<Range> ranges_of_outputs(const Network<Real>& network) {
    const Architecture& a = network.architecture();
    const Activation& top = a.readout ? a.readout->activation : a.layers.back().activation;
    const Range range = range_of(top);
    const OutputScaling<Real> scaling = network.output_scaling();
    std::vector<Range> ranges;
    for (Index i = 0; i < a.output_size(); ++i) {
        const double factor = scaling.std ? scaling.std[i] : 1;
        const double mean = scaling.mean ? scaling.mean[i] : 0;
        ranges.push_back({range.lowest * factor + mean, range.highest * factor + mean});
    }
    return ranges;
}

template <class Real>
void check(const Examples<Real>& examples, const Architecture& architecture, const Index* sequences,
           Index count, Pause& pause) {
    check_sequences(examples, sequences, count, pause);
    check_loss(examples, architecture);
    const bool classes = examples.loss == Loss::cross_entropy;
    if (!classes)
        check_view("targets", examples.targets, examples.sequences, examples.steps > 0);
    else if (!examples.classes && examples.sequences > 0 && examples.steps > 0)
        refuse("classes", "an array", "none");
    if (!examples.weights && !classes) return;
    for (Index i = 0; i < count; ++i)
        check_counted(examples, sequences ? sequences[i] : i, architecture.output_size(), pause);
}

template <class Real>
void check(const BackwardTask<Real>& task, Pause& pause) {
    check_sequences<Real>(task, nullptr, task.sequences, pause);
    check_view("dL_dy", task.dL_dy, task.sequences, task.steps > 0);
    if (task.dL_dh.data) check_view("dL_dh", task.dL_dh, task.sequences, task.steps > 0);
}

std::vector<Index> all_sequences(Index count) {
    std::vector<Index> sequences(static_cast<std::size_t>(std::max<Index>(0, count)));
    std::iota(sequences.begin(), sequences.end(), Index(0));
    return sequences;
}

template bool are_finite(const float*, Index);
template bool are_finite(const double*, Index);
template std::vector<Range> ranges_of_outputs(const Network<float>&);
template std::vector<Range> ranges_of_outputs(const Network<double>&);
template void check(const Examples<float>&, const Architecture&, const Index*, Index, Pause&);
template void check(const Examples<double>&, const Architecture&, const Index*, Index, Pause&);
template void check(const BackwardTask<float>&, Pause&);
template void check(const BackwardTask<double>&, Pause&);

}  // namespace elman
