// rows.hpp - one block on several threads, which share the rows of every half.
//
// For fewer sequences than threads. Rows are independent: a part of them has the same bits wherever
// it is computed. At each step the leader, whose block it is, computes its part into the block,
// takes over the parts of its helpers, and tells them that the step is complete; they read the
// block, and write into memory of their own. A part is the same for the whole call, so its weights
// stay in its thread's cache.
//
// The leader never sleeps, and waits a few microseconds at most: if a part does not come, because
// the machine is busy, it computes the rest of the chunk alone, and then more and more work before
// it tries again. A helper that comes late, since it had to be woken, catches up.
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
    // The leader's last call: sends the helpers home.
    void finish() noexcept;

    // Helps until the leader has finished, or the call is to end. `part` is 1 ... threads - 1.
    void help(Index part, Poll& poll) noexcept;

  private:
    // Every step of every half has a number, `start` + 1 and on; the last number, `end`, is that of
    // the outputs.
    struct Chunk {
        Block<Real>* block = nullptr;
        Columns<const Real> x;
        Index count = 0, steps = 0;
        Index first_output = 0;
        Index start = 0, end = 0;

        Index outputs() const { return count * steps - first_output; }
    };
    struct Helper {
        Counter done;  // the number of the last step whose part is computed
        AlignedVector<Real> rows;
        OutputColumns<Real> outputs;
        bool joined = false;  // whether the leader may wait for it
    };
    struct Part {
        Index first, last;  // rows
    };
    using Layer = typename Block<Real>::Layer;

    Part part_of(const Layer& layer, Index part) const noexcept {
        const Index rows = layer.weights.W_hh.rows;
        return {kernels_.cut(rows, part, threads_), kernels_.cut(rows, part + 1, threads_)};
    }
    Index outputs_of_each() const noexcept { return chunk_.outputs() / threads_; }
    // The states of the top half from those of an output on.
    Columns<const Real> states_of(Index output) const noexcept {
        const Layer top = chunk_.block->layer(chunk_.block->layers() - 1, {}, chunk_.count);
        return top.h.at(1).from(chunk_.first_output + output);
    }
    Columns<Real> column(Helper& helper, Index step) const noexcept {
        return {helper.rows.data() + (step - 1) * chunk_.count * stride_, stride_};
    }

    void hoist(const Layer& layer, Part part, Index step, Columns<Real> to) const noexcept;
    void recur(const Layer& layer, Part part, Index step, Columns<Real> h) const noexcept;

    bool ready() const noexcept;
    bool joined() const noexcept;
    void open(const Chunk& chunk) noexcept;
    void part_company() noexcept;
    void go_alone() noexcept;
    void unfold(const Layer& layer, Index start) noexcept;
    bool take_parts(const Layer& layer, Index step, Index number) noexcept;
    void read_out() noexcept;
    bool help_unfold(const Layer& layer, Index start, Index part, Poll& poll) noexcept;
    bool help_with(Index part, Poll& poll) noexcept;

    const Network<Real>& network_;
    const Kernels<Real>& kernels_;
    const Index threads_;
    Index stride_ = 0;  // of the helpers' columns
    std::vector<std::unique_ptr<Helper>> helpers_;
    Counter complete_;  // the number of the last step of which the block has all rows
    Chunk chunk_;

    bool shared_ = false;        // whether the helpers' parts of this chunk are still wanted
    Index alone_ = 0;            // work to do alone before the next attempt
    Index rest_;                 // what that was the last time
    Index together_ = 0;         // work since the last attempt
};

extern template class SharedRows<float>;
extern template class SharedRows<double>;

}  // namespace elman
