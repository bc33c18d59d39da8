// sequences.hpp - the arguments that all calls on whole sequences share: x, state, lengths.
//
// B sequences over some batch axes, T steps, I inputs, S numbers of state.
#pragma once

#include "elman/sequence.hpp"
#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {

// Checked, and kept alive as long as this. `argument` is what errors call x. With offsets, x is
// flat: the steps of all sequences, one after the other, with no batch axis but that of the
// sequences.
template <class Real>
class CheckedSequences {
  public:
    CheckedSequences(const Network<Real>& network, const char* argument, py::handle x,
                     py::handle state, py::handle lengths, py::handle offsets = py::none());

    Index sequences() const { return sequences_; }
    Index steps() const { return steps_; }  // the most that a sequence has
    // An array with something for every step, (..., T, more) or flat (R, more).
    Shape step_shape(std::initializer_list<Index> more) const {
        return concatenate(has_offsets_ ? Shape{x_.shape(0)} : shape({steps_}), more);
    }
    const py::array& x() const { return x_; }
    const std::vector<Real>& state() const { return state_; }     // (B, S), empty if none was given
    const Shape& state_argument() const { return state_shape_; }  // its shape before broadcasting

    // The batch axes with more behind them.
    Shape shape(std::initializer_list<Index> more) const { return concatenate(batch_, more); }
    const Shape& batch() const { return batch_; }
    const std::vector<Index>& offsets() const { return offsets_; }  // empty if none were given

    // All steps of all sequences, and `more` of each; one without steps costs too.
    Index work(Index of_a_step, Index more = 0) const {
        if (has_offsets_) return work_of(x_.shape(0) + sequences_, of_a_step);
        return work_of(work_of(sequences_, steps_ + more + 1), of_a_step);
    }

    // Fills in what a task of the core says of its sequences.
    template <class Task>
    void describe(Task& task) const {
        task.sequences = sequences_;
        task.steps = steps_;
        task.x = view_of<Real>(x_);
        task.state = has_state_ ? state_.data() : nullptr;
        task.lengths = has_lengths_ ? lengths_.data() : nullptr;
    }

  private:
    py::array x_;
    Pinned pinned_x_;  // what is converted after it may run code that resizes it
    Shape batch_;
    Index sequences_;
    Index steps_;
    bool has_state_, has_lengths_, has_offsets_;
    Shape state_shape_;
    std::vector<Real> state_;
    std::vector<Index> lengths_;
    std::vector<Index> offsets_;
};

extern template class CheckedSequences<float>;
extern template class CheckedSequences<double>;

// Which of two names a string is: true for the first one.
bool is_first_of(const char* argument, py::handle name, const char* first, const char* second);

Outputs outputs_from_name(py::handle outputs);

}  // namespace elman::python
