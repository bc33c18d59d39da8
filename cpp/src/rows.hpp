// rows.hpp - one block on several threads, which share the rows of every half.
//
// For fewer sequences than threads. Rows are independent: a part of them has the same bits wherever
// it is computed. At each step the leader, whose block it is, computes its part into the block,
// takes over the parts of its helpers, and tells them that the step is complete; they read the
// block, and write into memory of their own. A part is the same for the whole call, so its weights
// stay in its thread's cache.
//
// The leader never sleeps, and waits a few microseconds at most: if a part does not come, because
// the machine is busy, it computes that itself; if it is alone for too much of the work, it sends
// the helpers home. A helper that comes late, since it had to be woken, catches up.
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

    // The leader's Block::advance, which also reads out the states from the column `first_output`
    // on. Not while helpers hold the block.
    void advance(Block<Real>& block, Columns<const Real> x, Index count, Index steps,
                 Index first_output) noexcept;
    // Whether helpers may still read a block and its inputs.
    bool holds(const Block<Real>& block) const noexcept {
        return chunk_.block == &block && !ready();
    }
    // Sends the helpers home: no more rows are shared.
    void finish() noexcept;

    // Helps until the leader has finished, or the call is to end. `part` is 1 ... threads - 1.
    void help(Index part, Poll& poll) noexcept;

  private:
    using Layer = typename Block<Real>::Layer;

    // Every step of every half has a number, `start` + 1 and on; the last number, `end`, is that of
    // the outputs.
    struct Chunk {
        Block<Real>* block = nullptr;
        Columns<const Real> x;
        Index count = 0, steps = 0;
        Index first_output = 0;
        Index start = 0, end = 0;

        Index outputs() const { return count * steps - first_output; }
        // The number before those of the steps of a half.
        Index before(std::size_t half) const { return start + static_cast<Index>(half) * steps; }
        Layer layer(std::size_t half) const { return block->layer(half, x, count); }
    };
    struct Helper {
        Counter done;  // the number of the last step whose part is computed
        AlignedVector<Real> rows;
        OutputColumns<Real> outputs;
        bool joined = false;  // whether the leader may wait for it
        Index hoisted = -1;   // before(half) if the leader has hoisted this part of the half
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

    bool ready() const noexcept;
    bool joined() const noexcept;
    void spend(Index work) noexcept;
    void open(const Chunk& chunk) noexcept;
    void fetch(Columns<const Real> h, Index rows) const noexcept;
    void part_company() noexcept;
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
