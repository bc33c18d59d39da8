// trainer.hpp - training: gradients, clipping and an optimizer, update after update.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "elman/gradient.hpp"
#include "elman/optimizer.hpp"

namespace elman {

template <class Real>
class Backpropagation;

struct TrainerSettings {
    OptimizerSettings optimizer;
    std::optional<double> clip_value;  // of each number of the gradient
    std::optional<double> clip_norm;   // of all of it, after that
    bool train_initial_state = false;
};

// Some passes over examples are one task: which of them, in which order, and what was done so far.
//
// A minibatch is one update or, with truncation.every = m, one for every m steps: the window of the
// last truncation.steps ones is walked through from the state carried over, with the errors of the
// last m (R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training
// of recurrent network trajectories", 1990: BPTT(h; h'), the states of a window computed anew).
template <class Real>
struct TrainingTask {
    const Examples<Real>& examples;
    const Index* sequences;  // in the order of training
    Index count;
    Index batch_size;
    const double* learning_rates;  // one for each update
    Truncation truncation;
    bool carry;     // sequences begin where they ended the last time
    Index threads;  // >= 1

    Index done = 0;              // sequences
    Index step = 0;              // of the minibatch: where the next window's errors begin
    std::vector<double> losses;  // of each update, before it; the first one that is not finite ends
    std::vector<double> weights;  // sum(w) of each; nothing is updated where that is zero
    std::vector<Real> states;     // where the next window begins, if not at the beginning
};

// How many updates such a task is.
template <class Real>
Index updates_of(const Examples<Real>& examples, const Index* sequences, Index count,
                 Index batch_size, Truncation truncation);

template <class Real>
class Trainer {
  public:
    Trainer(const Network<Real>& network, TrainerSettings settings);
    ~Trainer();

    // Makes updates for about `budget`; returns whether the task is done.
    bool advance(TrainingTask<Real>& task, std::chrono::steady_clock::duration budget);

    double loss(const Examples<Real>& examples, Index threads);

    Parameters<Real> parameters() const;
    Isa isa() const { return isa_; }
    Index updates() const { return optimizer_.updates(); }

    // What the next update depends on, in the order of a file: of checkpoints.
    struct State {
        std::vector<Parameters<Real>> arenas;  // the parameters, then the moments
        std::vector<Real> carried;             // (B, S), empty if nothing was
        Index updates;
    };
    State state() const;
    void restore(const State& state);

  private:
    void update(TrainingTask<Real>& task);
    void clip(Real* gradients) const;
    double norm(const Real* gradients) const;

    const Parameters<Real> network_;  // units and architecture
    const Isa isa_;
    const TrainerSettings settings_;
    const Kernels<Real>& kernels_;
    PackedParameters<Real> weights_;
    Index trained_;  // so many numbers of the arena
    std::unique_ptr<Backpropagation<Real>> backpropagation_;
    Optimizer<Real> optimizer_;
    std::vector<Real> carried_;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace elman
