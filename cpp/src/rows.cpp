#include "rows.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace elman {
namespace {

constexpr Index kFinished = std::numeric_limits<Index>::max();

// The multiply-adds that the leader may compute alone: about 3 ms at first, until its helpers are
// awake, and later a quarter of the shared work. A delay costs 50 us of it. (1024 units on a Zen 5,
// one of two processors busy: two threads take 1.00 times as long as one; with 2^29 1.09 to 1.18.)
constexpr Index kFirstCredit = Index(1) << 27;
constexpr Index kCreditOfShared = 4;
constexpr Index kDelay = Index(1) << 21;

template <class Real>
PackedMatrix<Real> rows_of(const PackedMatrix<Real>& W, Index first, Index last) {
    return {W.panels + first * W.cols, last - first, W.cols, W.partial_sums};
}

}  // namespace

template <class Real>
SharedRows<Real>::SharedRows(const Network<Real>& network, Index capacity, Index threads)
    : network_(network), kernels_(network.kernels()), threads_(threads), credit_(kFirstCredit) {
    for (const Half& half : network.halves())
        for (Index part = 0; part < threads; ++part) {
            parts_.push_back({kernels_.cut(half.hidden_size, part, threads),
                              kernels_.cut(half.hidden_size, part + 1, threads)});
            stride_ = std::max(stride_, padded<Real>(parts_.back().last - parts_.back().first));
        }
    for (Index part = 1; part < threads; ++part)
        helpers_.push_back(std::unique_ptr<Helper>(
            new Helper{{},
                       AlignedVector<Real>(static_cast<std::size_t>(capacity * stride_)),
                       OutputColumns<Real>(network, capacity / threads)}));
}

// --- parts ---

// W_xh x_t + b_h of a part, for `step` and all later steps of the chunk.
template <class Real>
void SharedRows<Real>::hoist(const Layer& layer, Part part, Index step,
                             Columns<Real> to) const noexcept {
    kernels_.product(rows_of(layer.weights.W_xh, part.first, part.last),
                     {layer.weights.b_h + part.first, 0}, layer.x.from((step - 1) * chunk_.count),
                     to, chunk_.count * (chunk_.steps - step + 1), kIdentity);
}

// One step of a part; h_t replaces what hoist() wrote.
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
    if (!finished_ && !idle()) spend(work);
    if (finished_ || !idle()) {
        block.advance(x, count, steps);
        block.outputs().read_out(block.states().from(first_output), count * steps - first_output);
        return;
    }
    block.begin(count);
    begin_chunk({&block, x, count, steps, first_output, chunk_.end + 1, 0});
    for (std::size_t i = 0; i < block.layers(); ++i) unfold(i);
    block.end(count, steps);
    read_out();
}

// Whether all helpers are done with the last chunk.
template <class Real>
bool SharedRows<Real>::idle() const noexcept {
    return std::all_of(helpers_.begin(), helpers_.end(),
                       [&](const auto& helper) { return helper->done.reached() >= chunk_.end; });
}

template <class Real>
bool SharedRows<Real>::all_attached() const noexcept {
    return std::all_of(helpers_.begin(), helpers_.end(),
                       [](const auto& helper) { return helper->attached; });
}

template <class Real>
void SharedRows<Real>::begin_chunk(const Chunk& chunk) noexcept {
    chunk_ = chunk;
    chunk_.end = chunk.start + static_cast<Index>(chunk.block->layers()) * chunk.steps + 1;
    if (complete_.raise_to(chunk_.start)) detach_all();
}

template <class Real>
void SharedRows<Real>::detach_all() noexcept {
    for (const auto& helper : helpers_) helper->attached = false;
}

template <class Real>
void SharedRows<Real>::spend(Index work) noexcept {
    credit_ -= work;
    if (credit_ < 0) finish();
}

template <class Real>
void SharedRows<Real>::unfold(std::size_t half) noexcept {
    const Layer layer = chunk_.layer(half);
    const Index work = chunk_.count * layer.weights.W_hh.rows * layer.weights.W_hh.cols;
    if (!finished_) hoist(layer, part_of(half, 0), 1, layer.h.at(1));
    for (Index step = 1; step <= chunk_.steps; ++step) {
        if (finished_)
            return kernels_.unfold(layer.weights.W_xh, layer.weights.W_hh, layer.weights.b_h,
                                   layer.x.from((step - 1) * chunk_.count), layer.h.from(step - 1),
                                   chunk_.count, chunk_.steps - step + 1, layer.activation);
        const bool in_time = advance_parts(layer, half, step);
        const bool woken = complete_.raise_to(chunk_.before(half) + step);
        spend(all_attached() ? -work / kCreditOfShared : work);
        if (in_time && !(woken && all_attached())) continue;
        // A helper was late or asleep: its processor is busy, or it is on the leader's.
        detach_all();
        spend(kDelay);
    }
}

// Computes or copies all parts of a step; false if an attached helper was late. While a helper is
// detached, every other step begins with the last part, whose weights were read last.
template <class Real>
bool SharedRows<Real>::advance_parts(const Layer& layer, std::size_t half, Index step) noexcept {
    const Columns<Real> h = layer.h.at(step);
    const Index before = chunk_.before(half), number = before + step;
    const bool last_first = step % 2 == 0 && !all_attached();
    bool in_time = true;
    for (Index n = 0; n < threads_; ++n) {
        const Index i = last_first ? threads_ - 1 - n : n;
        const Part part = part_of(half, i);
        const Columns<Real> to{h.data + part.first, h.stride};
        if (i == 0) {
            recur(layer, part, step, to);
            continue;
        }
        Helper& helper = *helpers_[static_cast<std::size_t>(i - 1)];
        const bool computed =
            helper.attached ? helper.done.spin_for(number) : helper.done.reached() >= number;
        if (computed) {
            helper.attached = true;
            const Columns<Real> from = column(helper, step);
            for (Index column = 0; column < chunk_.count; ++column)
                std::copy_n(from.column(column), part.last - part.first, to.column(column));
        } else {
            if (std::exchange(helper.hoisted, before) != before) hoist(layer, part, step, to);
            recur(layer, part, step, to);
            in_time = in_time && !helper.attached;
            // Done by now: it runs beside the leader, and was late by less than its part.
            helper.attached = !helper.attached && helper.done.reached() >= number;
        }
    }
    return in_time;
}

template <class Real>
void SharedRows<Real>::read_out() noexcept {
    OutputColumns<Real>& outputs = chunk_.block->outputs();
    const Index each = finished_ ? 0 : outputs_of_each();
    Index first = chunk_.outputs() - (threads_ - 1) * each;
    outputs.read_out_part(states_of(0), first, 0);
    for (const auto& helper : helpers_) {
        helper->attached = helper->attached && helper->done.spin_for(chunk_.end);
        if (helper->attached)
            outputs.copy_part(first, helper->outputs, each);
        else
            outputs.read_out_part(states_of(first), each, first);
        first += each;
    }
    if (!finished_ && !all_attached()) complete_.raise_to(chunk_.end);
}

template <class Real>
void SharedRows<Real>::finish() noexcept {
    finished_ = true;
    complete_.raise_to(kFinished);
}

// --- a helper ---

template <class Real>
void SharedRows<Real>::help(Index part, Poll& poll) noexcept {
    Counter& done = helpers_[static_cast<std::size_t>(part - 1)]->done;
    while (complete_.wait_for(done.reached() + 1, poll) && complete_.reached() != kFinished) {
        const Index end = chunk_.end;
        if (!help_with(part, poll)) return;
        done.raise_to(end);
    }
}

template <class Real>
bool SharedRows<Real>::help_with(Index part, Poll& poll) noexcept {
    for (std::size_t i = 0; i < chunk_.block->layers(); ++i)
        if (!help_unfold(i, part, poll)) return false;
    if (!complete_.wait_for(chunk_.end - 1, poll)) return false;
    if (complete_.reached() >= chunk_.end) return true;  // the leader has ended the chunk
    const Index each = outputs_of_each(), first = chunk_.outputs() - (threads_ - part) * each;
    helpers_[static_cast<std::size_t>(part - 1)]->outputs.read_out_part(states_of(first), each, 0);
    return true;
}

// (With a prefetch of the states before each step, which are in the leader's cache: 1.01 times as
// long at H = 128; at 256 and 512 the difference was within the spread, on a busy machine.)
template <class Real>
bool SharedRows<Real>::help_unfold(std::size_t half, Index part, Poll& poll) noexcept {
    Helper& helper = *helpers_[static_cast<std::size_t>(part - 1)];
    const Layer layer = chunk_.layer(half);
    const Index start = chunk_.before(half);
    const Part rows = part_of(half, part);
    bool hoisted = false;
    for (Index step = 1; step <= chunk_.steps; ++step) {
        if (!complete_.wait_for(start + step - 1, poll)) return false;
        const Index complete = complete_.reached();
        if (complete >= start + step) {  // the leader has computed this step, or the whole chunk
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
