#include "backpropagation.hpp"

#include <algorithm>
#include <atomic>
#include <limits>

#include "arenas.hpp"

namespace elman {
namespace {

template <class Real>
double weight_of(const Examples<Real>& examples, Index sequence, Window window) {
    const Index last = std::min(examples.length(sequence), window.last);
    if (examples.outputs == Outputs::last)
        return examples.length(sequence) > 0 ? examples.weight(sequence, 0) : 0;
    const Index first = window.first + window.errors_from;
    if (!examples.weights) return static_cast<double>(std::max<Index>(0, last - first));
    double sum = 0;
    for (Index t = first; t < last; ++t) sum += examples.weight(sequence, t);
    return sum;
}

}  // namespace

template <class Real>
double sum_of_weights(const Examples<Real>& examples, const Index* sequences, Index count,
                      Window window, Pause& pause) {
    if (count > kLeaf) {
        const Index left = left_of(leaves_of(count)) * kLeaf;
        return sum_of_weights(examples, sequences, left, window, pause) +
               sum_of_weights(examples, sequences + left, count - left, window, pause);
    }
    double sum = 0;
    for (Index i = 0; i < count && !pause.stopped(); ++i) {
        sum += weight_of(examples, sequences[i], window);
        pause.worked(examples.weights ? window.last - window.first : 1);
    }
    return sum;
}

Index work_of(double steps, const Architecture& architecture, bool with_gradients) {
    const double work =
        steps * static_cast<double>(architecture.multiply_adds()) * (with_gradients ? 3 : 1);
    constexpr Index most = std::numeric_limits<Index>::max() / 2;
    return work < static_cast<double>(most) ? static_cast<Index>(work) : most;
}

template <class Real>
Backpropagation<Real>::Backpropagation(const Model<Real>& model, bool with_x, Pause& pause)
    : model_(model), transposes_(model, with_x, pause), trees_(1) {}

// An existing team is worth waking for less work than is needed to start one.
template <class Real>
Index Backpropagation<Real>::useful_threads(const BatchTask<Real>& task, Index leaves,
                                            const Team& team) const {
    if (team.size() == 1 || leaves == 1) return 1;
    constexpr double kAwake = 8;
    return elman::useful_threads(
        team.size(), leaves,
        work_of(kAwake * task.steps(), model_.architecture, task.with_gradients));
}

template <class Real>
Team Backpropagation<Real>::team(Index threads, const BatchTask<Real>& task) const {
    if (threads == 1) return Team(1);
    return Team(
        elman::useful_threads(threads, leaves_of(task.count),
                              work_of(task.steps(), model_.architecture, task.with_gradients)));
}

template <class Real>
double Backpropagation<Real>::run(const BatchTask<Real>& task, Team& team, Pause& pause) {
    // The errors of a single step do not flow through time.
    const bool through_time = task.window.last - task.window.first > 1 || task.state_gradients;
    if (task.with_gradients) transposes_.update(model_, through_time);

    const Index leaves = std::max<Index>(1, leaves_of(task.count));
    const Index threads = useful_threads(task, leaves, team);
    Index grain = leaves;  // leaves per tree; several trees per thread
    if (threads > 1)
        for (grain = 1; leaves / grain > 8 * threads;) grain *= 2;
    const Index count = (leaves + grain - 1) / grain;
    if (static_cast<Index>(trees_.size()) < count) trees_.resize(static_cast<std::size_t>(count));
    while (static_cast<Index>(workers_.size()) < threads)
        workers_.push_back(std::make_unique<Worker>(Worker{Leaf<Real>(model_), {}}));

    std::atomic<Index> next{0};
    const auto work = [&](Index thread) {
        Poll poll(pause, thread == 0);
        Worker& worker = *workers_[static_cast<std::size_t>(thread)];
        for (Index i; poll.go_on(0) && (i = next.fetch_add(1, std::memory_order_relaxed)) < count;)
            run_leaves(task, worker, poll, i * grain, std::min(grain, leaves - i * grain), 0,
                       trees_[static_cast<std::size_t>(i)]);
    };
    if (threads == 1)
        work(0);
    else
        team.run(threads, work, pause);
    if (pause.stopped()) return 0;
    combine(0, count, task.with_gradients);
    return trees_[0].loss;
}

template <class Real>
void Backpropagation<Real>::combine(Index first, Index count, bool with_gradients) {
    if (count == 1) return;
    const Index left = left_of(count);
    combine(first, left, with_gradients);
    combine(first + left, count - left, with_gradients);
    add(trees_[static_cast<std::size_t>(first + left)], trees_[static_cast<std::size_t>(first)],
        with_gradients);
}

template <class Real>
void Backpropagation<Real>::add(const Tree& right, Tree& left, bool with_gradients) {
    left.loss += right.loss;
    if (with_gradients)
        std::transform(left.sum.begin(), left.sum.end(), right.sum.begin(), left.sum.begin(),
                       [](Real a, Real b) { return a + b; });
}

template <class Real>
void Backpropagation<Real>::run_leaves(const BatchTask<Real>& task, Worker& worker, Poll& poll,
                                       Index first, Index count, std::size_t level, Tree& tree) {
    if (!poll.go_on(0)) return;
    if (count == 1) return run_leaf(task, worker, poll, first, tree);
    const Index left = left_of(count);
    run_leaves(task, worker, poll, first, left, level + 1, tree);
    if (worker.rights.size() <= level) worker.rights.resize(level + 1);
    // A deeper call may move this level's tree, so it is stored again afterwards.
    Tree right = std::move(worker.rights[level]);
    run_leaves(task, worker, poll, first + left, count - left, level + 1, right);
    if (poll.go_on(0)) add(right, tree, task.with_gradients);
    worker.rights[level] = std::move(right);
}

template <class Real>
void Backpropagation<Real>::run_leaf(const BatchTask<Real>& task, Worker& worker, Poll& poll,
                                     Index leaf, Tree& tree) {
    const Index first = leaf * kLeaf, count = std::min(kLeaf, task.count - first);
    const BatchTask<Real> part = task.part(first, count, model_.architecture.state_size());
    Real* gradients = nullptr;
    if (task.with_gradients) {
        const Index size = model_.layout.size();
        if (static_cast<Index>(tree.sum.size()) == size)
            std::fill(tree.sum.begin(), tree.sum.end(),
                      Real(0));  // assign() is not compiled to memset
        else
            tree.sum = zeros<Real>(size, poll);
        if (!poll.go_on(0)) return;
        gradients = tree.sum.data();
    }
    tree.loss = worker.leaf.run(part, transposes_, gradients, poll);
    if (gradients) add_initial_state(part, gradients);
}

// Sums over the sequences that start from the network's initial state.
template <class Real>
void Backpropagation<Real>::add_initial_state(const BatchTask<Real>& part, Real* gradients) const {
    const auto offset = model_.layout.initial_state();
    if (!offset || !part.state_gradients || part.states) return;
    const Index state_size = model_.architecture.state_size();
    for (Index c = 0; c < part.count; ++c)
        for (Index i = 0; i < state_size; ++i)
            gradients[*offset + i] += part.state_gradients[c * state_size + i];
}

template double sum_of_weights(const Examples<float>&, const Index*, Index, Window, Pause&);
template double sum_of_weights(const Examples<double>&, const Index*, Index, Window, Pause&);
template class Backpropagation<float>;
template class Backpropagation<double>;

}  // namespace elman
