#include "elman/stream.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "block.hpp"
#include "checks.hpp"

namespace elman {
namespace {

template <class Real>
std::unique_ptr<Block<Real>> block_of(const Network<Real>* network) {
    if (!network) refuse("network", "one", "null");
    network->architecture().require_forward("stream", "a stream has no future inputs");
    const HalfRange all{0, network->halves().size()};
    return std::make_unique<Block<Real>>(*network, all, 1, std::numeric_limits<Index>::max());
}

}  // namespace

template <class Real>
Stream<Real>::Stream(std::shared_ptr<const Network<Real>> network)
    : network_(std::move(network)), block_(block_of(network_.get())) {
    reset();
}

template <class Real>
Stream<Real>::Stream(const Stream& other)
    : network_(other.network_), block_(block_of(network_.get())) {
    std::vector<Real> state(static_cast<std::size_t>(network_->state_size()));
    other.get_state(state.data());
    set_state(state.data());
}

template <class Real>
Stream<Real>::~Stream() = default;

template <class Real>
void Stream<Real>::step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept {
    block_->step(x, x_stride, y, y_stride);
}

template <class Real>
Index Stream<Real>::run(Rows<const Real> x, Rows<Real> y, Index steps, Pause& pause) noexcept {
    Block<Real>& block = *block_;
    const Index work = work_of_step(*network_);
    Index done = 0;
    while (done < steps && !pause.stopped()) {
        const Index n = std::min(steps - done, block.capacity());
        block.advance(read_inputs(network_->input_scaling(), &x, done, 1, n, block.inputs(),
                                  network_->input_size()),
                      1, n);
        block.outputs().read_out(block.states(), n);
        for (Index t = 0; t < n; ++t) block.outputs().write(t, y.row(done + t), y.stride);
        done += n;
        pause.worked(n * work);
    }
    return done;
}

template <class Real>
void Stream<Real>::get_state(Real* state) const noexcept {
    block_->get_state(0, state);
}

template <class Real>
void Stream<Real>::set_state(const Real* state) noexcept {
    block_->start(1, [=](Index) { return state; });
}

template <class Real>
void Stream<Real>::reset() noexcept {
    block_->start(1, [](Index) { return nullptr; });
}

template class Stream<float>;
template class Stream<double>;

}  // namespace elman
