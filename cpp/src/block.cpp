#include "block.hpp"

#include <algorithm>

#include "kernels/table.hpp"
#include "readout.hpp"
#include "units.hpp"

namespace elman {
namespace {

// Columns x steps of one call of advance: enough for a product to read its weights seldom, and for
// a batch to take several steps of each sequence from memory at a time (1 step instead of 8: 53 %
// of the multiply-add peak instead of 55 at H = 64, 82 instead of 84 at 256), few enough for the
// second level of cache, and for a stream to be small.
constexpr Index kProducts = 64;
constexpr Index kSteps = 8;
constexpr Index kBytes = 512 * 1024;

template <class Real>
AlignedVector<Real> allocate(Index count, Index stride) {
    return AlignedVector<Real>(static_cast<std::size_t>(count) * static_cast<std::size_t>(stride));
}

template <class Real>
Index products_of(const Architecture& a, Index columns) {
    Index numbers = padded<Real>(a.input_size) + padded<Real>(a.output_size());
    for (const LayerShape& layer : a.layers) numbers += padded<Real>(layer.hidden_size);
    return products_that_fit(columns, numbers * static_cast<Index>(sizeof(Real)));
}

}  // namespace

Index products_that_fit(Index columns, Index bytes) {
    const Index wanted = std::max(kProducts, kSteps * columns);
    return std::max(columns, std::min(wanted, kBytes / bytes));
}

template <class Real>
Block<Real>::Block(const Network<Real>& network, Index columns, Layers layers)
    : network_(network),
      layers_(layers),
      products_(products_of<Real>(network.architecture(), columns)),
      input_stride_(padded<Real>(network.architecture().input_size)),
      output_stride_(padded<Real>(network.architecture().output_size())) {
    const std::vector<LayerShape>& shapes = network.architecture().layers;
    if (layers.first == 0) inputs_ = allocate<Real>(products_, input_stride_);
    if (layers.last == shapes.size()) outputs_ = allocate<Real>(products_, output_stride_);
    for (std::size_t l = 0; l < layers.first; ++l) state_offset_ += shapes[l].hidden_size;
    for (std::size_t l = layers.first; l < layers.last; ++l) {
        const Index stride = padded<Real>(shapes[l].hidden_size);
        hidden_.push_back(
            {allocate<Real>(columns + products_, stride), shapes[l].hidden_size, stride});
    }
    for (Index column = 0; column < columns; ++column) reset(column);
}

template <class Real>
Block<Real>::Block(const Network<Real>& network, Index columns)
    : Block(network, columns, {0, network.layers().size()}) {}

template <class Real>
void Block<Real>::set_state(Index column, const Real* state) noexcept {
    state += state_offset_;
    for (Slots& layer : hidden_) {
        std::copy_n(state, layer.size, layer.slot(now_ + column));
        state += layer.size;
    }
}

template <class Real>
void Block<Real>::get_state(Index column, Real* state) const noexcept {
    state += state_offset_;
    for (const Slots& layer : hidden_) {
        std::copy_n(layer.slot(now_ + column), layer.size, state);
        state += layer.size;
    }
}

template <class Real>
void Block<Real>::reset(Index column) noexcept {
    if (network_.initial_state()) return set_state(column, network_.initial_state());
    for (Slots& layer : hidden_) std::fill_n(layer.slot(now_ + column), layer.size, Real(0));
}

template <class Real>
bool Block<Real>::reads(Index stride) const noexcept {
    return reads_as_it_is<Real>(network_.input_units(), stride);
}

template <class Real>
void Block<Real>::set_input(Index index, const Real* x, Index stride) noexcept {
    read_input<Real>(network_.input_units(), x, stride, inputs_.data() + index * input_stride_,
                     network_.architecture().input_size);
}

template <class Real>
void Block<Real>::advance(Index count, Index steps) noexcept {
    advance({inputs_.data(), input_stride_}, count, steps);
}

template <class Real>
void Block<Real>::advance(Rows<const Real> x, Index steps) noexcept {
    if (reads(x.stride)) return advance({x.data, x.step_stride}, 1, steps);
    for (Index t = 0; t < steps; ++t) set_input(t, x.row(t), x.stride);
    advance(1, steps);
}

template <class Real>
void Block<Real>::advance(Columns<const Real> below, Index count, Index steps) noexcept {
    if (now_ != 0)
        for (Slots& layer : hidden_) std::copy_n(layer.slot(now_), layer.stride, layer.slot(0));
    now_ = 0;
    for (std::size_t l = 0; l < hidden_.size(); ++l) {
        const auto& layer = network_.layers()[layers_.first + l];
        Slots& slots = hidden_[l];
        network_.kernels().unfold(layer.input, layer.recurrent, layer.bias, below,
                                  {slots.slot(0), slots.stride}, count, steps,
                                  elementwise(layer.activation, true));
        std::copy_n(slots.slot(steps * count), count * slots.stride, slots.slot(0));
        below = {slots.slot(count), slots.stride};
    }
    count_ = count;
}

template <class Real>
Columns<const Real> Block<Real>::top() const noexcept {
    return {hidden_.back().slot(count_), hidden_.back().stride};
}

template <class Real>
void Block<Real>::step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept {
    const bool as_it_is = reads(x_stride);
    if (!as_it_is) set_input(0, x, x_stride);
    const Real* below = as_it_is ? x : inputs_.data();
    const Index next = 1 - now_;
    for (std::size_t l = 0; l < hidden_.size(); ++l) {
        const auto& layer = network_.layers()[layers_.first + l];
        network_.kernels().cell(layer.input, layer.recurrent, layer.bias, below,
                                hidden_[l].slot(now_), hidden_[l].slot(next),
                                elementwise(layer.activation, true), now_ != 0);
        below = hidden_[l].slot(next);
    }
    now_ = next;
    read_out({below, 0}, 1);
    get_output(0, y, y_stride);
}

template <class Real>
void Block<Real>::get_output(Index i, Real* y, Index stride) const noexcept {
    copy_row(output(i), 1, y, stride, network_.architecture().output_size());
}

template <class Real>
void Block<Real>::hidden(Index index, Real* state) const noexcept {
    state += state_offset_;
    for (const Slots& layer : hidden_) {
        std::copy_n(layer.slot(count_ + index), layer.size, state);
        state += layer.size;
    }
}

template <class Real>
void Block<Real>::read_out(Index first, Index count) noexcept {
    const Columns<const Real> states = top();
    read_out({states.data + first * states.stride, states.stride}, count);
}

template <class Real>
void Block<Real>::read_out(Columns<const Real> states, Index count) noexcept {
    elman::read_out<Real>(network_, states, {outputs_.data(), output_stride_}, count);
}

template class Block<float>;
template class Block<double>;

}  // namespace elman
