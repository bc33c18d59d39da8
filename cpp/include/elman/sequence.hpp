// sequence.hpp - whole sequences and batches of them, by one thread or by several.
//
// B sequences of T steps, I inputs, O outputs, S numbers of state. Threads share the sequences;
// where there are more threads than sequences, they share the layers of each. The numbers do not
// depend on who computes them, nor on the neighbours in the batch.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "elman/stream.hpp"

namespace elman {

// An array of rows over some batch axes, for each of B sequences in the order of the last axis
// fastest. Strides are in numbers, not bytes, and may be zero or negative.
template <class Real>
struct Batch {
    Real* data = nullptr;
    std::vector<Index> shape;    // of the batch axes
    std::vector<Index> strides;  // likewise
    Index step_stride = 0;
    Index stride = 0;

    Rows<Real> sequence(Index b) const {
        Real* first = data;
        for (std::size_t axis = shape.size(); axis-- > 0; b /= shape[axis])
            first += b % shape[axis] * strides[axis];
        return {first, step_stride, stride};
    }
};

template <class Real>
class Channel;
template <class Real>
class LayerwiseWorker;

enum class Outputs { all, last };

template <class Real>
struct SequenceTask {
    Index sequences = 0;                  // B
    Index steps = 0;                      // T, the given inputs
    Index fed_back = 0;                   // further steps, whose input is the output before
    Outputs outputs = Outputs::all;       // of each step, or of the last real one alone
    Index first_output = 0;               // steps before this one give no output
    Batch<const Real> x;                  // (..., T, I)
    const Index* lengths = nullptr;       // (B,), each 0 ... T; null: all of them (so if fed_back)
    const unsigned char* mask = nullptr;  // (B, T), 0: not a real step; null: all (so if lengths)
    bool hold_outputs = false;            // give those of the held states where the mask is 0
    const Real* state = nullptr;  // (B, S), where to begin; null: the network's initial state
    Batch<Real> output;           // (..., T + fed_back - first_output, O), or (..., O)
    Real* final_state = nullptr;  // (B, S), after the last real step; null: not wanted
    Real* hidden = nullptr;       // (B, T, S), after every step; null: not wanted
};

// A task in the making. Steps that are not real, padding or holes of a mask, do not exist for the
// recurrence: they hold the state, in the order of each half, and give zeros (or held outputs).
template <class Real>
class Sequence {
  public:
    // The network and all that the task points to must outlive this. threads >= 1. Throws
    // std::invalid_argument for outputs fed back to a network that does not run forward.
    Sequence(const Network<Real>& network, SequenceTask<Real> task, Index threads);
    ~Sequence();

    // Works for about `budget`, on all threads, and returns whether the task is done. Threads that
    // it starts have ended when it returns.
    bool advance(std::chrono::steady_clock::duration budget);

  private:
    class Worker;
    void count_real_steps();
    void share_steps(const Network<Real>& network, Index shares, Index threads);
    void share_layer_by_layer(const Network<Real>& network, Index shares);
    bool work(std::size_t worker, std::chrono::steady_clock::time_point deadline);
    Index share_end(Index first, Index shares) const;

    SequenceTask<Real> task_;
    std::vector<Index> real_steps_;  // with a mask: of each sequence
    std::vector<Index> order_;       // with lengths: the sequences, the longest first
    std::vector<std::unique_ptr<Channel<Real>>> channels_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::unique_ptr<LayerwiseWorker<Real>>> layerwise_;  // instead of them
};

extern template class Sequence<float>;
extern template class Sequence<double>;

}  // namespace elman
