// leaf.hpp - up to 16 sequences of a batch, unfolded over time and back: the unit of work of every
// gradient.
//
// Forward keeps all hidden states and nothing else. Backward goes from the last step to the first,
// some steps at a time: outputs, their errors, the errors of each layer from the top down, and what
// they add to the gradients. A step has the sequences that are still running as its first columns,
// the longest sequence first.
#pragma once

#include <vector>

#include "elman/gradient.hpp"
#include "kernels/table.hpp"

namespace elman {

inline constexpr Index kLeaf = 16;

// What a network and a trainer have in common.
template <class Real>
struct Model {
    const Architecture& architecture;
    const Kernels<Real>& kernels;
    const PackedParameters<Real>& weights;
    typename Network<Real>::Units input_units;
    typename Network<Real>::Units output_units;
};

// The transposes of the weights, through which errors flow back.
template <class Real>
class TransposedWeights {
  public:
    explicit TransposedWeights(const Model<Real>& model);
    void update(const Model<Real>& model, bool recurrent);  // W_hh only if `recurrent`

    struct Layer {
        PackedMatrix<Real> input;  // none in the first layer
        PackedMatrix<Real> recurrent;
    };
    std::vector<Layer> layers;
    PackedMatrix<Real> readout{};

  private:
    AlignedVector<Real> arena_;
};

// Some steps of some examples; the errors of those before `errors_from` do not count.
struct Window {
    Index first;
    Index last;
    Index errors_from;
};

template <class Real>
struct LeafTask {
    const Examples<Real>& examples;
    const Index* sequences;  // in the examples
    Index count;             // up to kLeaf
    Window window;
    const Real* states;  // (count, S), or null: the network's initial state
    double normalizer;
    Truncation truncation;  // within the window
    Real* gradients;        // added to: an arena in the order of the weights; null: only the loss
    Real* state_gradients;  // (count, S), or null
    Index kept_step;        // after so many steps of the window
    Real* kept_states;      // the states (count, S) are kept here, or null
};

template <class Real>
class Leaf {
  public:
    explicit Leaf(const Model<Real>& model);

    // Returns sum(w l) / normalizer.
    double run(const LeafTask<Real>& task, const TransposedWeights<Real>& transposed);

  private:
    // A run of steps with the same columns. Its slots, one more than it has steps, follow each
    // other, slot 0 being the states before its first step.
    struct Piece {
        Index first, last;  // steps of the window
        Index columns;
        Index base;  // its first column among all

        Index column(Index slot) const { return base + slot * columns; }
    };
    // The columns [lo, hi) over the steps [first, last) of one piece.
    struct Segment {
        const Piece& piece;
        Index first, last, lo, hi;

        Index columns() const { return hi - lo; }
        Index steps() const { return last - first; }
    };
    struct Layer {
        Index size, stride;
        AlignedVector<Real> states;  // of all pieces
        AlignedVector<Real> errors;  // of some steps, and of the one after them
        AlignedVector<Real> carry;   // of the step after those
    };

    void begin(const LeafTask<Real>& task);
    void forward();
    void start_state(Index column, Index offset, Index size, Real* state) const;
    Columns<const Real> inputs(const Segment& segment);
    void keep_states();
    void back();
    void back_through(Index errors_from);
    void errors_of(const Segment& segment, bool with_outputs, bool newest);
    void output_errors(const Segment& segment, Columns<Real> top_errors);
    void step_error(Index column, Index step, const Real* y, const Real* logits, Real* error);
    void add_state_gradients();
    void correlate(const PackedMatrix<Real>& W, Slots<const Real> errors, Slots<const Real> x,
                   Index count, Index steps);

    Index sequence(Index column) const { return task_->sequences[order_[column]]; }
    Slots<Real> slots(Layer& layer, const Segment& segment, Index slot) const {
        const Piece& piece = segment.piece;
        const Index column = piece.column(segment.first - piece.first + slot) + segment.lo;
        return {layer.states.data() + column * layer.stride, layer.stride,
                piece.columns * layer.stride};
    }

    const Model<Real> model_;
    const LeafTask<Real>* task_ = nullptr;
    const TransposedWeights<Real>* transposed_ = nullptr;
    Index input_stride_, output_stride_;
    Index order_[kLeaf];    // of columns: positions in the task
    Index lengths_[kLeaf];  // of columns, within the window
    Index starts_[kLeaf];   // where the errors of a column stop flowing back
    Index ends_[kLeaf];     // the step after the one where they begin
    Rows<const Real> x_[kLeaf];
    Rows<const Real> targets_[kLeaf];
    double loss_ = 0;
    std::vector<Piece> pieces_;
    std::vector<Layer> layers_;
    AlignedVector<Real> inputs_, outputs_, logits_, output_errors_, zeros_;
    AlignedVector<Real> target_;  // of one step, where it does not lie in a row
};

extern template class TransposedWeights<float>;
extern template class TransposedWeights<double>;
extern template class Leaf<float>;
extern template class Leaf<double>;

}  // namespace elman
