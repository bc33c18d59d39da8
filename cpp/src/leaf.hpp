// leaf.hpp - up to 16 sequences of a batch, forward and backward through time: the unit of work of
// every gradient.
//
//   h_t = f(v_t),  v_t = W_hh h_(t-1) + W_xh x_t + b_h,  y_t = g(W_hy h_t + b_y)     forward
//
//   o_t = g'(W_hy h_t + b_y) dL/dy_t                        outputs
//   e_t = W_hy^T o_t                                        top layer
//   e_t = W_xh^T d_t of the layer above                     other layers
//   d_t = f'(v_t) (e_t + W_hh^T d_(t+1))                    through time
//
//   dL/dW_hy = sum o_t h_t^T,      dL/db_y = sum o_t
//   dL/dW_hh = sum d_t h_(t-1)^T,  dL/dW_xh = sum d_t x_t^T,  dL/db_h = sum d_t
//   dL/dx_t = W_xh^T d_t,          dL/dh_0 = W_hh^T d_1
//
// The forward pass keeps all hidden states and the loss of each step, and nothing else; if only the
// loss is requested, the states of a few steps. The backward pass goes from the last step to the
// first, several steps at a time. The sequences are columns, the longest first (timetable.hpp).
#pragma once

#include <algorithm>
#include <vector>

#include "elman/trainer.hpp"
#include "leaves.hpp"
#include "model.hpp"
#include "timetable.hpp"
#include "transposes.hpp"

namespace elman {

// A part with its inputs, and memory for the requested results.
template <class Real>
struct BatchTask : PartTask<Real> {
    const Sequences<Real>& inputs;
    const Examples<Real>* examples = nullptr;   // errors from their loss,
    const BackwardTask<Real>* given = nullptr;  // or given errors
    Real* state_gradients = nullptr;            // (count, S), or null
    Real* x_gradients = nullptr;                // of all inputs (B, T, I), or null
    Real* kept_states = nullptr;                // (count, S), or null

    explicit BatchTask(const Examples<Real>& of, const PartTask<Real>& part = {})
        : PartTask<Real>(part), inputs(of), examples(&of) {}
    explicit BatchTask(const BackwardTask<Real>& of) : inputs(of), given(&of) {}

    // Selects all steps of every sequence. `all` is 0 ... B-1 and must outlive the task.
    void take_all(const std::vector<Index>& all) {
        this->sequences = all.data();
        this->count = inputs.sequences;
        this->window.last = inputs.steps;
        this->states = inputs.state;
    }

    // The total number of steps of the sequences in the window.
    double steps() const {
        const auto [first, last, errors_from] = this->window;
        double sum = 0;
        for (Index i = 0; i < this->count; ++i)
            sum += static_cast<double>(
                std::clamp<Index>(inputs.length(this->sequences[i]) - first, 0, last - first));
        return sum;
    }

    BatchTask part(Index first, Index size, Index state_size) const {
        const auto rows = [&](auto* all) { return all ? all + first * state_size : nullptr; };
        BatchTask task = *this;
        task.sequences += first;
        task.count = size;
        task.states = rows(this->states);
        task.state_gradients = rows(state_gradients);
        task.kept_states = rows(kept_states);
        return task;
    }
};

template <class Real>
class Leaf {
  public:
    explicit Leaf(const Model<Real>& model);

    // Adds to `gradients`, an arena with the layout of the weights; null: loss only. Returns sum(w
    // l) / normalizer. Returns early if the pause is stopped.
    double run(const BatchTask<Real>& task, const Transposes<Real>& transposes, Real* gradients,
               Poll& poll);

  private:
    // The columns [lo, hi) over the steps [first, last) of one stretch.
    struct Segment {
        Index first, last, lo, hi;
        Index width;  // all columns of the stretch
        Index row;    // of step `first` in the timetable
        Index slot;   // of the states before `first`, in columns

        Index columns() const { return hi - lo; }
        Index steps() const { return last - first; }
        bool same(const Segment& other) const {
            return first == other.first && last == other.last && lo == other.lo && hi == other.hi;
        }
    };
    struct Layer {
        Index size, stride;
        AlignedVector<Real> states;  // h: one more slot per stretch than steps, the first
                                     // for the states before it
        AlignedVector<Real> errors;  // e, then d: of a segment and the step after it
        AlignedVector<Real> carry;   // forward: h before the next segment; backward: d after it,
        AlignedVector<Real> direct;  // and the error that bypasses W_hh (see backpropagate)
    };

    void begin();
    void reserve();
    Segment segment(std::size_t stretch, Index first, Index last, Index lo, Index hi) const;
    Segment counted(const Segment& segment) const;

    void forward();
    void unfold(const Segment& segment);
    Columns<const Real> inputs(const Segment& segment);
    void keep_states(const Segment& segment);
    Columns<const Real> outputs(const Segment& segment);
    void step_errors(const Segment& segment, Columns<const Real> y, Columns<Real> errors);
    double step_loss(Index column, Index step, Index n, const Real* y, Real* error) const;
    void given_error(Index column, Index step, Real* error) const;
    const Real* target(Index column, Index step) const;  // or the given derivative
    double loss() const;

    void backward();
    void backward_through(Index errors_from);
    void errors_of(const Segment& segment, bool with_outputs, bool newest);
    void top_errors(const Segment& segment, bool with_outputs);
    void through_readout(const Segment& segment, Columns<const Real> y, Columns<Real> o,
                         Columns<Real> top);
    void add_given(std::size_t l, const Segment& segment);
    void through_time(std::size_t l, const Segment& segment, bool newest);
    void add_gradients(std::size_t l, const Segment& segment);
    void give_x_gradients(const Segment& segment);
    void add_state_gradients();

    const std::vector<Half>& halves() const { return model_.layout.halves(); }
    bool all_outputs() const { return task_->inputs.outputs == Outputs::all; }
    // Squared errors without weights or scaling: the usual case, computed for many steps at once.
    bool squares_alone() const {
        const Examples<Real>* examples = task_->examples;
        return examples && examples->loss == Loss::mse && !examples->weights &&
               !model_.output_scaling.given();
    }
    bool loss_of_logits() const { return task_->examples && task_->examples->loss != Loss::mse; }
    Index sequence(Index column) const { return task_->sequences[order(column)]; }
    Index kept_step(Index column) const {
        return std::min(task_->kept_step, timetable_.length(column));
    }
    Index order(Index column) const { return order_[static_cast<std::size_t>(column)]; }
    Columns<const Real> zeros() const { return {zeros_.data(), 0}; }
    double& loss_of(Index i) { return losses_[static_cast<std::size_t>(i)]; }

    // Slot 0 holds the states before the segment, slot 1 those of its first step.
    Slots<Real> states(Layer& layer, const Segment& s) const {
        return {layer.states.data() + (s.slot + s.lo) * layer.stride, layer.stride,
                s.width * layer.stride};
    }
    Slots<Real> errors(Layer& layer, const Segment& s) const {
        return {layer.errors.data(), layer.stride, s.columns() * layer.stride};
    }
    Columns<Real> carry(Layer& layer) const { return {layer.carry.data(), layer.stride}; }
    Columns<Real> direct(Layer& layer) const { return {layer.direct.data(), layer.stride}; }

    const Model<Real> model_;
    const Index multiply_adds_;  // of one step
    const Index input_stride_, output_stride_;
    const BatchTask<Real>* task_ = nullptr;
    const Transposes<Real>* transposes_ = nullptr;
    Real* gradients_ = nullptr;
    Poll* poll_ = nullptr;

    std::vector<Index> order_;  // of columns: positions in the task
    Timetable timetable_;       // of the window
    std::vector<Index> slots_;  // of stretches: their first slot, in columns
    Rows<const Real> x_[kLeaf];
    Rows<const Real> y_[kLeaf];   // targets or given derivatives
    Index starts_[kLeaf];         // the step at which a column's errors stop flowing back
    Index ends_[kLeaf];           // the step after the one they start from
    std::vector<double> losses_;  // by rows of the timetable, or by columns for last outputs
    std::vector<Layer> layers_;
    Segment read_{};              // the segment whose inputs were read last; empty: none
    Columns<const Real> read_x_;  // and these inputs
    AlignedVector<Real> inputs_, outputs_, logits_, output_errors_, zeros_;
};

extern template class Leaf<float>;
extern template class Leaf<double>;

}  // namespace elman
