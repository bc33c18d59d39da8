// sequence.hpp - whole sequences and batches of them, by one thread or by several.
//
// B sequences of T steps, I inputs, O outputs, S numbers of state. Threads share the sequences;
// where there are more threads than sequences, they share the layers of each. The numbers do not
// depend on who computes them, nor on the neighbours in the batch.
#pragma once

#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/views.hpp"

namespace elman {

enum class Outputs { all, last };

// Steps that are not real, padding or holes of a mask, do not exist for the recurrence: they hold
// the state, in the order of each half, and give zeros (or the outputs of the held states).
template <class Real>
struct SequenceTask {
    Index sequences = 0;             // B
    Index steps = 0;                 // T, the given inputs
    Index fed_back = 0;              // further steps, whose input is the output before
    Outputs outputs = Outputs::all;  // of each step, or of the last real one alone
    Index first_output = 0;          // of `all`: steps before this one give no output
    SequencesView<const Real> x;     // (..., T, I)
    const Index* lengths = nullptr;  // (B,), each 0 ... T; null: all of them
    // Flat sequences: (B + 1,), from 0 on and not falling. The steps of sequence b are the rows
    // offsets[b] ... offsets[b + 1] - 1 of x (R, I), mask (R,), hidden (R, S) and `all` outputs
    // (R, O), and T is the largest number of them. Null: T steps each.
    const Index* offsets = nullptr;
    const unsigned char* mask = nullptr;  // (B, T), 0: not a real step; null: all of them are
    bool hold_outputs = false;            // give those of the held states where the mask is 0
    const Real* state = nullptr;  // (B, S), where to begin; null: the network's initial state
    SequencesView<Real> output;   // (..., T + fed_back - first_output, O), or (..., O)
    Real* final_state = nullptr;  // (B, S), after the last real step; null: not wanted
    Real* hidden = nullptr;       // (B, T, S), after every step; null: not wanted
};

// Computes the task on up to `threads` threads, which end with the call. Returns early, with
// numbers that are not specified, if the pause is stopped.
//
// Throws std::invalid_argument for numbers out of range and for what excludes each other: a mask
// or offsets beside lengths; outputs fed back beside lengths, offsets, a mask or hidden, or in a
// network that does not run forward; a first output beside offsets, a mask or in such a network.
template <class Real>
void run_sequences(const Network<Real>& network, const SequenceTask<Real>& task, Index threads,
                   Pause& pause);

extern template void run_sequences(const Network<float>&, const SequenceTask<float>&, Index,
                                   Pause&);
extern template void run_sequences(const Network<double>&, const SequenceTask<double>&, Index,
                                   Pause&);

}  // namespace elman
