#include "elman/pool.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "arenas.hpp"
#include "block.hpp"
#include "elman/sequence.hpp"
#include "start_state.hpp"
#include "streaming.hpp"
#include "threads.hpp"

namespace elman {
namespace {

// Rows at a time. (48, 192 and 384: 0.97 to 1.07 times as long for 256 and 4096 rows, with
// AVX-512.)
constexpr Index kBlockRows = kGroup;

template <class Real>
std::string sizes_of(const Network<Real>& network) {
    std::string list = std::to_string(network.input_size()) + " -> ";
    for (const Half& half : network.halves()) list += std::to_string(half.hidden_size) + " -> ";
    return list + std::to_string(network.output_size());
}

// Half of the address space is for the states, the rest for scratch.
template <class Real>
void check_addressable(const Network<Real>& network, Index size) {
    constexpr Index numbers = std::numeric_limits<Index>::max() / Index(sizeof(Real));
    for (const Half& half : network.halves())
        if (size > numbers / 4 / padded<Real>(half.hidden_size))
            throw std::length_error("n: " + std::to_string(size) +
                                    " rows are more than memory can address");
}

}  // namespace

template <class Real>
struct StreamPool<Real>::Worker {
    Worker(const Network<Real>& network, Index rows)
        : stride(padded<Real>(network.input_size())),
          inputs(static_cast<std::size_t>(rows * stride)),
          held(static_cast<std::size_t>(rows)),
          outputs(network, rows) {}

    // The inputs of the first layer: the rows of x themselves, or scaled copies.
    Columns<const Real> read(const Network<Real>& network, Rows<const Real> x, Index count) {
        const InputScaling<Real> scaling = network.input_scaling();
        if (reads_as_it_is(scaling, x.stride)) return {x.data, x.step_stride};
        const Columns<Real> to{inputs.data(), stride};
        for (Index i = 0; i < count; ++i)
            read_input(scaling, x.row(i), x.stride, to.column(i), network.input_size());
        return to;
    }

    // Marks the inputs that are not finite; returns whether there are any.
    bool mark_held(Columns<const Real> x, Index size, Index count) {
        if (x.stride == size && all_finite(x.data, count * size)) return false;
        bool any = false;
        for (Index i = 0; i < count; ++i) {
            const bool hold = !all_finite(x.column(i), size);
            held[static_cast<std::size_t>(i)] = hold;
            any = any || hold;
        }
        return any;
    }

    const Index stride;
    AlignedVector<Real> inputs;
    std::vector<unsigned char> held;
    OutputColumns<Real> outputs;
};

// --- the rows ---

template <class Real>
StreamPool<Real>::StreamPool(std::shared_ptr<const Network<Real>> network, Index size,
                             Nonfinite nonfinite)
    : StreamPool(std::move(network), size, nonfinite, *std::make_unique<Pause>()) {}

template <class Real>
StreamPool<Real>::StreamPool(std::shared_ptr<const Network<Real>> network, Index size,
                             Nonfinite nonfinite, Pause& pause)
    : network_(std::move(network)), nonfinite_(nonfinite), size_(size) {
    streamable(network_.get());
    check_at_least("size", 0, size);
    check_addressable(*network_, size);
    block_ = std::clamp<Index>(size, 1, kBlockRows);
    for (const Half& half : network_->halves())
        memory_.push_back({{}, padded<Real>(half.hidden_size), half.state, half.hidden_size});
    make_workers(1, pause);
    marks_.resize(static_cast<std::size_t>(size));
    if (!pause.stopped()) reset({}, pause);
}

template <class Real>
StreamPool<Real>::StreamPool(StreamPool& other, PoolRows rows, Pause& pause)
    : StreamPool(other.network_, rows.all ? other.size_ : rows.count, other.nonfinite_, pause) {
    copy_rows(other, rows, other.check(rows), pause);
}

template <class Real>
StreamPool<Real>::~StreamPool() = default;

// Copies the states of the first `count` of these rows to the first ones of this pool.
template <class Real>
void StreamPool<Real>::copy_rows(StreamPool& other, PoolRows rows, Index count, Pause& pause) {
    for (std::size_t h = 0; h < memory_.size(); ++h) {
        const Index stride = memory_[h].stride;
        in_pieces(count, stride * kNumberWork, pause, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i)
                std::copy_n(other.memory_[h].column(other.now_ + rows.row(i)), stride,
                            memory_[h].column(now_ + i));
        });
    }
}

template <class Real>
void StreamPool<Real>::copy_from(StreamPool& other, Pause& pause) {
    copy_rows(other, {}, std::min(size_, other.size_), pause);
}

template <class Real>
void StreamPool<Real>::swap(StreamPool& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(block_, other.block_);
    std::swap(now_, other.now_);
    memory_.swap(other.memory_);
    workers_.swap(other.workers_);
    marks_.swap(other.marks_);
    std::swap(mark_, other.mark_);
}

template <class Real>
void StreamPool<Real>::set_network(std::shared_ptr<const Network<Real>> network) {
    const std::string expected = sizes_of(*network_), found = sizes_of(streamable(network.get()));
    if (found != expected) refuse("network", "the sizes " + expected, found);
    Workers workers;
    for (std::size_t i = 0; i < workers_.size(); ++i)
        workers.push_back(std::make_unique<Worker>(*network, block_));
    workers_.swap(workers);
    network_.swap(network);
}

// Makes the scratch of at least `count` threads.
template <class Real>
void StreamPool<Real>::make_workers(Index count, Pause& pause) {
    const Index columns = 2 * size_ + count * block_;
    for (Memory& memory : memory_) grow(memory.numbers, columns * memory.stride, pause);
    while (static_cast<Index>(workers_.size()) < count)
        workers_.push_back(std::make_unique<Worker>(*network_, block_));
}

template <class Real>
void StreamPool<Real>::refuse_row(Index row) const {
    if (size_ == 0) refuse("rows", "none of a pool without rows", std::to_string(row));
    check_within("rows", 0, size_ - 1, row);
}

// Checks the indices and returns the number of rows. In ascending order, as those of a mask, they
// are distinct.
template <class Real>
inline Index StreamPool<Real>::check(const PoolRows& rows) {
    if (rows.all) return size_;
    Index ascending = 0, last = -1;
    while (ascending < rows.count && rows.indices[ascending] > last)
        last = rows.indices[ascending++];
    if (ascending < rows.count || last >= size_) mark(rows);
    return rows.count;
}

// Marks each row, and refuses one that is marked.
template <class Real>
void StreamPool<Real>::mark(const PoolRows& rows) {
    if (++mark_ == 0) {
        std::fill(marks_.begin(), marks_.end(), 0);
        mark_ = 1;
    }
    for (Index i = 0; i < rows.count; ++i) {
        const Index row = rows.indices[i];
        if (row < 0 || row >= size_) refuse_row(row);
        std::uint32_t& mark = marks_[static_cast<std::size_t>(row)];
        if (mark == mark_) refuse("rows", "distinct indices", std::to_string(row) + " twice");
        mark = mark_;
    }
}

// --- the states ---

// Starts these rows in the states `given` (count, state_size), or null: in the network's initial
// state. As in a step, they are first written to the columns of the next step.
template <class Real>
void StreamPool<Real>::start(const Real* given, const PoolRows& rows, Index count, Pause& pause) {
    if (count == 0) return;  // the indices of no rows may be null, which are all rows to commit
    const Index size = network_->state_size();
    in_pieces(count, size * kNumberWork, pause, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i)
            for (Memory& memory : memory_)
                start_state(given ? given + i * size : nullptr, network_->initial_state(),
                            memory.state, memory.size, memory.column(size_ - now_ + i));
    });
    if (!pause.stopped()) commit(rows.all ? nullptr : rows.indices, count);
}

template <class Real>
void StreamPool<Real>::get_state(Real* states, PoolRows rows, Pause& pause) {
    const Index count = check(rows), size = network_->state_size();
    for (Memory& memory : memory_)
        in_pieces(count, memory.size * kNumberWork, pause, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i)
                std::copy_n(memory.column(now_ + rows.row(i)), memory.size,
                            states + i * size + memory.state);
        });
}

template <class Real>
void StreamPool<Real>::set_state(const Real* states, PoolRows rows, Pause& pause) {
    start(states, rows, check(rows), pause);
}

template <class Real>
void StreamPool<Real>::reset(PoolRows rows, Pause& pause) {
    start(nullptr, rows, check(rows), pause);
}

template <class Real>
Index StreamPool<Real>::bytes() const noexcept {
    Index numbers = 0;
    for (const Memory& memory : memory_) numbers += static_cast<Index>(memory.numbers.size());
    for (const auto& worker : workers_)
        numbers += static_cast<Index>(worker->inputs.size()) + worker->outputs.size();
    const std::size_t objects =
        sizeof *this + memory_.size() * sizeof(Memory) +
        workers_.size() * (sizeof(Worker) + static_cast<std::size_t>(block_)) +
        marks_.size() * sizeof mark_;
    return static_cast<Index>(objects) + numbers * static_cast<Index>(sizeof(Real));
}

// --- samples that are not finite ---

template <class Real>
void StreamPool<Real>::refuse_sample(Rows<const Real> x, Index i, Index row, Index step) noexcept {
    const Real* input = workers_[0]->read(*network_, x.from(step), 1).data;
    const Index feature = first_nonfinite(input, network_->input_size());
    refused_ = {i, row, step, feature, x.row(step)[feature * x.stride]};
}

// Whether one of the samples [first, last) is refused.
template <class Real>
inline bool StreamPool<Real>::refuses(const Call& call, Index first, Index last) noexcept {
    const Index i = first + finite_rows(*network_, call.x.from(first), last - first,
                                        workers_[0]->inputs.data());
    if (i == last) return false;
    refuse_sample(call.x.from(i), i, call.rows ? call.rows[i] : i, 0);
    return true;
}

template <class Real>
inline bool StreamPool<Real>::refuses(const Call& call, Pause& pause) noexcept {
    if (call.count <= block_) return refuses(call, 0, call.count);
    bool refused = false;
    in_pieces(call.count, network_->input_size(), pause,
              [&](Index first, Index last) { refused = refused || refuses(call, first, last); });
    return refused;
}

// The same for x (count, steps, input_size).
template <class Real>
bool StreamPool<Real>::refuses_chunk(const SequencesView<const Real>& x, Index steps,
                                     const Index* lengths, PoolRows rows, Index count,
                                     Pause& pause) noexcept {
    bool refused = false;
    for (Index i = 0; i < count && !refused && !pause.stopped(); ++i) {
        const Rows<const Real> samples = x.sequence(i);
        const Index length = lengths ? lengths[i] : steps;
        in_pieces(length, network_->input_size(), pause, [&](Index first, Index last) {
            if (refused) return;
            const Index step = first + finite_rows(*network_, samples.from(first), last - first,
                                                   workers_[0]->inputs.data());
            refused = step < last;
            if (refused) refuse_sample(samples, i, rows.row(i), step);
        });
    }
    return refused;
}

// A mask of the steps of x (count, steps, input_size) that are computed; empty if all are finite.
template <class Real>
std::vector<unsigned char> StreamPool<Real>::mask_of(const SequencesView<const Real>& x,
                                                     Index steps, const Index* lengths, Index count,
                                                     Pause& pause) {
    std::vector<unsigned char> mask(static_cast<std::size_t>(count * steps));
    bool any = false;
    for (Index i = 0; i < count && !pause.stopped(); ++i) {
        const Rows<const Real> samples = x.sequence(i);
        unsigned char* const of_row = mask.data() + i * steps;
        const Index length = lengths ? lengths[i] : steps;
        in_pieces(length, network_->input_size(), pause, [&](Index first, Index last) {
            std::fill(of_row + first, of_row + last, 1);
            for (Index step = first; step < last; ++step) {
                step += finite_rows(*network_, samples.from(step), last - step,
                                    workers_[0]->inputs.data());
                if (step == last) break;
                of_row[step] = 0;
                any = true;
            }
        });
    }
    return any ? std::move(mask) : std::vector<unsigned char>();
}

// --- steps ---

template <class Real>
inline void StreamPool<Real>::advance(const Call& call, Index threads, Pause& pause) {
    const Index count = call.count;
    if (count <= block_) return advance_block(call, 0, count, 0);
    const Index work = work_of_step(*network_), blocks = (count + block_ - 1) / block_;
    const auto part = [&](Index from, Index to, Index worker, Poll poll) {
        for (Index block = from; block < to && poll.go_on(0); ++block) {
            const Index first = block * block_, rows_of_block = std::min(block_, count - first);
            advance_block(call, first, rows_of_block, worker);
            poll.go_on(rows_of_block * work);
        }
    };
    const Index useful = useful_threads(threads, blocks, count * work);
    if (useful == 1) return part(0, blocks, 0, Poll(pause));
    make_workers(useful, pause);
    if (pause.stopped()) return;
    Team team(useful);
    const Index parts = team.size();
    const auto share = [&](Index i) {
        part(blocks * i / parts, blocks * (i + 1) / parts, i, Poll(pause, i == 0));
    };
    team.run(parts, share, pause, true);
}

// A step of the rows [first, first + count) of the call. The new states go to the columns of the
// next step: all rows to their own, others in the order of the call.
template <class Real>
void StreamPool<Real>::advance_block(const Call& call, Index first, Index count,
                                     Index worker) noexcept {
    const Index* const rows = call.rows;
    const Network<Real>& network = *network_;
    Worker& scratch = *workers_[static_cast<std::size_t>(worker)];
    Columns<const Real> below = scratch.read(network, call.x.from(first), count);
    const bool holds =
        nonfinite_ == Nonfinite::hold && scratch.mark_held(below, network.input_size(), count);
    for (std::size_t h = 0; h < memory_.size(); ++h) {
        Memory& memory = memory_[h];
        const auto& [W_xh, W_hh, b_h] = network.weights(h);
        Real* const now =
            rows ? gather(memory, rows + first, count, worker) : memory.column(now_ + first);
        Real* const next = memory.column(size_ - now_ + first);
        network.kernels().unfold(W_xh, W_hh, b_h, below, {now, memory.stride, next - now}, count, 1,
                                 network.halves()[h].activation);
        for (Index i = 0; holds && i < count; ++i)
            if (scratch.held[static_cast<std::size_t>(i)])
                std::copy_n(now + i * memory.stride, memory.stride, next + i * memory.stride);
        below = {next, memory.stride};
    }
    if (count == 1)
        scratch.outputs.read_out_one(below);
    else
        scratch.outputs.read_out(below, count);
    for (Index i = 0; i < count; ++i)
        scratch.outputs.write(i, call.y.row(first + i), call.y.stride);
}

// Copies the states of a block's rows to the scratch of a thread.
template <class Real>
Real* StreamPool<Real>::gather(Memory& memory, const Index* rows, Index count,
                               Index worker) noexcept {
    const Columns<Real> to{memory.column(2 * size_ + worker * block_), memory.stride};
    network_->kernels().gather({memory.column(now_), memory.stride}, rows, count, to);
    return to.data;
}

// Makes the next states of these rows, null: all, the current ones. (Block by block, with the
// states before kept to be put back: 1.00 times as long.)
template <class Real>
inline void StreamPool<Real>::commit(const Index* rows, Index count) noexcept {
    if (!rows) {
        now_ = size_ - now_;
        return;
    }
    for (Memory& memory : memory_)
        network_->kernels().scatter({memory.column(size_ - now_), memory.stride}, rows, count,
                                    {memory.column(now_), memory.stride});
}

template <class Real>
bool StreamPool<Real>::step(const Rows<const Real>& x, const Rows<Real>& y, const PoolRows& rows,
                            Index threads, Pause& pause) {
    check_at_least("threads", 1, threads);
    const Index count = check(rows);
    if (count == 0) return !pause.stopped();
    const bool all =
        rows.all || (count == size_ && std::is_sorted(rows.indices, rows.indices + count));
    const Call call{x, y, all ? nullptr : rows.indices, count};
    if (nonfinite_ == Nonfinite::raise && refuses(call, pause)) return false;
    advance(call, threads, pause);
    if (pause.stopped()) return false;
    commit(call.rows, count);
    return true;
}

template <class Real>
bool StreamPool<Real>::run(const SequencesView<const Real>& x, const SequencesView<Real>& y,
                           Index steps, const Index* lengths, PoolRows rows, Index threads,
                           Pause& pause) {
    const Index count = check(rows), size = network_->state_size();
    check_at_least("steps", 0, steps);
    check_view("x", x, count, steps > 0);
    for (Index i = 0; lengths && i < count; ++i) check_within("lengths", 0, steps, lengths[i]);
    if (nonfinite_ == Nonfinite::raise && refuses_chunk(x, steps, lengths, rows, count, pause))
        return false;
    std::vector<unsigned char> mask;
    if (nonfinite_ == Nonfinite::hold) mask = mask_of(x, steps, lengths, count, pause);
    AlignedVector<Real> states = zeros<Real>(2 * count * size, pause);
    if (pause.stopped()) return false;
    Real* const next = states.data() + count * size;
    get_state(states.data(), rows, pause);

    SequenceTask<Real> task;
    task.sequences = count;
    task.steps = steps;
    task.x = x;
    task.output = y;
    task.state = states.data();
    task.final_state = next;
    task.lengths = mask.empty() ? lengths : nullptr;
    task.mask = mask.empty() ? nullptr : mask.data();
    task.hold_outputs = true;
    run_sequences(*network_, task, threads, pause);
    const Index output_size = network_->output_size();
    for (Index i = 0; task.mask && lengths && i < count && !pause.stopped(); ++i)
        in_pieces(steps - lengths[i], output_size * kNumberWork, pause,
                  [&](Index first, Index last) {
                      for (Index step = lengths[i] + first; step < lengths[i] + last; ++step)
                          zero_row(y.sequence(i).row(step), y.stride, output_size);
                  });
    if (!pause.stopped()) start(next, rows, count, pause);
    return !pause.stopped();
}

template class StreamPool<float>;
template class StreamPool<double>;

}  // namespace elman
