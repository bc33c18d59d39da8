// gradient.hpp - losses, and their exact gradients by back-propagation through time.
//
//   L = sum(w l) / sum(w)      over the real steps of all sequences, or over the last step of each
//
// l of a step is the mean over its outputs of the squared error or of the binary cross-entropy, or
// the cross-entropy of its class. The forward pass gives the bits of sequence.hpp. A gradient is
// summed over time and over 16 neighbouring sequences, a leaf, in one chain; leaves are added up as
// a binary tree by their index (the left part the largest power of two that leaves something to the
// right). So the bits depend neither on threads nor on where a batch is cut after 16 x 2^k
// sequences.
#pragma once

#include <optional>
#include <vector>

#include "elman/sequence.hpp"

namespace elman {

enum class Loss { mse, bce, cross_entropy };

// Throws std::invalid_argument for a name that is none of the three.
Loss loss_from_name(const std::string& name);

// B sequences of T steps with what is expected of them; padding and steps without weight are never
// read.
template <class Real>
struct Examples {
    Index sequences = 0;
    Index steps = 0;
    Loss loss = Loss::mse;
    Outputs outputs = Outputs::all;
    Batch<const Real> x;              // (..., T, I)
    Batch<const Real> targets;        // (..., T, O) or (..., O); not for cross_entropy
    const Index* classes = nullptr;   // (B, T) or (B,), for cross_entropy
    const double* weights = nullptr;  // (B, T) or (B,), not negative; null: each 1
    const Index* lengths = nullptr;   // (B,), each 0 ... T; null: all T
    const Real* state = nullptr;      // (B, S), where to begin; null: the network's initial state

    Index length(Index sequence) const { return lengths ? lengths[sequence] : steps; }
    double weight(Index sequence, Index step) const {
        if (!weights) return 1;
        return outputs == Outputs::all ? weights[sequence * steps + step] : weights[sequence];
    }
};

// With steps = k and every = m the errors of the steps [jm, (j+1)m) flow back to step (j+1)m - k at
// the earliest, and the state there is a constant; the errors of a last step flow back k steps.
// 1 <= m <= k; k = 0: everything flows back to the beginning.
struct Truncation {
    Index steps = 0;
    Index every = 0;
};

template <class Real>
struct Gradients {
    double loss;
    Parameters<Real> parameters;  // of each tensor; zero for units
    std::vector<Real> state;      // (B, S): of where each sequence begins
};

// The sum of the weights of all real steps (of all sequences with a step, for the last outputs).
template <class Real>
double total_weight(const Examples<Real>& examples);

// The loss and its gradients, both divided by `normalizer` instead of sum(w) if there is one.
template <class Real>
Gradients<Real> loss_and_gradients(const Network<Real>& network, const Examples<Real>& examples,
                                   Truncation truncation, std::optional<double> normalizer,
                                   Index threads);

}  // namespace elman
