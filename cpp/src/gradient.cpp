#include "elman/gradient.hpp"

#include <utility>

#include "arenas.hpp"
#include "backpropagation.hpp"
#include "checks.hpp"
#include "examples.hpp"

namespace elman {

Loss loss_from_name(const std::string& name) {
    if (name == "mse") return Loss::mse;
    if (name == "bce") return Loss::bce;
    if (name == "cross_entropy") return Loss::cross_entropy;
    refuse("loss", "mse, bce or cross_entropy", "'" + name + "'");
}

namespace {

// Fills in the gradient fields of the task and runs it.
template <class Real>
Gradients<Real> gradients_of(const Network<Real>& network, BatchTask<Real> task, bool with_x,
                             Index threads, Pause& pause) {
    const Sequences<Real>& inputs = task.inputs;
    const Index of_x = with_x ? inputs.steps * network.input_size() : 0;
    Gradients<Real> result{0, Parameters<Real>(network.architecture(), pause),
                           zeros<Real>(inputs.sequences * network.state_size(), pause),
                           zeros<Real>(inputs.sequences * of_x, pause)};
    if (pause.stopped()) return result;
    const std::vector<Index> sequences = all_sequences(inputs.sequences);
    task.take_all(sequences);
    task.state_gradients = result.state.data();
    if (with_x) task.x_gradients = result.x.data();

    Backpropagation<Real> backpropagation(Model<Real>(network), with_x, pause);
    if (pause.stopped()) return result;
    Team team = backpropagation.team(threads, task);
    result.loss = backpropagation.run(task, team, pause);
    if (!pause.stopped())
        network.layout().unpack(backpropagation.gradients(), result.parameters, pause);
    return result;
}

// Sums the rows of `count` sequences; `rows.data` is the first row of the first one.
template <class Real>
void sum_rows(const SequencesView<const Real>& rows, Index first, Index count, Index size,
              Real* sum, Pause& pause) {
    if (pause.stopped()) return;
    if (count > kLeaf) {
        const Index left = left_of(leaves_of(count)) * kLeaf;
        std::vector<Real> right(static_cast<std::size_t>(size));
        sum_rows(rows, first, left, size, sum, pause);
        sum_rows(rows, first + left, count - left, size, right.data(), pause);
        for (Index i = 0; i < size; ++i) sum[i] += right[static_cast<std::size_t>(i)];
        return;
    }
    std::fill_n(sum, size, Real(0));
    for (Index b = first; b < first + count; ++b) {
        const Real* row = rows.sequence(b).data;
        for (Index i = 0; i < size; ++i) sum[i] += row[i];
    }
    pause.worked(count * size * kNumberWork);
}

}  // namespace

template <class Real>
double total_weight(const Examples<Real>& examples, Pause& pause) {
    const std::vector<Index> sequences = all_sequences(examples.sequences);
    Window window;
    window.last = examples.steps;
    return sum_of_weights(examples, sequences.data(), examples.sequences, window, pause);
}

template <class Real>
Gradients<Real> loss_and_gradients(const Network<Real>& network, const Examples<Real>& examples,
                                   Truncation truncation, std::optional<double> normalizer,
                                   Index threads, Pause& pause) {
    check_trainable(network.architecture());
    check(examples, network.architecture(), nullptr, examples.sequences, pause);
    check(truncation);
    check_at_least("threads", 1, threads);
    if (normalizer) check_positive("normalizer", *normalizer);
    BatchTask<Real> task(examples);
    task.truncation = truncation;
    task.normalizer = normalizer ? *normalizer : total_weight(examples, pause);
    return gradients_of(network, task, false, threads, pause);
}

template <class Real>
Gradients<Real> backward(const Network<Real>& network, const BackwardTask<Real>& task,
                         Index threads, Pause& pause) {
    check_trainable(network.architecture());
    check(task, pause);
    check_at_least("threads", 1, threads);
    return gradients_of(network, BatchTask<Real>(task), task.with_x, threads, pause);
}

template <class Real>
std::vector<Real> sum_states(const Real* states, Index state_size, const std::vector<Index>& shape,
                             const std::vector<bool>& kept, Pause& pause) {
    check_equal("kept", static_cast<Index>(shape.size()), static_cast<Index>(kept.size()));
    SequencesView<const Real> sums, added;  // the first row of each sum; the rows of one sum
    Index sum_count = 1, added_count = 1, stride = state_size;
    for (std::size_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) {
        SequencesView<const Real>& view = kept[axis] ? sums : added;
        view.shape.insert(view.shape.begin(), shape[axis]);
        view.strides.insert(view.strides.begin(), stride);
        (kept[axis] ? sum_count : added_count) *= shape[axis];
    }
    std::vector<Real> result(static_cast<std::size_t>(sum_count * state_size));
    sums.data = states;
    for (Index i = 0; i < sum_count; ++i) {
        added.data = sums.sequence(i).data;
        sum_rows(added, 0, added_count, state_size, result.data() + i * state_size, pause);
    }
    return result;
}

template double total_weight(const Examples<float>&, Pause&);
template double total_weight(const Examples<double>&, Pause&);
template Gradients<float> loss_and_gradients(const Network<float>&, const Examples<float>&,
                                             Truncation, std::optional<double>, Index, Pause&);
template Gradients<double> loss_and_gradients(const Network<double>&, const Examples<double>&,
                                              Truncation, std::optional<double>, Index, Pause&);
template Gradients<float> backward(const Network<float>&, const BackwardTask<float>&, Index,
                                   Pause&);
template Gradients<double> backward(const Network<double>&, const BackwardTask<double>&, Index,
                                    Pause&);
template std::vector<float> sum_states(const float*, Index, const std::vector<Index>&,
                                       const std::vector<bool>&, Pause&);
template std::vector<double> sum_states(const double*, Index, const std::vector<Index>&,
                                        const std::vector<bool>&, Pause&);

}  // namespace elman
