// backpropagation.hpp - the loss and the gradients of a batch: leaves of 16 sequences, shared by
// threads, added up as a binary tree.
#pragma once

#include <memory>
#include <vector>

#include "leaf.hpp"
#include "threads.hpp"

namespace elman {

// sum(w) of a window. Returns early, with any number, if the pause is stopped.
template <class Real>
double sum_of_weights(const Examples<Real>& examples, const Index* sequences, Index count,
                      Window window, Pause& pause);

// The multiply-adds of so many steps of a network, forward and, if wanted, back.
Index work_of(double steps, const Architecture& architecture, bool with_gradients);

template <class Real>
class Backpropagation {
  public:
    // What the model refers to must outlive this. The gradients of inputs can be had `with_x`. To
    // be thrown away if the pause was stopped.
    Backpropagation(const Model<Real>& model, bool with_x, Pause& pause);

    // Returns sum(w l) / normalizer; then gradients() are its own. Returns early, with numbers that
    // are not specified, if the pause is stopped.
    double run(const BatchTask<Real>& task, Team& team, Pause& pause);

    // As many threads as are worth starting for this task alone.
    Team team(Index threads, const BatchTask<Real>& task) const;

    // In the order of the packed weights, also of the initial state if there are state gradients.
    Real* gradients() { return trees_[0].sum.data(); }

  private:
    // Neighbouring leaves, 2^k of them or what is left at the end.
    struct Tree {
        double loss = 0;
        AlignedVector<Real> sum;  // empty if only the loss is wanted
    };
    struct Worker {
        Leaf<Real> leaf;
        std::vector<Tree> rights;  // right halves, one for each level
    };
    // Some leaves of a task, added up into `tree`.
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
