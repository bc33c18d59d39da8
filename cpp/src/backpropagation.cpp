#include "backpropagation.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>

namespace elman {
namespace {

// The size of the left part of a binary tree.
Index left_of(Index count) {
    Index left = 1;
    while (2 * left < count) left *= 2;
    return left;
}

// Calls work(0) ... work(threads - 1) at the same time; throws what one of them threw.
template <class Work>
void on_threads(Index threads, Work work) {
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(threads));
    const auto guarded = [&](Index i) noexcept {
        try {
            work(i);
        } catch (...) {
            failures[static_cast<std::size_t>(i)] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(threads));
    try {
        for (Index i = 1; i < threads; ++i) others.emplace_back(guarded, i);
    } catch (const std::system_error&) {  // no more threads to be had: the same bits, later
    }
    guarded(0);
    for (std::thread& thread : others) thread.join();
    for (const std::exception_ptr& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

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

template <class Real>
double sum_of_leaves(const Examples<Real>& examples, const Index* sequences, Index count,
                     Window window) {
    if (count > kLeaf) {
        const Index left = left_of((count + kLeaf - 1) / kLeaf) * kLeaf;
        return sum_of_leaves(examples, sequences, left, window) +
               sum_of_leaves(examples, sequences + left, count - left, window);
    }
    double sum = 0;
    for (Index i = 0; i < count; ++i) sum += weight_of(examples, sequences[i], window);
    return sum;
}

}  // namespace

template <class Real>
double sum_of_weights(const Examples<Real>& examples, const Index* sequences, Index count,
                      Window window) {
    return sum_of_leaves(examples, sequences, count, window);
}

template <class Real>
Backpropagation<Real>::Backpropagation(const Model<Real>& model)
    : model_(model), transposed_(model), trees_(1) {
    model.architecture.check_trainable();
}

template <class Real>
void Backpropagation<Real>::resize(Tree& tree) const {
    if (task_->with_gradients) tree.sum.resize(static_cast<std::size_t>(model_.weights.size()));
}

template <class Real>
double Backpropagation<Real>::run(const BatchTask<Real>& task, Index threads) {
    task_ = &task;
    // The errors of one step alone do not flow through time.
    const bool through_time = task.window.last - task.window.first > 1 || task.state_gradients;
    if (task.with_gradients) transposed_.update(model_, through_time);

    const Index leaves = std::max<Index>(1, (task.count + kLeaf - 1) / kLeaf);
    threads = std::min(threads, leaves);
    Index grain = leaves;  // leaves of one tree; some trees for each thread
    if (threads > 1)
        for (grain = 1; leaves / grain > 8 * threads;) grain *= 2;
    const Index count = (leaves + grain - 1) / grain;
    if (static_cast<Index>(trees_.size()) < count) trees_.resize(static_cast<std::size_t>(count));
    while (static_cast<Index>(workers_.size()) < threads)
        workers_.push_back(std::make_unique<Worker>(Worker{Leaf<Real>(model_), {}}));

    std::atomic<Index> next{0};
    const auto work = [&](Worker& worker) {
        for (Index i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;)
            run_leaves(worker, i * grain, std::min(grain, leaves - i * grain), 0,
                       trees_[static_cast<std::size_t>(i)]);
    };
    on_threads(threads, [&](Index i) { work(*workers_[static_cast<std::size_t>(i)]); });
    combine(0, count);
    return trees_[0].loss;
}

template <class Real>
void Backpropagation<Real>::combine(Index first, Index count) {
    if (count == 1) return;
    const Index left = left_of(count);
    combine(first, left);
    combine(first + left, count - left);
    add(trees_[static_cast<std::size_t>(first + left)], trees_[static_cast<std::size_t>(first)]);
}

template <class Real>
void Backpropagation<Real>::add(const Tree& right, Tree& left) const {
    left.loss += right.loss;
    if (task_->with_gradients)
        std::transform(left.sum.begin(), left.sum.end(), right.sum.begin(), left.sum.begin(),
                       [](Real a, Real b) { return a + b; });
}

template <class Real>
void Backpropagation<Real>::run_leaves(Worker& worker, Index first, Index count, std::size_t level,
                                       Tree& tree) {
    if (count == 1) return run_leaf(worker, first, tree);
    const Index left = left_of(count);
    run_leaves(worker, first, left, level + 1, tree);
    if (worker.halves.size() <= level) worker.halves.resize(level + 1);
    // A deeper call may move this level's tree: it is named again afterwards.
    Tree right = std::move(worker.halves[level]);
    run_leaves(worker, first + left, count - left, level + 1, right);
    add(right, tree);
    worker.halves[level] = std::move(right);
}

template <class Real>
void Backpropagation<Real>::run_leaf(Worker& worker, Index leaf, Tree& tree) {
    const BatchTask<Real>& task = *task_;
    const Index state_size = model_.architecture.state_size();
    const Index first = leaf * kLeaf;
    const Index count = std::min(kLeaf, task.count - first);
    const auto rows = [&](auto* states) { return states ? states + first * state_size : nullptr; };
    resize(tree);
    std::fill(tree.sum.begin(), tree.sum.end(), Real(0));
    Real* gradients = task.with_gradients ? tree.sum.data() : nullptr;
    const LeafTask<Real> leaf_task{task.examples,
                                   task.sequences + first,
                                   count,
                                   task.window,
                                   rows(task.states),
                                   task.normalizer,
                                   task.truncation,
                                   gradients,
                                   rows(task.state_gradients),
                                   task.kept_step,
                                   rows(task.kept_states)};
    tree.loss = worker.leaf.run(leaf_task, transposed_);
    const Real* initial_state = model_.weights.initial_state();
    if (!gradients || !task.state_gradients || !initial_state || task.states) return;
    Real* sum = gradients + model_.weights.offset(initial_state);
    for (Index c = 0; c < count; ++c)
        for (Index i = 0; i < state_size; ++i)
            sum[i] += leaf_task.state_gradients[c * state_size + i];
}

template double sum_of_weights(const Examples<float>&, const Index*, Index, Window);
template double sum_of_weights(const Examples<double>&, const Index*, Index, Window);
template class Backpropagation<float>;
template class Backpropagation<double>;

}  // namespace elman
