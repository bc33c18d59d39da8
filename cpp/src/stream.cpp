#include "elman/stream.hpp"

#include <algorithm>
#include <utility>

#include "streaming.hpp"
#include "workspace.hpp"

namespace elman {
namespace {

// A block for single steps of one sequence.
template <class Real>
std::unique_ptr<Block<Real>> block_of(const Network<Real>& network) {
    return std::make_unique<Block<Real>>(network, all_halves(network), 1, 1);
}

}  // namespace

const char* name(Nonfinite nonfinite) {
    constexpr const char* names[] = {"raise", "hold", "propagate"};
    return names[static_cast<int>(nonfinite)];
}

template <class Real>
Stream<Real>::Stream(std::shared_ptr<const Network<Real>> network, Nonfinite nonfinite)
    : network_(std::move(network)),
      block_(block_of(streamable(network_.get()))),
      nonfinite_(nonfinite) {
    reset();
}

template <class Real>
Stream<Real>::Stream(const Stream& other)
    : network_(other.network_), block_(block_of(*network_)), nonfinite_(other.nonfinite_) {
    block_->continue_from(*other.block_);
}

template <class Real>
Stream<Real>::~Stream() = default;

template <class Real>
bool Stream<Real>::step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept {
    const Real* input = block_->read(x, x_stride);
    if (nonfinite_ != Nonfinite::propagate && !all_finite(input, network_->input_size()))
        return skip(input, x, x_stride, y, y_stride);
    block_->step(input, y, y_stride);
    return true;
}

// Refuses or skips a sample. Apart from step, which is faster without its registers.
template <class Real>
bool Stream<Real>::skip(const Real* input, const Real* x, Index x_stride, Real* y,
                        Index y_stride) noexcept {
    if (nonfinite_ == Nonfinite::raise)
        refuse(input, x, x_stride, 0);
    else
        block_->write_output(y, y_stride);
    return nonfinite_ == Nonfinite::hold;
}

// Checks all samples before the first step if one of them may be refused.
template <class Real>
Index Stream<Real>::run(Rows<const Real> x, Rows<Real> y, Index steps, Pause& pause) {
    bool refused = false;
    if (nonfinite_ == Nonfinite::raise)
        in_pieces(steps, network_->input_size(), pause, [&](Index first, Index last) {
            if (refused) return;
            const Index step = first + finite_steps(x.from(first), last - first);
            refused = step < last;
            if (refused) refuse(block_->read(x.row(step), x.stride), x.row(step), x.stride, step);
        });
    if (refused || pause.stopped()) return 0;

    std::unique_ptr<Workspace<Real>> workspace = take_workspace(*network_);
    workspace->block.continue_from(*block_);
    const Index done = run_in(workspace->block, x, y, steps, pause);
    block_->continue_from(workspace->block);
    network_->workspace().put(std::move(workspace));
    return done;
}

template <class Real>
Index Stream<Real>::run_in(Block<Real>& block, Rows<const Real> x, Rows<Real> y, Index steps,
                           Pause& pause) noexcept {
    const Index work = work_of_step(*network_);
    Index done = 0;
    while (done < steps && !pause.stopped()) {
        Index n = std::min(steps - done, block.capacity());
        if (nonfinite_ == Nonfinite::hold) n = finite_steps(x.from(done), n);
        if (n > 0) {
            block.advance_column(x.from(done), y.from(done), n);
        } else {  // hold
            n = 1;
            block.write_output(y.row(done), y.stride);
        }
        done += n;
        pause.worked(n * work);
    }
    return done;
}

// The number of steps before the first one, up to `most`, whose input is not finite.
template <class Real>
Index Stream<Real>::finite_steps(Rows<const Real> x, Index most) noexcept {
    return finite_rows(*network_, x, most, block_->inputs().data);
}

template <class Real>
void Stream<Real>::refuse(const Real* input, const Real* x, Index x_stride, Index step) noexcept {
    const Index feature = first_nonfinite(input, network_->input_size());
    refused_ = {step, feature, x[feature * x_stride]};
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

template <class Real>
Index Stream<Real>::bytes() const noexcept {
    return static_cast<Index>(sizeof *this) + block_->bytes();
}

template class Stream<float>;
template class Stream<double>;

}  // namespace elman
