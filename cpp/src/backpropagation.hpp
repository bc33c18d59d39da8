// backpropagation.hpp - loss and gradients of a batch: leaves of 16 sequences, shared by threads
// and added as a binary tree.
#pragma once

#include <memory>
#include <vector>

#include "leaf.hpp"
#include "threads.hpp"

namespace elman {

// sum(w) of a window. Returns early, with an unspecified value, if the pause is stopped.
template <class Real>
double sum_of_weights(const Examples<Real>& examples, const Index* sequences, Index count,
                      Window window, Pause& pause);

// The multiply-adds of `steps` steps, forward and, if requested, backward.
Index work_of(double steps, const Architecture& architecture, bool with_gradients);

template <class Real>
class Backpropagation {
  public:
    // The model's network and weights must outlive this. Gradients of inputs are available only
    // `with_x`. Discard the object if the pause was stopped.
    Backpropagation(const Model<Real>& model, bool with_x, Pause& pause);

    // Returns sum(w l) / normalizer and sets gradients(). Returns early, with unspecified values,
    // if the pause is stopped.
    double run(const BatchTask<Real>& task, Team& team, Pause& pause);

    // The threads worth starting for a single run of this task.
    Team team(Index threads, const BatchTask<Real>& task) const;

    // With the layout of the packed weights; includes the initial state if there are state
    // gradients.
    Real* gradients() { return trees_[0].sum.data(); }

  private:
    // 2^k neighbouring leaves, or the remainder.
    struct Tree {
        double loss = 0;
        AlignedVector<Real> sum;  // empty for loss only
    };
    struct Worker {
        Leaf<Real> leaf;
        std::vector<Tree> rights;  // right halves, one per level
    };
    // Adds up leaves of a task into `tree`.
    void run_leaves(const BatchTask<Real>& task, Worker& worker, Poll& poll, Index first,
                    Index count, std::size_t level, Tree& tree);
    void run_leaf(const BatchTask<Real>& task, Worker& worker, Poll& poll, Index leaf, Tree& tree);
    void add_initial_state(const BatchTask<Real>& part, Real* gradients) const;
    void combine(Index first, Index count, bool with_gradients);
    static void add(const Tree& right, Tree& left, bool with_gradients);
    Index useful_threads(const BatchTask<Real>& task, Index leaves, const Team& team) const;

    const Model<Real> model_;
    Transposes<Real> transposes_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<Tree> trees_;
};

extern template class Backpropagation<float>;
extern template class Backpropagation<double>;

}  // namespace elman
