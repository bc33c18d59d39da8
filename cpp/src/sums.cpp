#include "elman/sums.hpp"

#include <algorithm>

#include "block.hpp"
#include "checks.hpp"
#include "threads.hpp"

namespace elman {
namespace {

// Calls some(first, last, poll) for ranges of the columns on several threads.
template <class Some>
void divide_columns(Index count, Index work, Index threads, Pause& pause, Some some) {
    check_at_least("threads", 1, threads);
    const Index shares = (count + kMostColumns - 1) / kMostColumns;
    const double total = static_cast<double>(count) * static_cast<double>(work);
    Team team(useful_threads(threads, shares, static_cast<Index>(std::min(total, 0x1p62))));
    const Index parts = team.size(), each = count / parts, more = count % parts;
    const auto begin = [&](Index part) { return part * each + std::min(part, more); };
    const auto compute = [&](Index part) {
        some(begin(part), begin(part + 1), Poll(pause, part == 0));
    };
    team.run(parts, compute, pause, true);
}

template <class Real>
AlignedVector<Real> numbers_for(Index columns, Index stride) {
    return AlignedVector<Real>(static_cast<std::size_t>(columns * stride));
}

template <class Real>
Index chunk_of(Index rows, Index count) {
    return columns_at_a_time(1, count, padded<Real>(rows) * static_cast<Index>(sizeof(Real)));
}

// Writes columns side by side, from column n of `to` on.
template <class Real>
void write_columns(Columns<const Real> columns, Index rows, Index n, Index count, Real* to) {
    for (Index i = 0; i < count; ++i) copy_row(columns.column(i), 1, to + (n + i) * rows, 1, rows);
}

// The states before the steps of the columns from n on.
template <class Real>
void gather_before(const HalfSums<Real>& task, const Half& half, Index n, Index count,
                   Columns<Real> to) {
    Index sequence = n / task.steps, step = n % task.steps;
    for (Index i = 0; i < count; ++i) {
        const bool first = step == (half.reverse ? task.steps - 1 : 0);
        const Index before = n + i + (half.reverse ? 1 : -1);
        copy_row(first ? task.start.column(sequence) : task.h.column(before), 1, to.column(i), 1,
                 half.hidden_size);
        if (++step < task.steps) continue;
        step = 0;
        ++sequence;
    }
}

// The sums of the columns [first, last) of half a layer.
template <class Real>
void compute_some(const Network<Real>& network, const HalfSums<Real>& task, Index first, Index last,
                  Poll poll) {
    const Half& half = network.halves()[task.half];
    const auto& [W_xh, W_hh, b_h] = network.weights(task.half);
    const Index H = half.hidden_size, stride = padded<Real>(H),
                most = chunk_of<Real>(H, last - first);
    AlignedVector<Real> numbers = numbers_for<Real>(2 * most + 1, stride);
    const Columns<Real> sums{numbers.data(), stride}, before = sums.from(most);
    const Columns<const Real> zeros{sums.column(2 * most), 0};
    const auto product = network.kernels().product;
    for (Index count, n = first; n < last; n += count) {
        count = std::min(most, last - n);
        if (task.a || task.recurrent) gather_before(task, half, n, count, before);
        if (task.a || task.u) product(W_xh, {b_h, 0}, task.x.from(n), sums, count, kIdentity);
        if (task.u) write_columns<Real>(sums, H, n, count, task.u);
        if (task.a) {
            product(W_hh, sums, before, sums, count, kIdentity);
            write_columns<Real>(sums, H, n, count, task.a);
        }
        if (task.recurrent) {
            product(W_hh, zeros, before, sums, count, kIdentity);
            write_columns<Real>(sums, H, n, count, task.recurrent);
        }
        if (!poll.go_on(count * (half.multiply_adds() + kNumberWork * H))) return;
    }
}

}  // namespace

template <class Real>
void compute_sums(const Network<Real>& network, const HalfSums<Real>& task, Index threads,
                  Pause& pause) {
    check_within("half", 0, static_cast<Index>(network.halves().size()) - 1,
                 static_cast<Index>(task.half));
    check_at_least("sequences", 0, task.sequences);
    check_at_least("steps", 0, task.steps);
    const Half& half = network.halves()[task.half];
    divide_columns(task.sequences * task.steps, half.multiply_adds(), threads, pause,
                   [&](Index first, Index last, Poll poll) {
                       compute_some(network, task, first, last, poll);
                   });
}

template <class Real>
void compute_readout_sums(const Network<Real>& network, Columns<const Real> top, Index count,
                          Real* a, Index threads, Pause& pause) {
    if (!network.readout()) refuse("network", "a readout", "none");
    check_at_least("count", 0, count);
    const PackedMatrix<Real>& W = network.W_hy();
    const Index work = W.rows * (W.cols + kNumberWork), stride = padded<Real>(W.rows);
    const auto compute = [&](Index first, Index last, Poll poll) {
        const Index most = chunk_of<Real>(W.rows, last - first);
        AlignedVector<Real> numbers = numbers_for<Real>(most, stride);
        const Columns<Real> sums{numbers.data(), stride};
        for (Index some, n = first; n < last; n += some) {
            some = std::min(most, last - n);
            network.kernels().product(W, {network.b_y(), 0}, top.from(n), sums, some, kIdentity);
            write_columns<Real>(sums, W.rows, n, some, a);
            if (!poll.go_on(some * work)) return;
        }
    };
    divide_columns(count, work, threads, pause, compute);
}

#define ELMAN_INSTANTIATE_SUMS(Real)                                                            \
    template void compute_sums(const Network<Real>&, const HalfSums<Real>&, Index, Pause&);     \
    template void compute_readout_sums(const Network<Real>&, Columns<const Real>, Index, Real*, \
                                       Index, Pause&);
ELMAN_INSTANTIATE_SUMS(float)
ELMAN_INSTANTIATE_SUMS(double)
#undef ELMAN_INSTANTIATE_SUMS

}  // namespace elman
