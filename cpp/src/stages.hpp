// stages.hpp - sequences over layers that all run forward, chunk after chunk of steps.
//
// A stage holds some halves of a network, from the bottom up. Mostly it is all of them, and several
// threads share the sequences; where there are more threads than sequences, several stages are a
// pipeline: each takes chunks of states from the stage below and hands its own to the one above.
#pragma once

#include <vector>

#include "block.hpp"
#include "sequences.hpp"
#include "threads.hpp"

namespace elman {

// The steps that a stage of a pipeline hands on at a time: few, since the stages above wait for the
// first ones. Two layers of 256, T = 1000, on two threads: 1.60 times as fast with 16, 1.55
// with 64. What is left is the balance: the upper layer's product with 256 inputs is 58 % of the
// work.
inline constexpr Index kStageSteps = 16;

// Splits the halves of a network that runs forward into at most `parts` runs of about the same
// work.
template <class Real>
std::vector<HalfRange> split_halves(const Network<Real>& network, Index parts);

// Where two stages of one pipeline meet.
template <class Real>
class Channel {
  public:
    Channel(Index columns, Index stride);  // of a chunk, and from one column to the next

    // Waits until a chunk can be put in or taken out; false if the call is to end before.
    bool has_room(Poll& poll) { return taken_.wait_for(put_ - kChunks + 1, poll); }
    bool has_chunk(Poll& poll) { return filled_.wait_for(took_ + 1, poll); }

    void put(Columns<const Real> states, Index count);
    Columns<const Real> front() const { return {chunk(took_), stride_}; }
    void take();

  private:
    static constexpr Index kChunks = 4;

    const Real* chunk(Index i) const { return numbers_.data() + i % kChunks * size_; }

    const Index stride_;
    const Index size_;  // numbers of a chunk
    AlignedVector<Real> numbers_;
    Counter filled_, taken_;
    Index put_ = 0;   // chunks so far; the lower stage's own
    Index took_ = 0;  // the upper stage's own
};

template <class Real>
class Stage {
  public:
    // For the positions [first, last) of the job. Null: the task's own inputs below, its outputs
    // above.
    Stage(const SequenceJob<Real>& job, Index first, Index last, HalfRange halves,
          Channel<Real>* below, Channel<Real>* above);

    // Columns x steps of a chunk. All stages of a pipeline need the same.
    Index capacity() const { return capacity_; }
    void set_capacity(Index capacity) { capacity_ = capacity; }

    // All sequences from beginning to end, group after group. Allocates nothing.
    void run(Poll& poll);

  private:
    Index most_steps(Index columns) const;
    bool advance(const Stretch& chunk, Poll& poll);
    void keep_hidden(const Stretch& chunk);
    void keep_outputs(const Stretch& chunk);
    bool feed_back(Poll& poll);
    bool finish(Index first, Index last, Index step, Poll& poll);
    bool fill_up(Index column, Index step, Poll& poll);

    const SequenceJob<Real>& job_;
    const SequenceTask<Real>& task_;
    const Index first_, last_;
    const Index work_;  // of a step of a column
    Channel<Real>* const below_;
    Channel<Real>* const above_;
    Block<Real> block_;
    Index capacity_;
    Group<Real> group_;
};

extern template std::vector<HalfRange> split_halves(const Network<float>&, Index);
extern template std::vector<HalfRange> split_halves(const Network<double>&, Index);
extern template class Channel<float>;
extern template class Channel<double>;
extern template class Stage<float>;
extern template class Stage<double>;

}  // namespace elman
