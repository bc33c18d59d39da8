// layerwise.hpp - whole sequences layer by layer: for layers that run in reverse, and for holes.
//
//   f_t = a(W_hh f_(t-1) + W_xh x_t + b_h)          the half of a layer that runs forward
//   r_t = a(W_hh r_(t+1) + W_xh x_t + b_h)          the half that runs in reverse, if there is one
//
// The layer above reads [f_t | r_t], so a layer is finished before the next one begins. A half that
// runs in reverse is the forward layer on the reversed sequence, bit for bit: the same kernel, its
// inputs gathered from the end and its states scattered back.
//
// Only real steps are computed, those of a mask as if there were nothing between them. The states
// of a layer are rows in the order of steps, and within a step of sequences, the longest first: the
// sequences that have a step are the first columns of it.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "elman/sequence.hpp"
#include "kernels/table.hpp"

namespace elman {

// Advances the sequences [first, last) of the order, in groups that memory has room for.
template <class Real>
class LayerwiseWorker {
  public:
    LayerwiseWorker(const Network<Real>& network, const SequenceTask<Real>& task,
                    const Index* order, Index first, Index last);

    // Works until the deadline, and returns whether all is done. Allocates nothing.
    bool advance(std::chrono::steady_clock::time_point deadline);

  private:
    struct Half {
        const typename Network<Real>::Layer* weights;
        bool backwards;
        std::size_t layer;
        Index column;  // where its states begin in a row of the layer
        Index offset;  // likewise in the network's state
        Index size;
    };
    struct Steps {
        Index first, last;

        bool empty() const { return first >= last; }
    };
    struct Gap {
        Index column;
        Steps steps;
    };

    void add_halves();
    void plan_memory(Index first);

    Index group_end(Index first) const;
    void begin_group();
    void take_steps(Index column);
    void begin_phase();
    void next_phase();
    void finish_ended();

    void advance_chunk();
    Columns<const Real> inputs(const Half& half, Index steps);
    void keep_states(const Half& half, Index steps);
    void keep_hidden(const Half& half, Index column, const Real* state, Steps steps);
    void keep_outputs(Index steps);
    void keep_last_outputs();
    void fill_gaps();
    void begin_gaps(Index column);
    void held_state(Real* state) const;

    Index sequence(Index position) const { return order_ ? order_[position] : position; }
    Index length(Index position) const {
        return task_.lengths ? task_.lengths[sequence(position)] : task_.steps;
    }
    // Which step of the task the real step `index` of a column is.
    Index step_of(Index column, Index index) const {
        return task_.mask ? real_steps_[static_cast<std::size_t>(row(index, column))] : index;
    }
    Index row(Index index, Index column) const {
        return firsts_[static_cast<std::size_t>(index)] + column;
    }
    Index width(std::size_t layer) const {
        return network_.architecture().layers[layer].output_size();
    }
    Index state_size() const { return network_.architecture().state_size(); }
    Index output_size() const { return network_.architecture().output_size(); }

    Steps before(const Half& half, Index column) const;
    Steps covered(const Half& half, Index column, Index index) const;
    Steps gap(Index column, Index index) const;
    void start_state(const Half& half, Index column, Real* state) const;
    Real* slot(Index i) { return slots_.data() + i * slot_stride_; }
    // What a layer gives at a real step of a column.
    Real* row_of(std::size_t layer, Index index, Index column) const {
        return rows_[layer % 2].get() + row(index, column) * width(layer);
    }

    const Network<Real>& network_;
    const SequenceTask<Real>& task_;
    const Index* order_;
    Index group_;  // its first sequence in the order
    const Index last_;
    std::vector<Half> halves_;  // from the bottom up, forward before reverse
    Index group_rows_ = 0;      // so many rows at most, unless one sequence has more

    Index columns_ = 0;              // sequences of the group
    std::vector<Index> lengths_;     // of its columns
    std::vector<Index> firsts_;      // the row of the first column of each real step
    std::vector<Index> real_steps_;  // with a mask: of each row
    std::vector<Rows<const Real>> x_;
    std::vector<Rows<Real>> y_;

    std::size_t phase_ = 0;  // a half; then the outputs of real steps; then those of all others
    Index step_ = 0;         // real steps done in this phase, in the order of the half
    Index running_ = 0;      // columns of the group that are not at their end
    Index gap_column_ = 0, gap_ = 0;  // where the last phase is

    Index products_ = 0;  // columns x steps of a chunk
    Index input_stride_ = 0, slot_stride_ = 0, output_stride_ = 0;
    AlignedVector<Real> inputs_, slots_, outputs_;
    std::vector<Gap> held_;            // gaps whose outputs are held
    std::unique_ptr<Real[]> rows_[2];  // of a layer and of the one below, in turn
};

extern template class LayerwiseWorker<float>;
extern template class LayerwiseWorker<double>;

}  // namespace elman
