#include "rows.hpp"

#include <algorithm>
#include <limits>

namespace elman {
namespace {

constexpr Index kFinished = std::numeric_limits<Index>::max();

// Work alone after an attempt that failed, about a millisecond: waiting in vain and waking a thread
// take some 10 us. Twice as much after each attempt that was not worth it.
constexpr Index kLeastRest = Index(1) << 25;
constexpr Index kMostRest = Index(1) << 40;

template <class Real>
PackedMatrix<Real> rows_of(const PackedMatrix<Real>& W, Index first, Index last) {
    return {W.panels + first * W.cols, last - first, W.cols, W.partial_sums};
}

}  // namespace

template <class Real>
SharedRows<Real>::SharedRows(const Network<Real>& network, Index capacity, Index threads)
    : network_(network), kernels_(network.kernels()), threads_(threads), rest_(kLeastRest) {
    for (const Half& half : network.halves())
        for (Index part = 1; part < threads; ++part) {
            const Index rows = kernels_.cut(half.hidden_size, part + 1, threads) -
                               kernels_.cut(half.hidden_size, part, threads);
            stride_ = std::max(stride_, padded<Real>(rows));
        }
    for (Index part = 1; part < threads; ++part)
        helpers_.push_back(std::unique_ptr<Helper>(
            new Helper{{},
                       AlignedVector<Real>(static_cast<std::size_t>(capacity * stride_)),
                       OutputColumns<Real>(network, capacity / threads)}));
}

// --- parts ---

// W_xh x_t + b_h of a part, from a step of the chunk on.
template <class Real>
void SharedRows<Real>::hoist(const Layer& layer, Part part, Index step,
                             Columns<Real> to) const noexcept {
    kernels_.product(rows_of(layer.weights.W_xh, part.first, part.last),
                     {layer.weights.b_h + part.first, 0}, layer.x.from((step - 1) * chunk_.count),
                     to, chunk_.count * (chunk_.steps - step + 1), kIdentity);
}

// A step of a part, which replaces what hoist() wrote.
template <class Real>
void SharedRows<Real>::recur(const Layer& layer, Part part, Index step,
                             Columns<Real> h) const noexcept {
    kernels_.recur(rows_of(layer.weights.W_hh, part.first, part.last), h, layer.h.at(step - 1), h,
                   chunk_.count, layer.activation, step % 2 == 0);
}

// --- the leader ---

template <class Real>
void SharedRows<Real>::advance(Block<Real>& block, Columns<const Real> x, Index count, Index steps,
                               Index first_output) noexcept {
    const Index work = count * steps * network_.multiply_adds();
    if (alone_ > 0 || !ready()) {
        alone_ -= std::min(alone_, work);
        block.advance(x, count, steps);
        block.outputs().read_out(block.states().from(first_output), count * steps - first_output);
        return;
    }
    block.begin(count);
    open({&block, x, count, steps, first_output, chunk_.end + 1, 0});
    for (std::size_t i = 0; i < block.layers(); ++i)
        unfold(block.layer(i, x, count), chunk_.start + static_cast<Index>(i) * steps);
    block.end(count, steps);
    read_out();
    together_ += work;
    if (shared_ && !joined()) go_alone();
}

// Whether all helpers have finished with the last chunk.
template <class Real>
bool SharedRows<Real>::ready() const noexcept {
    return std::all_of(helpers_.begin(), helpers_.end(),
                       [&](const auto& helper) { return helper->done.value() >= chunk_.end; });
}

template <class Real>
bool SharedRows<Real>::joined() const noexcept {
    return std::all_of(helpers_.begin(), helpers_.end(),
                       [](const auto& helper) { return helper->joined; });
}

template <class Real>
void SharedRows<Real>::open(const Chunk& chunk) noexcept {
    chunk_ = chunk;
    chunk_.end = chunk.start + static_cast<Index>(chunk.block->layers()) * chunk.steps + 1;
    shared_ = true;
    if (complete_.raise_to(chunk_.start)) part_company();
}

template <class Real>
void SharedRows<Real>::part_company() noexcept {
    for (const auto& helper : helpers_) helper->joined = false;
}

template <class Real>
void SharedRows<Real>::go_alone() noexcept {
    shared_ = false;
    part_company();
    rest_ = together_ > rest_ ? kLeastRest : std::min(2 * rest_, kMostRest);
    alone_ = rest_;
    together_ = 0;
    complete_.raise_to(chunk_.end);
}

// The steps of a half have the numbers after `start`.
template <class Real>
void SharedRows<Real>::unfold(const Layer& layer, Index start) noexcept {
    const Part part = part_of(layer, 0);
    if (shared_) hoist(layer, part, 1, layer.h.at(1));
    for (Index step = 1; step <= chunk_.steps; ++step) {
        if (shared_) recur(layer, part, step, layer.h.at(step));
        if (shared_ && !take_parts(layer, step, start + step)) go_alone();
        if (!shared_)
            return kernels_.unfold(layer.weights.W_xh, layer.weights.W_hh, layer.weights.b_h,
                                   layer.x.from((step - 1) * chunk_.count), layer.h.from(step - 1),
                                   chunk_.count, chunk_.steps - step + 1, layer.activation);
        // A helper that slept although it had caught up is on a busy processor, or on this one.
        if (complete_.raise_to(start + step) && joined()) go_alone();
    }
}

// The other parts of a step: those of helpers that have not joined yet are computed here. False if
// one that has joined is late.
template <class Real>
bool SharedRows<Real>::take_parts(const Layer& layer, Index step, Index number) noexcept {
    const Columns<Real> h = layer.h.at(step);
    for (Index i = 1; i < threads_; ++i) {
        Helper& helper = *helpers_[static_cast<std::size_t>(i - 1)];
        const Part part = part_of(layer, i);
        const Columns<Real> to{h.data + part.first, h.stride};
        const bool there = helper.joined ? helper.done.spin_for(number)
                                         : helper.done.value() >= number;
        if (there) {
            helper.joined = true;
            const Columns<Real> from = column(helper, step);
            for (Index n = 0; n < chunk_.count; ++n)
                std::copy_n(from.column(n), part.last - part.first, to.column(n));
        } else if (helper.joined) {
            return false;
        } else {
            if (step == 1) hoist(layer, part, step, to);  // all steps: not joined before either
            recur(layer, part, step, to);
        }
    }
    return true;
}

template <class Real>
void SharedRows<Real>::read_out() noexcept {
    OutputColumns<Real>& outputs = chunk_.block->outputs();
    const Index each = shared_ ? outputs_of_each() : 0;
    Index first = chunk_.outputs() - (threads_ - 1) * each;
    outputs.read_out(states_of(0), first);
    for (const auto& helper : helpers_) {
        if (!shared_ && each == 0) return;
        if (shared_ && helper->joined && helper->done.spin_for(chunk_.end)) {
            outputs.take(first, helper->outputs, each);
        } else {
            outputs.read_out(states_of(first), each, first);
            if (shared_) go_alone();
        }
        first += each;
    }
}

template <class Real>
void SharedRows<Real>::finish() noexcept {
    complete_.raise_to(kFinished);
}

// --- a helper ---

template <class Real>
void SharedRows<Real>::help(Index part, Poll& poll) noexcept {
    Counter& done = helpers_[static_cast<std::size_t>(part - 1)]->done;
    while (complete_.wait_for(done.value() + 1, poll) && complete_.value() != kFinished) {
        const Index end = chunk_.end;
        if (!help_with(part, poll)) return;
        done.raise_to(end);
    }
}

template <class Real>
bool SharedRows<Real>::help_with(Index part, Poll& poll) noexcept {
    Block<Real>& block = *chunk_.block;
    for (std::size_t i = 0; i < block.layers(); ++i)
        if (!help_unfold(block.layer(i, chunk_.x, chunk_.count),
                         chunk_.start + static_cast<Index>(i) * chunk_.steps, part, poll))
            return false;
    if (!complete_.wait_for(chunk_.end - 1, poll)) return false;
    if (complete_.value() >= chunk_.end) return true;  // too late
    const Index each = outputs_of_each(), first = chunk_.outputs() - (threads_ - part) * each;
    helpers_[static_cast<std::size_t>(part - 1)]->outputs.read_out(states_of(first), each);
    return true;
}

template <class Real>
bool SharedRows<Real>::help_unfold(const Layer& layer, Index start, Index part,
                                   Poll& poll) noexcept {
    Helper& helper = *helpers_[static_cast<std::size_t>(part - 1)];
    const Part rows = part_of(layer, part);
    bool hoisted = false;
    for (Index step = 1; step <= chunk_.steps; ++step) {
        if (!complete_.wait_for(start + step - 1, poll)) return false;
        const Index complete = complete_.value();
        if (complete >= start + step) {  // too late for this step, or for the chunk
            step = std::min(complete - start, chunk_.steps);
            continue;
        }
        if (!hoisted) hoist(layer, rows, step, column(helper, step));
        hoisted = true;
        recur(layer, rows, step, column(helper, step));
        helper.done.raise_to(start + step);
    }
    return true;
}

template class SharedRows<float>;
template class SharedRows<double>;

}  // namespace elman
