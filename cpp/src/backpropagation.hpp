// backpropagation.hpp - the loss and the gradients of a batch: leaves of 16 sequences, shared by
// threads, added up as a binary tree.
#pragma once

#include <memory>
#include <vector>

#include "leaf.hpp"

namespace elman {

template <class Real>
struct BatchTask {
    const Examples<Real>& examples;
    const Index* sequences;  // in the examples
    Index count;
    Window window;
    const Real* states;  // (count, S), or null: the network's initial state
    double normalizer;
    Truncation truncation;
    bool with_gradients;
    Real* state_gradients;  // (count, S), or null
    Index kept_step;        // after so many steps of the window
    Real* kept_states;      // the states (count, S) are kept here, or null
};

// sum(w) of a window.
template <class Real>
double sum_of_weights(const Examples<Real>& examples, const Index* sequences, Index count,
                      Window window);

template <class Real>
class Backpropagation {
  public:
    // What the model refers to must outlive this.
    // Throws std::invalid_argument for an activation without a gradient.
    explicit Backpropagation(const Model<Real>& model);

    // Returns sum(w l) / normalizer; then gradients() are its own. threads >= 1.
    double run(const BatchTask<Real>& task, Index threads);

    // In the order of the packed weights, also of the initial state if there are state gradients.
    Real* gradients() { return trees_[0].sum.data(); }

  private:
    // Neighbouring leaves, 2^k of them or what is left at the end.
    struct Tree {
        double loss;
        AlignedVector<Real> sum;
    };
    struct Worker {
        Leaf<Real> leaf;
        std::vector<Tree> halves;  // right ones, one for each level
    };
    void run_leaves(Worker& worker, Index first, Index count, std::size_t level, Tree& tree);
    void run_leaf(Worker& worker, Index leaf, Tree& tree);
    void add(const Tree& right, Tree& left) const;
    void combine(Index first, Index count);
    void resize(Tree& tree) const;

    const Model<Real> model_;
    const BatchTask<Real>* task_ = nullptr;
    TransposedWeights<Real> transposed_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<Tree> trees_;
};

extern template class Backpropagation<float>;
extern template class Backpropagation<double>;

}  // namespace elman
