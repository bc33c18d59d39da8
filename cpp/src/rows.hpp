// rows.hpp - the rows of all halves of a block, shared by several threads.
//
// Used if there are fewer sequences than threads. Rows are independent of each other: a part of
// them has the same bits on any thread. In each step the leader, which owns the block, computes its
// own part, copies the parts of its helpers into the block, and raises a counter: the step is
// complete. Helpers read the states of the block and write to their own memory. A thread keeps its
// part for the whole call, so the weights of the part stay in its cache.
//
// The leader never sleeps. It waits for a part for at most 20 us; then it detaches all
// helpers: it computes their parts itself until they have caught up. If it computes too large a
// share of the work alone, it stops its helpers.
#pragma once

#include <memory>
#include <vector>

#include "block.hpp"
#include "threads.hpp"

namespace elman {

template <class Real>
class SharedRows {
  public:
    // For blocks of a whole network that runs forward, of at most `capacity` columns x steps, on
    // `threads` > 1 threads: a leader and its helpers. No half has fewer panels than threads.
    SharedRows(const Network<Real>& network, Index capacity, Index threads);

    // Called by the leader: Block::advance, and the readout of the states from the column
    // `first_output` on. Not while helpers may read the block.
    void advance(Block<Real>& block, Columns<const Real> x, Index count, Index steps,
                 Index first_output) noexcept;
    // Whether helpers may still read a block and its inputs.
    bool may_read(const Block<Real>& block) const noexcept {
        return chunk_.block == &block && !idle();
    }
    // Ends help(): no more rows are shared.
    void finish() noexcept;

    // Called by each helper: computes its part, 1 ... threads - 1, until the leader has finished or
    // the call is to end.
    void help(Index part, Poll& poll) noexcept;

  private:
    using Layer = typename Block<Real>::Layer;

    // The steps of all halves are numbered in order, from `start` + 1 on; `end` is the number of
    // the readout.
    struct Chunk {
        Block<Real>* block = nullptr;
        Columns<const Real> x;
        Index count = 0, steps = 0;
        Index first_output = 0;
        Index start = 0, end = 0;

        Index outputs() const { return count * steps - first_output; }
        // The number before the first step of a half.
        Index before(std::size_t half) const { return start + static_cast<Index>(half) * steps; }
        Layer layer(std::size_t half) const { return block->layer(half, x, count); }
    };
    struct Helper {
        Counter done;  // the number of the last step whose part is computed
        AlignedVector<Real> rows;
        OutputColumns<Real> outputs;
        bool attached = false;  // whether the leader waits for it
        Index hoisted = -1;     // before(half) of the half that the leader has hoisted for it
    };
    struct Part {
        Index first, last;  // rows
    };
    Part part_of(std::size_t half, Index part) const noexcept {
        return parts_[half * static_cast<std::size_t>(threads_) + static_cast<std::size_t>(part)];
    }
    Index outputs_of_each() const noexcept { return chunk_.outputs() / threads_; }
    // The states of the top half from those of an output on.
    Columns<const Real> states_of(Index output) const noexcept {
        const Layer top = chunk_.layer(chunk_.block->layers() - 1);
        return top.h.at(1).from(chunk_.first_output + output);
    }
    Columns<Real> column(Helper& helper, Index step) const noexcept {
        return {helper.rows.data() + (step - 1) * chunk_.count * stride_, stride_};
    }

    void hoist(const Layer& layer, Part part, Index step, Columns<Real> to) const noexcept;
    void recur(const Layer& layer, Part part, Index step, Columns<Real> h) const noexcept;

    bool idle() const noexcept;
    bool all_attached() const noexcept;
    void spend(Index work) noexcept;
    void begin_chunk(const Chunk& chunk) noexcept;
    void detach_all() noexcept;
    void unfold(std::size_t half) noexcept;
    bool advance_parts(const Layer& layer, std::size_t half, Index step) noexcept;
    void read_out() noexcept;
    bool help_unfold(std::size_t half, Index part, Poll& poll) noexcept;
    bool help_with(Index part, Poll& poll) noexcept;

    const Network<Real>& network_;
    const Kernels<Real>& kernels_;
    const Index threads_;
    Index stride_ = 0;         // of the helpers' columns
    std::vector<Part> parts_;  // of each half
    std::vector<std::unique_ptr<Helper>> helpers_;
    Counter complete_;  // the number of the last step of which the block has all rows
    Chunk chunk_;

    Index credit_;  // work that the leader may still do alone
    bool finished_ = false;
};

extern template class SharedRows<float>;
extern template class SharedRows<double>;

}  // namespace elman
