// block.hpp - a block of columns: the states of several sequences, and the scratch to advance them.
//
// A stream is a block of one column, a batch a block of many; a layer computed on its own is a
// block of one half. Each half has contiguous slots of columns: the states before the next step are
// at column `now_`, and the states after each step of the last call precede them.
#pragma once

#include <vector>

#include "readout.hpp"

namespace elman {

// Sequences advanced together: a multiple of every kernel's columns. (24 sequences and 3 steps at a
// time, which fit an L1 cache of 32 KiB: 6 lines from the L2 cache for a step of 16 -> 32 -> 4
// instead of 12, 20 instead of 30 at 64 units; on a Zen 5 no faster with AVX2, and 2 % slower with
// AVX-512.)
inline constexpr Index kGroup = 96;

// Columns x steps at a time: enough for a product to read its weights rarely, and for a batch to
// read several steps of each sequence at a time (8 steps: 55 % of the multiply-add peak at H = 64
// and 84 % at 256; 1 step: 53 % and 82 %), few enough for the L2 cache, and for a stream to be
// small.
inline constexpr Index kMostColumns = 64;
inline constexpr Index kSteps = 8;

// Columns x steps to compute at a time, for up to `columns` sequences of up to `steps` steps of
// `bytes` bytes each: at least the columns.
Index columns_at_a_time(Index columns, Index steps, Index bytes);

// The halves [first, last) of a network, from the bottom up.
struct HalfRange {
    std::size_t first, last;
};

template <class Real>
HalfRange all_halves(const Network<Real>& network) {
    return {0, network.halves().size()};
}

// The columns x steps that a block of these halves computes at a time.
template <class Real>
Index capacity_of(const Network<Real>& network, HalfRange halves, Index columns, Index steps);

// The work of one step of a column, in multiply-adds: the products, and moving the data.
template <class Real>
Index work_of_step(const Network<Real>& network) {
    return network.multiply_adds() + 8 * (network.input_size() + network.output_size()) +
           16 * network.state_size() + 128;
}

// A block holds a range of a network's halves: with the first half it takes inputs, with the last
// one it returns outputs.
template <class Real>
class Block {
  public:
    // For up to `columns` sequences, and `capacity` columns x steps per call of advance: at least
    // the columns. Two or more halves must run forward.
    Block(const Network<Real>& network, HalfRange halves, Index columns, Index capacity);

    Index capacity() const { return capacity_; }

    // Starts the next sequences in the first `count` columns: given(column) is the state
    // (state_size,) of the whole network to start from, or null for the network's initial state.
    template <class Given>
    void start(Index count, Given given) noexcept {
        now_ = 0;
        for (Index column = 0; column < count; ++column) start_column(column, given(column));
    }

    // Starts the first `count` columns in the current states of another block of the same halves.
    void continue_from(const Block& other, Index count = 1) noexcept;

    // Writes this block's part of a column's state (state_size,).
    void get_state(Index column, Real* state) const noexcept { copy_state(now_ + column, state); }

    // Memory for `capacity` columns of inputs.
    Columns<Real> inputs() noexcept { return {inputs_.data(), input_stride_}; }

    // Advances the first `count` columns by `steps` steps over x, `count` columns per step. The
    // states of the other columns are lost.
    void advance(Columns<const Real> x, Index count, Index steps) noexcept;

    // Advances the only column by `steps` steps, at most the capacity, from rows of inputs to rows
    // of outputs.
    void advance_column(Rows<const Real> x, Rows<Real> y, Index steps) noexcept {
        advance(
            read_inputs(network_.input_scaling(), &x, 0, 1, steps, inputs(), network_.input_size()),
            1, steps);
        outputs_.read_out(states(), steps);
        for (Index t = 0; t < steps; ++t) outputs_.write(t, y.row(t), y.stride);
    }

    // advance() in parts, for threads that share the rows of each half: first `begin`, then each
    // half from the bottom up, then `end`.
    struct Layer {
        const typename Network<Real>::Weights& weights;
        Columns<const Real> x;
        Slots<Real> h;
        const Activation& activation;
    };
    std::size_t layers() const noexcept { return memory_.size(); }
    void begin(Index count) noexcept;
    Layer layer(std::size_t i, Columns<const Real> x, Index count) noexcept;
    void end(Index count, Index steps) noexcept;

    // The top half's states after each step of the last advance, and the current ones.
    Columns<const Real> states() const noexcept { return top().from(count_); }
    Columns<const Real> states_now() const noexcept { return top().from(now_); }

    // Writes this block's part of the state (state_size,) at a column of states().
    void get_hidden(Index n, Real* state) const noexcept { copy_state(count_ + n, state); }

    // Memory for the outputs of `capacity` columns, if the block has the top half.
    OutputColumns<Real>& outputs() noexcept { return outputs_; }

    // --- one step of a block of one column, with less overhead than advance and the same bits

    // The input of the first layer: x (input_size,) itself if it can be read as it is, else a
    // scaled copy.
    const Real* read(const Real* x, Index x_stride) noexcept {
        if (x_stride == 1 && !scaled_) return x;
        read_input(network_.input_scaling(), x, x_stride, inputs_.data(), network_.input_size());
        return inputs_.data();
    }

    // Before steps that follow an advance.
    void prepare_steps() noexcept {
        begin(1);
        now_ = 0;
    }

    // One step over what read() returned. y may be x. Alternates between two slots, and so between
    // the first and the last panel of the weights.
    void step(const Real* input, Real* y, Index y_stride) noexcept {
        step(input);
        outputs_.write(0, y, y_stride);
    }
    // The same for outputs(), which may hold x.
    void step(const Real* input) noexcept {
        Columns<const Real> below{input, 0};
        for (const Memory& memory : memory_) {
            const auto& [W_xh, W_hh, b_h] = memory.weights;
            kernels_.unfold(W_xh, W_hh, b_h, below, memory.turns[now_], 1, 1,
                            memory.half.activation);
            below = {memory.turns[1 - now_].data, 0};
        }
        now_ = 1 - now_;
        outputs_.read_out_one(below);
    }

    // Writes the output of the current state.
    void write_output(Real* y, Index y_stride) noexcept {
        outputs_.read_out(states_now(), 1);
        outputs_.write(0, y, y_stride);
    }

    // The bytes of this object and of the memory it owns.
    Index bytes() const noexcept;

  private:
    struct Memory {  // of one half
        AlignedVector<Real> numbers;
        const Half& half;
        const typename Network<Real>::Weights& weights;
        Index stride;
        Slots<Real> turns[2];  // of step: from column 0 to column 1, and back

        Real* column(Index n) { return numbers.data() + n * stride; }
        const Real* column(Index n) const { return numbers.data() + n * stride; }
    };

    void start_column(Index column, const Real* given) noexcept;
    void copy_state(Index n, Real* state) const noexcept;

    // Advances the states at column `from`, in slots `step` columns apart.
    void unfold(Memory& memory, Columns<const Real> x, Index from, Index step, Index count,
                Index steps) noexcept {
        kernels_.unfold(memory.weights.W_xh, memory.weights.W_hh, memory.weights.b_h, x,
                        {memory.column(from), memory.stride, step * memory.stride}, count, steps,
                        memory.half.activation);
    }

    Columns<const Real> top() const noexcept {
        return {memory_.back().numbers.data(), memory_.back().stride};
    }

    const Network<Real>& network_;
    const Kernels<Real>& kernels_;
    const Index capacity_;
    const bool scaled_;  // the inputs
    Index now_ = 0;      // the column of the current states: see above
    Index count_ = 0;    // columns of the last advance, which starts at column 0
    const Index input_stride_;
    AlignedVector<Real> inputs_;
    std::vector<Memory> memory_;
    OutputColumns<Real> outputs_;
};

extern template class Block<float>;
extern template class Block<double>;

}  // namespace elman
