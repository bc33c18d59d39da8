#include "block.hpp"

#include <algorithm>

#include "start_state.hpp"

namespace elman {
namespace {

// Columns x steps at a time: enough for a product to read its weights rarely, and for a batch to
// read several steps of each sequence at a time (8 steps: 55 % of the multiply-add peak at H = 64
// and 84 % at 256; 1 step: 53 % and 82 %), few enough for the L2 cache, and for a stream to be
// small.
constexpr Index kMostColumns = 64;
constexpr Index kSteps = 8;
constexpr Index kBytes = 512 * 1024;

template <class Real>
bool gives_outputs(const Network<Real>& network, HalfRange halves) {
    return halves.last == network.halves().size();
}

template <class Real>
Index capacity_of(const Network<Real>& network, HalfRange halves, Index columns, Index steps) {
    Index numbers = padded<Real>(network.halves()[halves.first].input_size);
    for (std::size_t h = halves.first; h < halves.last; ++h)
        numbers += padded<Real>(network.halves()[h].hidden_size);
    if (gives_outputs(network, halves)) numbers += padded<Real>(network.output_size());
    return columns_at_a_time(columns, steps, numbers * static_cast<Index>(sizeof(Real)));
}

}  // namespace

Index columns_at_a_time(Index columns, Index steps, Index bytes) {
    const Index wanted = std::min(kBytes / bytes, std::max(kMostColumns, kSteps * columns));
    return steps <= wanted / columns ? std::max<Index>(1, steps) * columns
                                     : std::max(columns, wanted);
}

template <class Real>
Block<Real>::Block(const Network<Real>& network, HalfRange halves, Index columns, Index steps)
    : network_(network),
      halves_(halves),
      capacity_(capacity_of(network, halves, columns, steps)),
      input_stride_(padded<Real>(network.halves()[halves.first].input_size)),
      inputs_(static_cast<std::size_t>(capacity_ * input_stride_)),
      outputs_(network, gives_outputs(network, halves) ? capacity_ : 0) {
    for (std::size_t h = halves.first; h < halves.last; ++h) {
        const Index size = network.halves()[h].hidden_size, stride = padded<Real>(size);
        const Index count = (columns + capacity_) * stride;
        memory_.push_back({AlignedVector<Real>(static_cast<std::size_t>(count)), size, stride});
    }
}

template <class Real>
void Block<Real>::start_column(Index column, const Real* given) noexcept {
    for (std::size_t h = 0; h < memory_.size(); ++h)
        start_state(given, network_.initial_state(), network_.halves()[halves_.first + h],
                    memory_[h].column(column));
}

template <class Real>
void Block<Real>::copy_state(Index n, Real* state) const noexcept {
    for (std::size_t h = 0; h < memory_.size(); ++h)
        copy_row(memory_[h].column(n), 1, state + network_.halves()[halves_.first + h].state, 1,
                 memory_[h].size);
}

// Advances the states at column `from`, in slots `step` columns apart.
template <class Real>
void Block<Real>::unfold(std::size_t half, Columns<const Real> x, Index from, Index step,
                         Index count, Index steps) noexcept {
    Memory& memory = memory_[half];
    const auto& weights = network_.weights(halves_.first + half);
    network_.kernels().unfold(weights.W_xh, weights.W_hh, weights.b_h, x,
                              {memory.column(from), memory.stride, step * memory.stride}, count,
                              steps, network_.halves()[halves_.first + half].activation);
}

template <class Real>
void Block<Real>::advance(Columns<const Real> x, Index count, Index steps) noexcept {
    for (std::size_t h = 0; h < memory_.size(); ++h) {
        Memory& memory = memory_[h];
        if (now_ != 0) std::copy_n(memory.column(now_), count * memory.stride, memory.column(0));
        unfold(h, x, 0, count, count, steps);
        x = {memory.column(count), memory.stride};
    }
    now_ = steps * count;
    count_ = count;
}

// Alternates between two slots, and so between the first and the last panel of the weights.
template <class Real>
void Block<Real>::step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept {
    const InputScaling<Real> scaling = network_.input_scaling();
    Columns<const Real> below{x, 0};
    if (!reads_as_it_is(scaling, x_stride)) {
        read_input(scaling, x, x_stride, inputs_.data(), network_.input_size());
        below = {inputs_.data(), 0};
    }
    const Index next = now_ == 0 ? 1 : 0;
    for (std::size_t h = 0; h < memory_.size(); ++h) {
        unfold(h, below, now_, next - now_, 1, 1);
        below = {memory_[h].column(next), 0};
    }
    now_ = next;
    outputs_.read_out(below, 1);
    outputs_.write(0, y, y_stride);
}

template class Block<float>;
template class Block<double>;

}  // namespace elman
