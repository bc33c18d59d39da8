#include "block.hpp"

#include <algorithm>
#include <utility>

#include "start_state.hpp"

namespace elman {
namespace {

constexpr Index kBytes = 512 * 1024;

template <class Real>
bool gives_outputs(const Network<Real>& network, HalfRange halves) {
    return halves.last == network.halves().size();
}

}  // namespace

Index columns_at_a_time(Index columns, Index steps, Index bytes) {
    const Index wanted = std::min(kBytes / bytes, std::max(kMostColumns, kSteps * columns));
    return steps <= wanted / columns ? std::max<Index>(1, steps) * columns
                                     : std::max(columns, wanted);
}

template <class Real>
Index capacity_of(const Network<Real>& network, HalfRange halves, Index columns, Index steps) {
    Index numbers = padded<Real>(network.halves()[halves.first].input_size);
    for (std::size_t h = halves.first; h < halves.last; ++h)
        numbers += padded<Real>(network.halves()[h].hidden_size);
    if (gives_outputs(network, halves)) numbers += padded<Real>(network.output_size());
    return columns_at_a_time(columns, steps, numbers * static_cast<Index>(sizeof(Real)));
}

template <class Real>
Block<Real>::Block(const Network<Real>& network, HalfRange halves, Index columns, Index capacity)
    : network_(network),
      kernels_(network.kernels()),
      capacity_(capacity),
      scaled_(!reads_as_it_is(network.input_scaling(), 1)),
      input_stride_(padded<Real>(network.halves()[halves.first].input_size)),
      inputs_(static_cast<std::size_t>(capacity_ * input_stride_)),
      outputs_(network, gives_outputs(network, halves) ? capacity_ : 0) {
    memory_.reserve(halves.last - halves.first);
    for (std::size_t h = halves.first; h < halves.last; ++h) {
        const Half& half = network.halves()[h];
        const Index stride = padded<Real>(half.hidden_size), count = (columns + capacity_) * stride;
        AlignedVector<Real> numbers(static_cast<std::size_t>(count));
        Real* const first = numbers.data();
        memory_.push_back({std::move(numbers),
                           half,
                           network.weights(h),
                           stride,
                           {{first, stride, stride}, {first + stride, stride, -stride}}});
    }
}

template <class Real>
void Block<Real>::start_column(Index column, const Real* given) noexcept {
    for (Memory& memory : memory_)
        start_state(given, network_.initial_state(), memory.half, memory.column(column));
}

template <class Real>
void Block<Real>::continue_from(const Block& other, Index count) noexcept {
    now_ = 0;
    for (std::size_t h = 0; h < memory_.size(); ++h)
        std::copy_n(other.memory_[h].column(other.now_), count * memory_[h].stride,
                    memory_[h].column(0));
}

template <class Real>
void Block<Real>::copy_state(Index n, Real* state) const noexcept {
    for (const Memory& memory : memory_)
        copy_row(memory.column(n), 1, state + memory.half.state, 1, memory.half.hidden_size);
}

template <class Real>
void Block<Real>::advance(Columns<const Real> x, Index count, Index steps) noexcept {
    begin(count);
    for (Memory& memory : memory_) {
        unfold(memory, x, 0, count, count, steps);
        x = {memory.column(count), memory.stride};
    }
    end(count, steps);
}

template <class Real>
void Block<Real>::begin(Index count) noexcept {
    if (now_ == 0) return;
    for (Memory& memory : memory_)
        std::copy_n(memory.column(now_), count * memory.stride, memory.column(0));
}

template <class Real>
typename Block<Real>::Layer Block<Real>::layer(std::size_t i, Columns<const Real> x,
                                               Index count) noexcept {
    if (i > 0) x = {memory_[i - 1].column(count), memory_[i - 1].stride};
    Memory& memory = memory_[i];
    return {memory.weights,
            x,
            {memory.column(0), memory.stride, count * memory.stride},
            memory.half.activation};
}

template <class Real>
void Block<Real>::end(Index count, Index steps) noexcept {
    now_ = steps * count;
    count_ = count;
}

template <class Real>
Index Block<Real>::bytes() const noexcept {
    Index numbers = static_cast<Index>(inputs_.size()) + outputs_.size();
    for (const Memory& memory : memory_) numbers += static_cast<Index>(memory.numbers.size());
    return static_cast<Index>(sizeof *this + memory_.size() * sizeof(Memory)) +
           numbers * static_cast<Index>(sizeof(Real));
}

template Index capacity_of(const Network<float>&, HalfRange, Index, Index);
template Index capacity_of(const Network<double>&, HalfRange, Index, Index);
template class Block<float>;
template class Block<double>;

}  // namespace elman
