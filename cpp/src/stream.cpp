#include "elman/stream.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "block.hpp"

namespace elman {

template <class Real>
Stream<Real>::Stream(std::shared_ptr<const Network<Real>> network) : network_(std::move(network)) {
    network_->architecture().require_forward("stream", "a stream does not know the future");
    block_ = std::make_unique<Block<Real>>(*network_, 1);
}

template <class Real>
Stream<Real>::Stream(const Stream& other)
    : network_(other.network_), block_(std::make_unique<Block<Real>>(*network_, 1)) {
    std::vector<Real> state(static_cast<std::size_t>(network_->architecture().state_size()));
    other.get_state(state.data());
    set_state(state.data());
}

template <class Real>
Stream<Real>::~Stream() = default;

template <class Real>
void Stream<Real>::step(const Real* x, Real* y) noexcept {
    block_->step(x, 1, y, 1);
}

template <class Real>
void Stream<Real>::step(Rows<const Real> x, Rows<Real> y) noexcept {
    block_->step(x.data, x.stride, y.data, y.stride);
}

template <class Real>
void Stream<Real>::run(Rows<const Real> x, Rows<Real> y, Index steps) noexcept {
    while (steps > 0) {
        const Index n = std::min(steps, block_->steps_that_fit(1));
        block_->advance(x, n);
        block_->read_out(0, n);
        for (Index t = 0; t < n; ++t) block_->get_output(t, y.row(t), y.stride);
        x.data = x.row(n);
        y.data = y.row(n);
        steps -= n;
    }
}

template <class Real>
void Stream<Real>::get_state(Real* state) const noexcept {
    block_->get_state(0, state);
}

template <class Real>
void Stream<Real>::set_state(const Real* state) noexcept {
    block_->set_state(0, state);
}

template <class Real>
void Stream<Real>::reset() noexcept {
    block_->reset(0);
}

template class Stream<float>;
template class Stream<double>;

}  // namespace elman
