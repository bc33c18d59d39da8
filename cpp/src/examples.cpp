#include "examples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace elman {
namespace {

[[noreturn]] void refuse(const std::string& argument, const std::string& expected,
                         const std::string& found) {
    throw std::invalid_argument(argument + ": expected " + expected + ", got " + found);
}

template <class Real>
void check_view(const char* argument, const SequencesView<const Real>& view, Index sequences,
                Index steps) {
    Index product = 1;
    for (Index size : view.shape) product *= size;
    if (product != sequences || view.shape.size() != view.strides.size())
        refuse(argument, "batch axes of " + std::to_string(sequences) + " sequences",
               std::to_string(product));
    if (!view.data && sequences > 0 && steps > 0)  // else nothing is read
        refuse(argument, "an array", "none");
}

template <class Real>
void check_sequences(const Sequences<Real>& inputs, const Index* sequences, Index count) {
    check_at_least("sequences", 0, inputs.sequences);
    check_at_least("steps", 0, inputs.steps);
    check_view("x", inputs.x, inputs.sequences, inputs.steps);
    for (Index i = 0; i < count; ++i) {
        const Index b = sequences ? sequences[i] : i;
        if (b < 0 || b >= inputs.sequences)
            refuse("sequences", "indices from 0 to " + std::to_string(inputs.sequences - 1),
                   std::to_string(b));
        const Index length = inputs.length(b);
        if (length < 0 || length > inputs.steps)
            refuse("lengths", "0 to " + std::to_string(inputs.steps), std::to_string(length));
    }
}

template <class Real>
void check_loss(const Examples<Real>& examples, const Architecture& a) {
    const auto require = [&](const char* loss, Function function) {
        if (!a.readout || a.readout->activation != Activation(function) || a.output_shift ||
            a.output_scale)
            refuse("loss",
                   std::string("a readout of ") + name(function) + " without output scaling",
                   std::string(loss) + " of another");
    };
    if (examples.loss == Loss::bce) require("bce", Function::sigmoid);
    if (examples.loss == Loss::cross_entropy) require("cross_entropy", Function::softmax);
}

// Whether one sequence has a weight or a class out of range.
template <class Real>
void check_counted(const Examples<Real>& examples, Index b, Index classes) {
    const bool all = examples.outputs == Outputs::all;
    const Index length = examples.length(b);
    for (Index t = all ? 0 : std::max<Index>(0, length - 1); t < length; ++t) {
        const double weight = examples.weight(b, t);
        if (!(weight >= 0) || !std::isfinite(weight))
            refuse("weights", "finite numbers, none below 0", std::to_string(weight));
        if (!examples.classes || weight == 0) continue;
        const Index c = examples.classes[all ? b * examples.steps + t : b];
        if (c < 0 || c >= classes)
            refuse("classes", "0 to " + std::to_string(classes - 1), std::to_string(c));
    }
}

}  // namespace

void check_at_least(const char* argument, Index least, Index value) {
    if (value < least) refuse(argument, "at least " + std::to_string(least), std::to_string(value));
}

void check_positive(const char* argument, double value) {
    if (!(value > 0) || !std::isfinite(value))
        refuse(argument, "a finite number above 0", std::to_string(value));
}

void check(const Truncation& truncation) {
    const auto [steps, every] = truncation;
    if (steps == 0 && every == 0) return;
    check_at_least("truncation.steps", 1, steps);
    if (every < 1 || every > steps)
        refuse("truncation.every", "1 to " + std::to_string(steps), std::to_string(every));
}

void check_trainable(const Architecture& architecture) {
    architecture.require_forward("net", "gradients are not computed of others");
    architecture.check_trainable();
}

template <class Real>
void check(const Examples<Real>& examples, const Architecture& architecture, const Index* sequences,
           Index count) {
    check_sequences(examples, sequences, count);
    check_loss(examples, architecture);
    const bool classes = examples.loss == Loss::cross_entropy;
    if (!classes)
        check_view("targets", examples.targets, examples.sequences, examples.steps);
    else if (!examples.classes && examples.sequences > 0 && examples.steps > 0)
        refuse("classes", "an array", "none");
    if (!examples.weights && !classes) return;
    for (Index i = 0; i < count; ++i)
        check_counted(examples, sequences ? sequences[i] : i, architecture.output_size());
}

template <class Real>
void check(const BackwardTask<Real>& task) {
    check_sequences<Real>(task, nullptr, task.sequences);
    check_view("dL_dy", task.dL_dy, task.sequences, task.steps);
    if (task.dL_dh.data) check_view("dL_dh", task.dL_dh, task.sequences, task.steps);
}

std::vector<Index> all_sequences(Index count) {
    std::vector<Index> sequences(static_cast<std::size_t>(std::max<Index>(0, count)));
    std::iota(sequences.begin(), sequences.end(), Index(0));
    return sequences;
}

template void check(const Examples<float>&, const Architecture&, const Index*, Index);
template void check(const Examples<double>&, const Architecture&, const Index*, Index);
template void check(const BackwardTask<float>&);
template void check(const BackwardTask<double>&);

}  // namespace elman
