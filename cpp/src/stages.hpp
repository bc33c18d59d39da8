// stages.hpp - sequences through layers that all run forward, in chunks of steps.
//
// A stage holds a range of a network's halves. Usually it holds all of them, and threads share the
// sequences; if there are more threads than sequences, they share the rows of all halves
// (rows.hpp), or several stages form a pipeline: each takes chunks of states from the stage below
// and passes its own to the one above.
#pragma once

#include <memory>
#include <vector>

#include "rows.hpp"
#include "threads.hpp"
#include "workspace.hpp"

namespace elman {

// The steps per chunk of a pipeline: few, since the stages above wait for the first chunk. Two
// layers of 256, T = 1000, on two threads: 1.60 times as fast with 16, 1.55 with 64. The limit is
// the balance: the upper layer's product with 256 inputs is 58 % of the work.
inline constexpr Index kStageSteps = 16;

// Splits the halves of a network that runs forward into at most `parts` ranges of similar work.
template <class Real>
std::vector<HalfRange> split_halves(const Network<Real>& network, Index parts);

// The queue between two stages of a pipeline.
template <class Real>
class Channel {
  public:
    Channel(Index columns, Index stride);  // columns of a chunk, and the stride between them

    // Waits until a chunk can be put or taken; false if the call is to end first.
    bool has_room(Poll& poll) { return taken_.wait_for(put_ - kChunks + 1, poll); }
    bool has_chunk(Poll& poll) { return filled_.wait_for(took_ + 1, poll); }

    void put(Columns<const Real> states, Index count);
    Columns<const Real> front() const { return {chunk(took_), stride_}; }
    void take();

  private:
    static constexpr Index kChunks = 4;

    const Real* chunk(Index i) const { return numbers_.data() + i % kChunks * size_; }

    const Index stride_;
    const Index size_;  // elements of a chunk
    AlignedVector<Real> numbers_;
    Counter filled_, taken_;
    Index put_ = 0;   // chunks so far; used by the lower stage only
    Index took_ = 0;  // used by the upper stage only
};

template <class Real>
class Stage {
  public:
    // For the positions [first, last) of the job, in a workspace of one or several halves. Null:
    // the task's inputs below, its outputs above. All stages of a pipeline have the same capacity.
    Stage(const SequenceJob<Real>& job, Index first, Index last, Workspace<Real>& workspace,
          Channel<Real>* below = nullptr, Channel<Real>* above = nullptr);

    // Before run(), if this is the only stage: shares the rows of every half between `threads` > 1
    // threads, the one that calls run() and those that call help(part), part = 1 ... threads - 1.
    void share_rows(Index threads);

    // Runs all sequences, group by group. Allocates nothing.
    void run(Poll& poll);
    void help(Index part, Poll& poll) { rows_->help(part, poll); }

  private:
    void run_groups(Poll& poll);
    Index most_steps(Index columns) const;
    bool advance(const Stretch& chunk, Poll& poll);
    void take_free_block(Index columns);
    Index first_output(const Stretch& chunk) const;
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
    Block<Real>* block_;  // the current one
    Block<Real>& own_;
    std::unique_ptr<SharedRows<Real>> rows_;  // null: the rows are not shared
    std::unique_ptr<Block<Real>> other_;      // in turn with own_, which helpers may still read
    Group<Real>& group_;
};

extern template std::vector<HalfRange> split_halves(const Network<float>&, Index);
extern template std::vector<HalfRange> split_halves(const Network<double>&, Index);
extern template class Channel<float>;
extern template class Channel<double>;
extern template class Stage<float>;
extern template class Stage<double>;

}  // namespace elman
