// trainer.hpp - training: gradients, clipping and optimizer updates.
#pragma once

#include <functional>
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
    std::optional<double> clip_value;  // of each element of the gradient
    std::optional<double> clip_norm;   // of the whole gradient, after clip_value
    bool train_initial_state = false;
};

// A range of steps; errors before `errors_from` do not count.
struct Window {
    Index first = 0;
    Index last = 0;
    Index errors_from = 0;  // relative to `first`
};

// Some sequences of a minibatch over a window of steps: what one update needs, or a part of it.
template <class Real>
struct PartTask {
    const Index* sequences = nullptr;  // (count,), each 0 ... B-1
    Index count = 0;
    Window window{};
    Truncation truncation{};       // within the window; errors_from is 0 then
    const Real* states = nullptr;  // (count, S), or null: the initial state
    double normalizer = 1;         // divides the loss
    bool with_gradients = true;
    bool keep = false;    // the states after
    Index kept_step = 0;  // this step of the window
};

template <class Real>
struct Part {
    double loss;                 // sum(w l) / normalizer
    Parameters<Real> gradients;  // zero without gradients
    std::vector<Real> states;    // (count, S), empty unless kept
};

// Computes a part for these weights, in place of a trainer: on other machines, for example. A task
// split after 16 x 2^k sequences has the same bits if its parts are added as a binary tree by
// index.
template <class Real>
using Elsewhere =
    std::function<Part<Real>(const PartTask<Real>& task, const Parameters<Real>& weights)>;

// One pass over some examples, in the given order.
//
// A minibatch is one update or, with truncation.every = m, one update for every m steps: the window
// of the last truncation.steps steps is run from the carried state, with the errors of the last m
// (R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of
// recurrent network trajectories", 1990: BPTT(h; h'), with the states of a window recomputed).
template <class Real>
struct TrainingTask {
    const Examples<Real>& examples;
    const Index* sequences = nullptr;  // (count,), each 0 ... B-1
    Index count = 0;
    Index batch_size = 1;                    // sequences of a minibatch
    const double* learning_rates = nullptr;  // (updates,)
    Index updates = 0;                       // as updates_of() counts them
    Truncation truncation{};
    bool carry = false;  // sequences continue from the states of the previous pass
    Index threads = 1;
    const Elsewhere<Real>* elsewhere = nullptr;  // computes all gradients, if given
};

// One entry per update. Training stops at the first loss that is not finite.
struct Losses {
    std::vector<double> losses;   // before each update
    std::vector<double> weights;  // sum(w); no update where this is zero
};

// The number of updates of a task. A minibatch without a step counts as one, of weight zero.
// Returns early, with an unspecified count, if the pause is stopped.
template <class Real>
Index updates_of(const Examples<Real>& examples, const Index* sequences, Index count,
                 Index batch_size, Truncation truncation, Pause& pause);

// For one thread at a time.
template <class Real>
class Trainer {
  public:
    // Starts from the network's weights. Throws std::invalid_argument for settings out of range and
    // for a network without gradients. Discard the trainer if the pause was stopped.
    Trainer(std::shared_ptr<const Network<Real>> network, TrainerSettings settings, Pause& pause);
    ~Trainer();

    // Throws std::invalid_argument as in gradient.hpp, for other values out of range, and with
    // `carry` if the number of sequences differs from the number carried so far. If the pause is
    // stopped, or anything is thrown later, the trainer keeps its state after the last complete
    // update.
    Losses train(const TrainingTask<Real>& task, Pause& pause);

    // Unspecified if the pause was stopped.
    double loss(const Examples<Real>& examples, Index threads, Pause& pause,
                const Elsewhere<Real>* elsewhere = nullptr);

    // The loss and the gradients of a part, for weights that replace the trainer's own; the
    // optimizer and the carried states are not touched. Throws std::invalid_argument as train().
    // Discard the result if the pause was stopped.
    Part<Real> part(const Examples<Real>& examples, const PartTask<Real>& task,
                    const Parameters<Real>& weights, Index threads, Pause& pause);

    // Discard the result if the pause was stopped.
    Parameters<Real> parameters(Pause& pause) const;
    const std::shared_ptr<const Network<Real>>& network() const { return network_; }
    // Whether all trained parameters are finite. Unspecified if the pause was stopped.
    bool finite(Pause& pause) const;
    // Drops the carried states.
    void forget() { carried_.clear(); }
    Index updates() const { return optimizer_.updates(); }
    Busy& busy() const { return busy_; }  // for callers that share a trainer between threads

    // The complete training state, for checkpoints.
    struct State {
        std::vector<Parameters<Real>> arenas;  // the parameters, then the moments
        std::vector<Real> carried;             // (B, S), or empty
        Index updates;
    };
    // Discard the result if the pause was stopped.
    State state(Pause& pause) const;
    // Throws std::invalid_argument for a state with other sizes. Changes nothing if it throws or if
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
    double run_elsewhere(const PartTask<Real>& task, std::vector<Real>& kept,
                         const Elsewhere<Real>& elsewhere, Pause& pause);
    void begin_carried(const Examples<Real>& examples);
    void carry(const Minibatch& batch);
    void apply(Real* gradients, double rate);
    void clip(Real* gradients);
    double norm(const Real* gradients);

    const Layout<Real>& layout() const { return network_->layout(); }
    const Architecture& architecture() const { return network_->architecture(); }

    const std::shared_ptr<const Network<Real>> network_;  // constant apart from the weights
    const TrainerSettings settings_;
    AlignedVector<Real> weights_;  // in the order of the layout
    Index trained_;                // leading elements of weights_ that are trained
    std::unique_ptr<Backpropagation<Real>> backpropagation_;
    Optimizer<Real> optimizer_;
    AlignedVector<Real> squares_;   // scratch of norm()
    AlignedVector<Real> received_;  // gradients computed elsewhere
    std::vector<Real> carried_;     // (B, S), empty until something is carried
    mutable Busy busy_;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace elman
