#include "elman/sums.hpp"

#include <algorithm>

#include "block.hpp"
#include "checks.hpp"
#include "threads.hpp"

namespace elman {
namespace {

// A matrix, and what its sums start from: (rows,), padded; null for zeros.
template <class Real>
struct Affine {
    PackedMatrix<Real> W;
    const Real* bias;
};

template <class Real>
Affine<Real> affine_of(const Network<Real>& network, const std::string& name) {
    if (network.readout() && name == "readout.W_hy") return {network.W_hy(), network.b_y()};
    const Architecture& architecture = network.architecture();
    std::size_t half = 0;
    for (std::size_t l = 0; l < architecture.layers.size(); ++l)
        for (const std::string& prefix : architecture.prefixes(l)) {
            const auto& [W_xh, W_hh, b_h] = network.weights(half++);
            if (name == prefix + "W_xh") return {W_xh, b_h};
            if (name == prefix + "W_hh") return {W_hh, nullptr};
        }
    refuse("matrix", "the name of a matrix of the network", "'" + name + "'");
}

// The sums of the columns [first, last).
template <class Real>
void compute_some(const Network<Real>& network, const SumsTask<Real>& task, Index first, Index last,
                  Poll poll) {
    const Affine<Real> affine = affine_of(network, task.matrix);
    const Index rows = affine.W.rows, cols = affine.W.cols, stride = padded<Real>(rows);
    const Index most =
        columns_at_a_time(1, last - first, stride * static_cast<Index>(sizeof(Real)));
    AlignedVector<Real> numbers(static_cast<std::size_t>((most + 1) * stride));
    const Columns<Real> y{numbers.data(), stride};
    const Real* const zeros = y.column(most);
    const Columns<const Real> bias{affine.bias ? affine.bias : zeros, 0};
    const Columns<const Real> start = task.start ? Columns<const Real>(y) : bias;
    for (Index count, n = first; n < last; n += count) {
        count = std::min(most, last - n);
        if (task.start)
            for (Index i = 0; i < count; ++i)
                copy_row(task.start + (n + i) * rows, 1, y.column(i), 1, rows);
        network.kernels().product(affine.W, start, {task.x + n * cols, cols}, y, count, kIdentity);
        for (Index i = 0; i < count; ++i)
            copy_row(y.column(i), 1, task.sums + (n + i) * rows, 1, rows);
        if (!poll.go_on(count * rows * (cols + kNumberWork))) return;
    }
}

}  // namespace

template <class Real>
PackedMatrix<Real> matrix_of(const Network<Real>& network, const std::string& name) {
    return affine_of(network, name).W;
}

template <class Real>
void compute_sums(const Network<Real>& network, const SumsTask<Real>& task, Index threads,
                  Pause& pause) {
    check_at_least("threads", 1, threads);
    check_at_least("count", 0, task.count);
    const PackedMatrix<Real> W = matrix_of(network, task.matrix);
    const Index shares = (task.count + kMostColumns - 1) / kMostColumns;
    const Index work = W.rows * (W.cols + kNumberWork);
    const double total = static_cast<double>(task.count) * static_cast<double>(work);
    Team team(useful_threads(threads, shares, static_cast<Index>(std::min(total, 0x1p62))));
    const Index parts = team.size(), each = task.count / parts, more = task.count % parts;
    const auto begin = [&](Index part) { return part * each + std::min(part, more); };
    const auto compute = [&](Index part) {
        compute_some(network, task, begin(part), begin(part + 1), Poll(pause, part == 0));
    };
    team.run(parts, compute, pause, true);
}

template PackedMatrix<float> matrix_of(const Network<float>&, const std::string&);
template PackedMatrix<double> matrix_of(const Network<double>&, const std::string&);
template void compute_sums(const Network<float>&, const SumsTask<float>&, Index, Pause&);
template void compute_sums(const Network<double>&, const SumsTask<double>&, Index, Pause&);

}  // namespace elman
