// pool.hpp - many sequences in real time: keeps their states, allocates nothing per step.
//
//   elman::StreamPool<float> pool(network, 1000);
//   if (!pool.step(x, y, {}, 1, pause)) ...              // x (1000, I), y (1000, O)
//   if (!pool.step(x, y, {rows, count}, 1, pause)) ...   // only these rows, x (count, I)
//
// N rows, each an independent sequence with the bits of a Stream. A call advances all rows it is
// for, or none.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "elman/busy.hpp"
#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/stream.hpp"
#include "elman/views.hpp"

namespace elman {

// The rows a call is for: all of them, or `count` distinct indices in any order.
struct PoolRows {
    PoolRows() = default;
    PoolRows(const Index* of_rows, Index how_many)
        : all(false), indices(of_rows), count(how_many) {}

    Index row(Index i) const { return all ? i : indices[i]; }

    bool all = true;
    const Index* indices = nullptr;
    Index count = 0;
};

// All functions throw std::invalid_argument for indices out of range or given twice, and
// std::bad_alloc, with nothing changed. Nothing changes if the pause is stopped either, other than
// what is returned.
template <class Real>
class StreamPool {
  public:
    // `size` rows in the network's initial state. Throws std::invalid_argument for a negative size,
    // null, and a network that does not run forward, and std::length_error for more rows than the
    // address space holds.
    StreamPool(std::shared_ptr<const Network<Real>> network, Index size,
               Nonfinite nonfinite = Nonfinite::raise);
    // Discard the pool if the pause was stopped.
    StreamPool(std::shared_ptr<const Network<Real>> network, Index size, Nonfinite nonfinite,
               Pause& pause);
    StreamPool(StreamPool& other, PoolRows rows, Pause& pause);  // copies the states of these rows
    StreamPool& operator=(const StreamPool&) = delete;
    ~StreamPool();

    const std::shared_ptr<const Network<Real>>& network() const { return network_; }
    Nonfinite nonfinite() const { return nonfinite_; }
    Index size() const { return size_; }  // N

    // One step of m rows: x (m, input_size), y (m, output_size). y may be x; otherwise they must
    // not overlap. Returns false, with no row changed, if a sample is refused or the pause is
    // stopped; y is unchanged in the first case and unspecified in the second. On one thread it
    // allocates nothing. (By value, the structs are copied in pieces that a processor cannot
    // forward: up to 8 ns of a step of one row.)
    [[nodiscard]] bool step(const Rows<const Real>& x, const Rows<Real>& y, const PoolRows& rows,
                            Index threads, Pause& pause);

    // Many steps of m rows: x (m, steps, input_size), y (m, steps, output_size), which must not
    // overlap; lengths (m,), each 0 ... steps, or null: all steps. Further steps have the output 0.
    // Returns false as step does. Takes working memory.
    [[nodiscard]] bool run(const SequencesView<const Real>& x, const SequencesView<Real>& y,
                           Index steps, const Index* lengths, PoolRows rows, Index threads,
                           Pause& pause);

    // The first value of the last refused call that is not finite for the first layer, as it was
    // given: sample `i` of the call is for row `row`.
    struct Refused {
        Index i = 0, row = 0, step = 0, feature = 0;
        Real value = 0;
    };
    const Refused& refused() const noexcept { return refused_; }

    // The states after the last step, (m, state_size).
    void get_state(Real* states, PoolRows rows, Pause& pause);
    void set_state(const Real* states, PoolRows rows, Pause& pause);
    void reset(PoolRows rows, Pause& pause);  // to the network's initial state

    // To change the number of rows: copies the states of the first rows of another pool of the same
    // network, as many as both have, and exchanges all rows with it.
    void copy_from(StreamPool& other, Pause& pause);
    void swap(StreamPool& other) noexcept;

    // Continues with another network of the same sizes. Throws std::invalid_argument for others,
    // for null, and for a network that does not run forward.
    void set_network(std::shared_ptr<const Network<Real>> network);

    // The bytes of this object and of the memory it owns, without the network.
    Index bytes() const noexcept;

    // As for a stream: the pool itself never checks it.
    Busy& busy() noexcept { return busy_; }
    const Busy& busy() const noexcept { return busy_; }

  private:
    struct Call {  // of step
        const Rows<const Real>& x;
        const Rows<Real>& y;
        const Index* rows;  // null: all in order
        Index count;
    };
    struct Worker;  // the scratch of one thread
    using Workers = std::vector<std::unique_ptr<Worker>>;

    // The states of one half, as columns: those of all rows now and after the step, in turns, then
    // columns for the gathered states of each thread.
    struct Memory {
        AlignedVector<Real> numbers;
        Index stride, state, size;  // `size` numbers from `state` of a row's state

        Real* column(Index n) { return numbers.data() + n * stride; }
    };

    Index check(const PoolRows& rows);
    void mark(const PoolRows& rows);
    [[gnu::noinline, gnu::cold]] void refuse_row(Index row) const;
    [[gnu::cold]] void copy_rows(StreamPool& other, PoolRows rows, Index count, Pause& pause);
    void start(const Real* given, const PoolRows& rows, Index count, Pause& pause);
    [[gnu::cold]] void make_workers(Index count, Pause& pause);
    [[gnu::noinline, gnu::cold]] void refuse_sample(Rows<const Real> x, Index i, Index row,
                                                    Index step) noexcept;
    bool refuses(const Call& call, Index first, Index last) noexcept;
    bool refuses(const Call& call, Pause& pause) noexcept;
    bool refuses_chunk(const SequencesView<const Real>& x, Index steps, const Index* lengths,
                       PoolRows rows, Index count, Pause& pause) noexcept;
    std::vector<unsigned char> mask_of(const SequencesView<const Real>& x, Index steps,
                                       const Index* lengths, Index count, Pause& pause);
    void advance(const Call& call, Index threads, Pause& pause);
    void advance_block(const Call& call, Index first, Index count, Index worker) noexcept;
    Real* gather(Memory& memory, const Index* rows, Index count, Index worker) noexcept;
    void commit(const Index* rows, Index count) noexcept;

    std::shared_ptr<const Network<Real>> network_;
    const Nonfinite nonfinite_;
    Index size_;
    Index block_ = 1;  // rows at a time
    Index now_ = 0;    // the column of the first row's state: 0 or size_
    std::vector<Memory> memory_;
    Workers workers_;
    std::vector<std::uint32_t> marks_;  // of each row: the last call that named it
    std::uint32_t mark_ = 0;
    Busy busy_;
    Refused refused_;
};

extern template class StreamPool<float>;
extern template class StreamPool<double>;

}  // namespace elman
