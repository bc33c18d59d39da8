// sequence.hpp - batches of whole sequences, on one or several threads.
//
// B sequences of T steps, I inputs, O outputs, state size S. Threads share the sequences; if there
// are more threads than sequences, they share the rows of wide layers, or the layers of each. The
// results depend neither on the threads nor on the rest of the batch.
#pragma once

#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/views.hpp"

namespace elman {

// Of every step; or of the last real one or, with a mask, of the last one, zero if there is none.
enum class Outputs { all, last };

// Steps that are not real (padding, or masked) are skipped by the recurrence: they hold the state,
// in the order of each half. Their outputs are zero for padding; at masked steps they are those of
// the held states, or the readout of zeros in place of the top layer's states.
template <class Real>
struct SequenceTask {
    Index sequences = 0;  // B
    Index steps = 0;      // T, the given inputs
    Index fed_back = 0;   // further steps whose input is the previous output
    Outputs outputs = Outputs::all;
    Index first_output = 0;          // of `all`: earlier steps give no output
    SequencesView<const Real> x;     // (..., T, I)
    const Index* lengths = nullptr;  // (B,), each 0 ... T; null: all T
    // Flat sequences: (B + 1,), starting at 0, non-decreasing. The steps of sequence b are the rows
    // offsets[b] ... offsets[b + 1] - 1 of x (R, I), mask (R,), hidden (R, S) and `all` outputs (R,
    // O), and T is the largest number of steps. Null: T steps each.
    const Index* offsets = nullptr;
    const unsigned char* mask = nullptr;  // (B, T), 0: masked; null: no step is masked
    bool hold_outputs = false;            // masked steps give the held states' outputs
    const Real* state = nullptr;          // (B, S); null: the network's initial state
    SequencesView<Real> output;           // (..., T + fed_back - first_output, O), or (..., O)
    Real* final_state = nullptr;          // (B, S), after the last real step; null: not returned
    Real* hidden = nullptr;               // (B, T, S), after every step; null: not returned
};

// Computes the task on up to `threads` threads, which end with the call. Returns early, with
// unspecified results, if the pause is stopped.
//
// Throws std::invalid_argument for values out of range and for exclusive options: a mask or offsets
// with lengths; outputs fed back with lengths, offsets, a mask or hidden, or in a network that does
// not run forward; a first output with offsets, a mask or such a network.
template <class Real>
void run_sequences(const Network<Real>& network, const SequenceTask<Real>& task, Index threads,
                   Pause& pause);

// One sequence of a network that runs forward, from its initial state to all outputs: as
// run_sequences, with less overhead.
template <class Real>
void run_sequence(const Network<Real>& network, Rows<const Real> x, Rows<Real> y, Index steps,
                  Pause& pause);

extern template void run_sequences(const Network<float>&, const SequenceTask<float>&, Index,
                                   Pause&);
extern template void run_sequences(const Network<double>&, const SequenceTask<double>&, Index,
                                   Pause&);
extern template void run_sequence(const Network<float>&, Rows<const float>, Rows<float>, Index,
                                  Pause&);
extern template void run_sequence(const Network<double>&, Rows<const double>, Rows<double>, Index,
                                  Pause&);

}  // namespace elman
