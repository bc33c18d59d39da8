// block.hpp - a block of columns: the states of some sequences, and the scratch to advance them.
//
// Every engine stands on this one: a stream is a block of one column, a batch a block of many. Each
// layer has slots of columns; slot 0 holds the states before the next step, slot t the states after
// step t of the last call, so that no step is special. The input product does not depend on the
// recurrence: it is one matrix product over all steps and columns of a call.
#pragma once

#include <vector>

#include "elman/stream.hpp"
#include "kernels/table.hpp"

namespace elman {

// Sequences of a batch advanced together: a multiple of every kernel's columns.
inline constexpr Index kGroup = 96;

// Columns x steps of one call of unfold over `columns` sequences that take so many bytes each.
Index products_that_fit(Index columns, Index bytes);

// The layers [first, last) of a network.
struct Layers {
    std::size_t first, last;
};

// A block holds all layers of a network or, where several threads work on one sequence, some of
// them: the first ones take inputs, the last ones give outputs.
template <class Real>
class Block {
  public:
    // For up to `columns` sequences, which begin at the network's initial state.
    Block(const Network<Real>& network, Index columns, Layers layers);
    Block(const Network<Real>& network, Index columns);  // all layers

    // How many steps of `count` columns one call of advance can take.
    Index steps_that_fit(Index count) const { return products_ / count; }

    // The state of one column, (state_size,) for the whole network; the block's own layers in it.
    void set_state(Index column, const Real* state) noexcept;
    void get_state(Index column, Real* state) const noexcept;
    void reset(Index column) noexcept;

    // The input of one column at one step of the next advance, in the user's units:
    // index = step * count + column, x is input_size numbers, `stride` apart.
    void set_input(Index index, const Real* x, Index stride) noexcept;

    // Advances the first `count` columns by `steps` steps. The states of the others are lost.
    void advance(Index count, Index steps) noexcept;

    // Advances the first column alone over rows of inputs in the user's units.
    void advance(Rows<const Real> x, Index steps) noexcept;

    // Advances over the states of the layer below; top() is that for the block above, in the order
    // of set_input.
    void advance(Columns<const Real> below, Index count, Index steps) noexcept;
    Columns<const Real> top() const noexcept;

    // The state of a column after one step of the last advance (index as for set_input).
    void hidden(Index index, Real* state) const noexcept;

    // Computes the outputs of `count` indices of the last advance, from `first`. Thereafter
    // output(i) is the output of index first + i, (output_size,), in the user's units.
    void read_out(Index first, Index count) noexcept;
    const Real* output(Index i) const noexcept { return outputs_.data() + i * output_stride_; }
    void get_output(Index i, Real* y, Index stride) const noexcept;

    // One step of a block of one column, from input to output, both in the user's units: the bits
    // of set_input, advance and read_out with less to do in between. y may be x.
    void step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept;

  private:
    struct Slots {
        AlignedVector<Real> columns;
        Index size;
        Index stride;

        Real* slot(Index i) { return columns.data() + i * stride; }
        const Real* slot(Index i) const { return columns.data() + i * stride; }
    };

    // That rows of inputs of this stride are columns as they are.
    bool reads(Index stride) const noexcept;
    void read_out(Columns<const Real> states, Index count) noexcept;

    const Network<Real>& network_;
    Layers layers_;
    Index state_offset_ = 0;  // of its first layer in the network's state
    Index products_;          // columns x steps that fit
    Index now_ = 0;           // the slot where the states are: step() takes turns between 0 and 1
    Index count_ = 0;         // columns of the last advance: how far apart its slots are
    Index input_stride_;
    Index output_stride_;
    AlignedVector<Real> inputs_;
    AlignedVector<Real> outputs_;
    std::vector<Slots> hidden_;
};

extern template class Block<float>;
extern template class Block<double>;

}  // namespace elman
