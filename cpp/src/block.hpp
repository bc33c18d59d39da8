// block.hpp - a block of columns: the states of several sequences, and the scratch to advance them.
//
// A stream is a block of one column, a batch a block of many; a layer computed on its own is a
// block of one half. Each half has contiguous slots of columns: the states before the next step are
// at column `now_`, and the states after each step of the last call precede them.
#pragma once

#include <vector>

#include "readout.hpp"

namespace elman {

// Sequences advanced together: a multiple of every kernel's columns.
inline constexpr Index kGroup = 96;

// Columns x steps to compute at a time, for up to `columns` sequences of up to `steps` steps of
// `bytes` bytes each: at least the columns.
Index columns_at_a_time(Index columns, Index steps, Index bytes);

// The work of one step of a column, in multiply-adds: the products, and moving the data.
template <class Real>
Index work_of_step(const Network<Real>& network) {
    return network.multiply_adds() + 8 * (network.input_size() + network.output_size()) +
           16 * network.state_size() + 128;
}

// The halves [first, last) of a network, from the bottom up.
struct HalfRange {
    std::size_t first, last;
};

// A block holds a range of a network's halves: with the first half it takes inputs, with the last
// one it returns outputs.
template <class Real>
class Block {
  public:
    // For up to `columns` sequences of up to `steps` steps. Two or more halves must run forward.
    Block(const Network<Real>& network, HalfRange halves, Index columns, Index steps);

    // Columns x steps per call of advance: at least the columns.
    Index capacity() const { return capacity_; }

    // Starts the next sequences in the first `count` columns: given(column) is the state
    // (state_size,) of the whole network to start from, or null for the network's initial state.
    template <class Given>
    void start(Index count, Given given) noexcept {
        now_ = 0;
        for (Index column = 0; column < count; ++column) start_column(column, given(column));
    }

    // Writes this block's part of a column's state (state_size,).
    void get_state(Index column, Real* state) const noexcept { copy_state(now_ + column, state); }

    // Memory for `capacity` columns of inputs.
    Columns<Real> inputs() noexcept { return {inputs_.data(), input_stride_}; }

    // Advances the first `count` columns by `steps` steps over x, `count` columns per step. The
    // states of the other columns are lost.
    void advance(Columns<const Real> x, Index count, Index steps) noexcept;

    // The top half's states after each step of the last advance, and the current ones.
    Columns<const Real> states() const noexcept { return top().from(count_); }
    Columns<const Real> states_now() const noexcept { return top().from(now_); }

    // Writes this block's part of the state (state_size,) at a column of states().
    void get_hidden(Index n, Real* state) const noexcept { copy_state(count_ + n, state); }

    // Memory for the outputs of `capacity` columns, if the block has the top half.
    OutputColumns<Real>& outputs() noexcept { return outputs_; }

    // One step of a block of one column, from input to output in the user's scale: same bits as
    // advance and outputs, with less overhead. y may be x.
    void step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept;

  private:
    struct Memory {  // of one half
        AlignedVector<Real> numbers;
        Index size;
        Index stride;

        Real* column(Index n) { return numbers.data() + n * stride; }
        const Real* column(Index n) const { return numbers.data() + n * stride; }
    };

    void start_column(Index column, const Real* given) noexcept;
    void copy_state(Index n, Real* state) const noexcept;
    void unfold(std::size_t half, Columns<const Real> x, Index from, Index step, Index count,
                Index steps) noexcept;
    Columns<const Real> top() const noexcept {
        return {memory_.back().numbers.data(), memory_.back().stride};
    }

    const Network<Real>& network_;
    const HalfRange halves_;
    const Index capacity_;
    Index now_ = 0;    // the column of the current states: see above
    Index count_ = 0;  // columns of the last advance, which starts at column 0
    const Index input_stride_;
    AlignedVector<Real> inputs_;
    std::vector<Memory> memory_;
    OutputColumns<Real> outputs_;
};

extern template class Block<float>;
extern template class Block<double>;

}  // namespace elman
