// sequences.hpp - the arguments shared by all calls on whole sequences: x, state, lengths.
//
// B sequences over batch axes, T steps, I inputs, state size S.
#pragma once

#include "elman/sequence.hpp"
#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {

// The checked arguments, kept alive by this object. `argument` is the name of x in errors. With
// offsets, x is flat: the steps of all sequences one after the other, and the sequences are the
// only batch axis.
template <class Real>
class CheckedSequences {
  public:
    CheckedSequences(const Network<Real>& network, const char* argument, py::handle x,
                     py::handle state, py::handle lengths, py::handle offsets = py::none());

    Index sequences() const { return sequences_; }
    Index steps() const { return steps_; }  // the largest number of steps
    // The shape of an array with an entry per step, (..., T, more) or flat (R, more).
    Shape step_shape(std::initializer_list<Index> more) const {
        return concatenate(has_offsets_ ? Shape{x_.shape(0)} : shape({steps_}), more);
    }
    const py::array& x() const { return x_; }
    const std::vector<Real>& state() const { return state_; }     // (B, S), or empty
    const Shape& state_argument() const { return state_shape_; }  // its shape before broadcasting

    // The batch axes followed by `more`.
    Shape shape(std::initializer_list<Index> more) const { return concatenate(batch_, more); }
    const Shape& batch() const { return batch_; }
    const std::vector<Index>& offsets() const { return offsets_; }  // may be empty

    // The work of all steps; a sequence without steps costs one.
    Index work(Index of_a_step, Index more = 0) const {
        if (has_offsets_) return work_of(x_.shape(0) + sequences_, of_a_step);
        return work_of(work_of(sequences_, steps_ + more + 1), of_a_step);
    }

    // Fills in the sequences of a task of the core.
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
    Pinned pinned_x_;  // converting later arguments may run code that resizes x
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

// Returns true for the first name, false for the second; ArgumentError otherwise.
bool is_first_of(const char* argument, py::handle name, const char* first, const char* second);

Outputs outputs_from_name(py::handle outputs);

}  // namespace elman::python
