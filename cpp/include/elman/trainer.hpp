// trainer.hpp - training: gradients, clipping and an optimizer, update after update.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "elman/busy.hpp"
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

// One pass over some examples, in the order given.
//
// A minibatch is one update or, with truncation.every = m, one for every m steps: the window of the
// last truncation.steps ones is walked through from the state carried over, with the errors of the
// last m (R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training
// of recurrent network trajectories", 1990: BPTT(h; h'), the states of a window computed anew).
template <class Real>
struct TrainingTask {
    const Examples<Real>& examples;
    const Index* sequences = nullptr;  // (count,), each 0 ... B-1
    Index count = 0;
    Index batch_size = 1;                    // sequences of a minibatch
    const double* learning_rates = nullptr;  // (updates,)
    Index updates = 0;                       // as updates_of() counts them
    Truncation truncation{};
    bool carry = false;  // sequences begin where they ended the last time
    Index threads = 1;
};

// What was done, update by update. The first loss that is not finite ends training.
struct Losses {
    std::vector<double> losses;   // before the update
    std::vector<double> weights;  // sum(w); nothing is updated where that is zero
};

// How many updates such a task is. A minibatch without a step is one, without weight. Returns
// early, with any number, if the pause is stopped.
template <class Real>
Index updates_of(const Examples<Real>& examples, const Index* sequences, Index count,
                 Index batch_size, Truncation truncation, Pause& pause);

// Belongs to one thread at a time.
template <class Real>
class Trainer {
  public:
    // Begins with the network's weights. Throws std::invalid_argument for settings out of range and
    // for a network without gradients. To be thrown away if the pause was stopped.
    Trainer(std::shared_ptr<const Network<Real>> network, TrainerSettings settings, Pause& pause);
    ~Trainer();

    // Throws std::invalid_argument as gradient.hpp does, for other numbers out of range, and with
    // `carry` for other than the number of sequences carried so far. If the pause is stopped, or
    // anything is thrown later, the trainer stays as it was after the last whole update.
    Losses train(const TrainingTask<Real>& task, Pause& pause);

    // Not specified if the pause was stopped.
    double loss(const Examples<Real>& examples, Index threads, Pause& pause);

    // To be thrown away if the pause was stopped.
    Parameters<Real> parameters(Pause& pause) const;
    const std::shared_ptr<const Network<Real>>& network() const { return network_; }
    // Whether all that is trained is finite. Not specified if the pause was stopped.
    bool finite(Pause& pause) const;
    // Carries no states into the next task.
    void forget() { carried_.clear(); }
    Index updates() const { return optimizer_.updates(); }
    Busy& busy() const { return busy_; }  // for those who share a trainer between threads

    // What the next update depends on, in the order of a file: of checkpoints.
    struct State {
        std::vector<Parameters<Real>> arenas;  // the parameters, then the moments
        std::vector<Real> carried;             // (B, S), empty if nothing was
        Index updates;
    };
    // To be thrown away if the pause was stopped.
    State state(Pause& pause) const;
    // Throws std::invalid_argument for a state of other sizes. Changes nothing if it throws, or if
    // the pause is stopped.
    void restore(const State& state, Pause& pause);

  private:
    struct Progress;
    struct Minibatch;

    bool train(const TrainingTask<Real>& task, const Index* sequences, Index count,
               Progress& progress);
    bool update(const TrainingTask<Real>& task, Minibatch& batch, Progress& progress);
    std::vector<Real> start_of(const TrainingTask<Real>& task, const Index* sequences,
                               Index count) const;
    void begin_carried(const Examples<Real>& examples);
    void carry(const Minibatch& batch, const std::vector<Real>& states);
    void clip(Real* gradients) const;
    double norm(const Real* gradients) const;

    const Layout<Real>& layout() const { return network_->layout(); }
    const Architecture& architecture() const { return network_->architecture(); }

    const std::shared_ptr<const Network<Real>> network_;  // all but the weights stays
    const TrainerSettings settings_;
    AlignedVector<Real> weights_;  // in the order of the layout
    Index trained_;                // so many numbers of it
    std::unique_ptr<Backpropagation<Real>> backpropagation_;
    Optimizer<Real> optimizer_;
    std::vector<Real> carried_;  // (B, S), empty as long as nothing was
    mutable Busy busy_;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace elman
