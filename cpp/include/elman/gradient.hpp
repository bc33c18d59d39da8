// gradient.hpp - losses, and exact gradients by backpropagation through time.
//
//   L = sum(w l) / sum(w)      over the real steps of all sequences, or over each one's last step
//
// l of a step is the mean over its outputs of the squared error or of the binary cross-entropy, or
// the cross-entropy of its class. The forward pass gives the same bits as sequence.hpp. A gradient
// is summed over time and over 16 neighbouring sequences (a leaf) in one chain; leaves are added as
// a binary tree by index (the left part is the largest power of two that leaves something to the
// right). So the bits depend neither on the number of threads nor on where a batch is cut after 16
// x 2^k sequences.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "elman/activation.hpp"
#include "elman/aligned.hpp"
#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/sequence.hpp"
#include "elman/views.hpp"

namespace elman {

enum class Loss { mse, bce, cross_entropy };

// Throws std::invalid_argument for an unknown name.
Loss loss_from_name(const std::string& name);

// B sequences of T steps as input of a network. Padding is never read.
template <class Real>
struct Sequences {
    Index sequences = 0;             // B
    Index steps = 0;                 // T
    SequencesView<const Real> x;     // (..., T, I)
    const Index* lengths = nullptr;  // (B,), each 0 ... T; null: all T
    const Real* state = nullptr;     // (B, S); null: the network's initial state
    Outputs outputs = Outputs::all;  // the steps in the loss: all, or the last real one

    Index length(Index sequence) const { return lengths ? lengths[sequence] : steps; }
};

// Sequences with targets or classes, which are never read at steps without weight.
template <class Real>
struct Examples : Sequences<Real> {
    Loss loss = Loss::mse;
    SequencesView<const Real> targets;  // (..., T, O) or (..., O); not for cross_entropy
    const Index* classes = nullptr;     // (B, T) or (B,), each 0 ... O-1; for cross_entropy
    const double* weights = nullptr;    // (B, T) or (B,), finite, not negative; null: 1

    double weight(Index sequence, Index step) const {
        if (!weights) return 1;
        return weights[this->outputs == Outputs::all ? sequence * this->steps + step : sequence];
    }
};

// Whether all of these numbers are finite.
template <class Real>
bool are_finite(const Real* values, Index count);

// The range of each output, scaling included.
template <class Real>
std::vector<Range> ranges_of_outputs(const Network<Real>& network);

// Sequences with the gradient of a loss computed outside.
template <class Real>
struct BackwardTask : Sequences<Real> {
    SequencesView<const Real> dL_dy;  // (..., T, O), or (..., O) of the last outputs
    SequencesView<const Real> dL_dh;  // (..., T, S), for the states of all layers; or no data
    bool with_x = false;              // also compute the gradient of x
};

// With steps = k and every = m, the errors of steps [jm, (j+1)m) flow back to step (j+1)m - k at
// the earliest, and the state there is a constant; the error of a last step flows back k steps. 1
// <= m <= k; k = m = 0: no truncation.
struct Truncation {
    Index steps = 0;
    Index every = 0;
};

template <class Real>
struct Gradients {
    double loss;                  // 0 if computed outside
    Parameters<Real> parameters;  // zero for scaling; the gradient of the initial state is
                                  // the sum over the sequences that start from it
    AlignedVector<Real> state;    // (B, S), for the state each sequence starts from
    AlignedVector<Real> x;        // (B, T, I), if requested; 0 for padding
};

// All of these throw std::invalid_argument for values out of range, missing arrays, a loss that
// does not fit the readout, and a network without a gradient: one that does not run forward, or
// with an activation without a derivative.

// The sum of the weights of all real steps, or of all sequences with a step where only the last
// outputs count. Unspecified if the pause was stopped.
template <class Real>
double total_weight(const Examples<Real>& examples, Pause& pause);

// The loss and its gradients, both divided by `normalizer` if given, else by sum(w). Unspecified if
// the pause was stopped.
template <class Real>
Gradients<Real> loss_and_gradients(const Network<Real>& network, const Examples<Real>& examples,
                                   Truncation truncation, std::optional<double> normalizer,
                                   Index threads, Pause& pause);

// The gradients of a loss computed outside, from its derivatives with respect to the outputs (and
// the states). Unspecified if the pause was stopped.
template <class Real>
Gradients<Real> backward(const Network<Real>& network, const BackwardTask<Real>& task,
                         Index threads, Pause& pause);

// Sums gradients (B, state_size) of states over the batch axes that are not kept; the last axis is
// fastest. 16 sequences at a time are summed in one chain, then as a binary tree, by their index
// within one sum. Returns the rows of the kept axes in order; one row if no axis is kept.
// Unspecified if the pause was stopped.
template <class Real>
std::vector<Real> sum_states(const Real* states, Index state_size, const std::vector<Index>& shape,
                             const std::vector<bool>& kept, Pause& pause);

}  // namespace elman
