#include "layerwise.hpp"

#include <algorithm>

#include "block.hpp"
#include "readout.hpp"
#include "units.hpp"

namespace elman {
namespace {

using Clock = std::chrono::steady_clock;

// Of the rows of a group, in two layers: enough for many columns of sequences of a thousand steps.
constexpr Index kGroupBytes = 32 * 1024 * 1024;

}  // namespace

// --- the plan ------------------------------------------------------------------------------------

template <class Real>
LayerwiseWorker<Real>::LayerwiseWorker(const Network<Real>& network, const SequenceTask<Real>& task,
                                       const Index* order, Index first, Index last)
    : network_(network), task_(task), order_(order), group_(first), last_(last) {
    add_halves();
    plan_memory(first);
    begin_group();
}

template <class Real>
void LayerwiseWorker<Real>::add_halves() {
    const std::vector<LayerShape>& layers = network_.architecture().layers;
    Index offset = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const Index size = layers[l].hidden_size;
        const bool backwards = layers[l].direction == Direction::reverse;
        halves_.push_back({&network_.layers()[l], backwards, l, 0, offset, size});
        if (const auto* reverse = network_.packed().reverse(l))
            halves_.push_back({reverse, true, l, size, offset + size, size});
        offset += layers[l].output_size();
    }
}

// All memory is allocated here, by the thread that makes the task, where an error can be told.
template <class Real>
void LayerwiseWorker<Real>::plan_memory(Index first) {
    const Architecture& a = network_.architecture();
    Index widest = 0, hidden = 0;
    for (const LayerShape& layer : a.layers) {
        widest = std::max(widest, layer.output_size());
        hidden = std::max(hidden, layer.hidden_size);
    }
    const Index number = static_cast<Index>(sizeof(Real));
    group_rows_ = kGroupBytes / (2 * widest * number);

    Index columns = 1, rows = 0, longest = 0;
    for (Index begin = first; begin < last_; begin = group_end(begin)) {
        const Index end = group_end(begin);
        Index sum = 0;
        for (Index i = begin; i < end; ++i) sum += length(i);
        columns = std::max(columns, end - begin);
        rows = std::max(rows, sum);
        longest = std::max(longest, length(begin));
    }
    const auto size = [](Index count) { return static_cast<std::size_t>(count); };
    lengths_.reserve(size(columns));
    x_.reserve(size(columns));
    y_.reserve(size(columns));
    firsts_.reserve(size(longest + 1));
    if (task_.mask) real_steps_.resize(size(rows));

    input_stride_ = padded<Real>(std::max(a.input_size, widest));
    slot_stride_ = padded<Real>(hidden);
    output_stride_ = padded<Real>(a.output_size());
    products_ =
        products_that_fit(columns, (input_stride_ + slot_stride_ + output_stride_) * number);
    inputs_.resize(size(products_ * input_stride_));
    slots_.resize(size((columns + products_) * slot_stride_));
    outputs_.resize(size(products_ * output_stride_));
    held_.reserve(size(products_));
    // Not set to zero: that would take longer than a slice where one sequence is very long.
    for (std::size_t l = 0; l < std::min<std::size_t>(a.layers.size(), 2); ++l)
        rows_[l].reset(new Real[size(rows * widest)]);
}

template <class Real>
Index LayerwiseWorker<Real>::group_end(Index first) const {
    Index end = first;
    for (Index rows = 0; end < last_ && end - first < kGroup; ++end) {
        rows += length(end);
        if (end > first && rows > group_rows_) break;
    }
    return end;
}

template <class Real>
void LayerwiseWorker<Real>::begin_group() {
    if (group_ >= last_) return;
    columns_ = group_end(group_) - group_;
    lengths_.clear();
    x_.clear();
    y_.clear();
    firsts_.clear();
    for (Index column = 0; column < columns_; ++column) {
        lengths_.push_back(length(group_ + column));
        x_.push_back(task_.x.sequence(sequence(group_ + column)));
        y_.push_back(task_.output.sequence(sequence(group_ + column)));
    }
    Index rows = 0, running = columns_;
    for (Index index = 0; index < lengths_[0]; ++index) {
        while (lengths_[static_cast<std::size_t>(running - 1)] <= index) --running;
        firsts_.push_back(rows);
        rows += running;
    }
    if (task_.mask)
        for (Index column = 0; column < columns_; ++column) take_steps(column);
    phase_ = 0;
    begin_phase();
}

template <class Real>
void LayerwiseWorker<Real>::take_steps(Index column) {
    const unsigned char* mask = task_.mask + sequence(group_ + column) * task_.steps;
    for (Index step = 0, index = 0; step < task_.steps; ++step)
        if (mask[step]) real_steps_[static_cast<std::size_t>(row(index++, column))] = step;
}

// --- which steps are which -----------------------------------------------------------------------

// The steps of the task at which a half has not come to a real step yet.
template <class Real>
typename LayerwiseWorker<Real>::Steps LayerwiseWorker<Real>::before(const Half& half,
                                                                    Index column) const {
    const Index length = lengths_[static_cast<std::size_t>(column)];
    return gap(column, half.backwards ? length : 0);
}

// The real step `index` and the steps after it, in the order of the half, that hold its state.
template <class Real>
typename LayerwiseWorker<Real>::Steps LayerwiseWorker<Real>::covered(const Half& half, Index column,
                                                                     Index index) const {
    const Index step = step_of(column, index);
    if (half.backwards) return {gap(column, index).first, step + 1};
    return {step, gap(column, index + 1).last};
}

// The steps between the real steps `index - 1` and `index` of a column.
template <class Real>
typename LayerwiseWorker<Real>::Steps LayerwiseWorker<Real>::gap(Index column, Index index) const {
    const Index length = lengths_[static_cast<std::size_t>(column)];
    return {index > 0 ? step_of(column, index - 1) + 1 : 0,
            index < length ? step_of(column, index) : task_.steps};
}

template <class Real>
void LayerwiseWorker<Real>::start_state(const Half& half, Index column, Real* state) const {
    const Real* start = task_.state ? task_.state + sequence(group_ + column) * state_size()
                                    : network_.initial_state();
    if (start)
        std::copy_n(start + half.offset, half.size, state);
    else
        std::fill_n(state, half.size, Real(0));
}

// --- the phases of a group -----------------------------------------------------------------------

template <class Real>
bool LayerwiseWorker<Real>::advance(Clock::time_point deadline) {
    while (group_ < last_) {
        if (running_ > 0)
            advance_chunk();
        else if (phase_ > halves_.size() && gap_column_ < columns_)
            fill_gaps();
        else
            next_phase();
        if (Clock::now() >= deadline) break;
    }
    return group_ >= last_;
}

template <class Real>
void LayerwiseWorker<Real>::begin_phase() {
    step_ = 0;
    running_ = 0;
    if (phase_ > halves_.size()) {
        begin_gaps(0);
    } else if (phase_ == halves_.size()) {
        if (task_.outputs == Outputs::last)
            keep_last_outputs();
        else
            running_ = columns_;
    } else {
        const Half& half = halves_[phase_];
        running_ = columns_;
        for (Index column = 0; column < columns_; ++column) {
            start_state(half, column, slot(column));
            if (task_.hidden) keep_hidden(half, column, slot(column), before(half, column));
        }
    }
    finish_ended();
}

template <class Real>
void LayerwiseWorker<Real>::next_phase() {
    ++phase_;
    const bool gaps_left = phase_ == halves_.size() + 1 && task_.outputs == Outputs::all;
    if (phase_ <= halves_.size() || gaps_left) return begin_phase();
    group_ += columns_;
    begin_group();
}

// The sequences that end here are the last columns.
template <class Real>
void LayerwiseWorker<Real>::finish_ended() {
    while (running_ > 0 && lengths_[static_cast<std::size_t>(running_ - 1)] == step_) {
        const Index column = --running_;
        if (phase_ < halves_.size() && task_.final_state) {
            const Half& half = halves_[phase_];
            std::copy_n(slot(column), half.size,
                        task_.final_state + sequence(group_ + column) * state_size() + half.offset);
        }
    }
}

// A chunk is as many steps as fit, and ends where the next sequence does.
template <class Real>
void LayerwiseWorker<Real>::advance_chunk() {
    const Index until = lengths_[static_cast<std::size_t>(running_ - 1)];
    const Index steps = std::min(products_ / running_, until - step_);
    if (phase_ == halves_.size()) {
        keep_outputs(steps);
    } else {
        const Half& half = halves_[phase_];
        network_.kernels().unfold(half.weights->input, half.weights->recurrent, half.weights->bias,
                                  inputs(half, steps), {slots_.data(), slot_stride_}, running_,
                                  steps, elementwise(half.weights->activation, true));
        keep_states(half, steps);
        std::copy_n(slot(steps * running_), running_ * slot_stride_, slot(0));
    }
    step_ += steps;
    finish_ended();
}

// --- one half over some steps
// ---------------------------------------------------------------------

// What a half reads in the next steps. Rows of the layer below lie as they are wanted, if forwards.
template <class Real>
Columns<const Real> LayerwiseWorker<Real>::inputs(const Half& half, Index steps) {
    const bool first = half.layer == 0;
    const Index size = network_.architecture().layer_input_size(half.layer);
    if (!first && !half.backwards) return {row_of(half.layer - 1, step_, 0), size};
    Real* to = inputs_.data();
    for (Index i = step_; i < step_ + steps; ++i)
        for (Index column = 0; column < running_; ++column, to += input_stride_) {
            const auto c = static_cast<std::size_t>(column);
            const Index index = half.backwards ? lengths_[c] - 1 - i : i;
            if (first)
                read_input<Real>(network_.input_units(), x_[c].row(step_of(column, index)),
                                 x_[c].stride, to, size);
            else
                copy_row(row_of(half.layer - 1, index, column), 1, to, 1, size);
        }
    return {inputs_.data(), input_stride_};
}

template <class Real>
void LayerwiseWorker<Real>::keep_states(const Half& half, Index steps) {
    const Real* state = slot(running_);
    for (Index i = step_; i < step_ + steps; ++i)
        for (Index column = 0; column < running_; ++column, state += slot_stride_) {
            const Index index =
                half.backwards ? lengths_[static_cast<std::size_t>(column)] - 1 - i : i;
            copy_row(state, 1, row_of(half.layer, index, column) + half.column, 1, half.size);
            if (task_.hidden) keep_hidden(half, column, state, covered(half, column, index));
        }
}

template <class Real>
void LayerwiseWorker<Real>::keep_hidden(const Half& half, Index column, const Real* state,
                                        Steps steps) {
    Real* first = task_.hidden + sequence(group_ + column) * task_.steps * state_size();
    for (Index t = steps.first; t < steps.last; ++t)
        copy_row(state, 1, first + t * state_size() + half.offset, 1, half.size);
}

// --- outputs -------------------------------------------------------------------------------------

template <class Real>
void LayerwiseWorker<Real>::keep_outputs(Index steps) {
    const Real* states = row_of(halves_.back().layer, step_, 0);
    read_out<Real>(network_, {states, width(halves_.back().layer)},
                   {outputs_.data(), output_stride_}, running_ * steps);
    const Real* output = outputs_.data();
    for (Index i = step_; i < step_ + steps; ++i)
        for (Index column = 0; column < running_; ++column, output += output_stride_) {
            const Rows<Real>& y = y_[static_cast<std::size_t>(column)];
            copy_row(output, 1, y.row(step_of(column, i)), y.stride, output_size());
        }
}

// Those of the last real steps, and zeros where there is none.
template <class Real>
void LayerwiseWorker<Real>::keep_last_outputs() {
    Index count = 0;
    for (; count < columns_; ++count) {
        const Index length = lengths_[static_cast<std::size_t>(count)];
        if (length == 0) break;  // and so are the columns after it
        copy_row(row_of(halves_.back().layer, length - 1, count), 1,
                 inputs_.data() + count * input_stride_, 1, width(halves_.back().layer));
    }
    if (count > 0)
        read_out<Real>(network_, {inputs_.data(), input_stride_}, {outputs_.data(), output_stride_},
                       count);
    for (Index column = 0; column < columns_; ++column) {
        const Rows<Real>& y = y_[static_cast<std::size_t>(column)];
        if (column < count)
            copy_row(outputs_.data() + column * output_stride_, 1, y.data, y.stride, output_size());
        else
            zero_row(output_size(), y.data, y.stride);
    }
}

// Goes on with the outputs of steps that are not real, some gaps at a time.
template <class Real>
void LayerwiseWorker<Real>::fill_gaps() {
    held_.clear();
    for (Index done = 0; gap_column_ < columns_ && done < products_; ++done) {
        const Steps steps = gap(gap_column_, gap_);
        const Rows<Real>& y = y_[static_cast<std::size_t>(gap_column_)];
        if (task_.hold_outputs && !steps.empty()) {
            held_state(inputs_.data() + static_cast<Index>(held_.size()) * input_stride_);
            held_.push_back({gap_column_, steps});
        } else {
            for (Index t = steps.first; t < steps.last; ++t)
                zero_row(output_size(), y.row(t), y.stride);
        }
        if (++gap_ > lengths_[static_cast<std::size_t>(gap_column_)]) begin_gaps(gap_column_ + 1);
    }
    const auto count = static_cast<Index>(held_.size());
    if (count > 0)
        read_out<Real>(network_, {inputs_.data(), input_stride_}, {outputs_.data(), output_stride_},
                       count);
    for (Index i = 0; i < count; ++i) {
        const auto& [column, steps] = held_[static_cast<std::size_t>(i)];
        const Rows<Real>& y = y_[static_cast<std::size_t>(column)];
        for (Index t = steps.first; t < steps.last; ++t)
            copy_row(outputs_.data() + i * output_stride_, 1, y.row(t), y.stride, output_size());
    }
}

// Without a mask there is one, the padding.
template <class Real>
void LayerwiseWorker<Real>::begin_gaps(Index column) {
    gap_column_ = column;
    gap_ = task_.mask || column == columns_ ? 0 : lengths_[static_cast<std::size_t>(column)];
}

// The states of the top layer in a gap: each half's, from where it came to the gap.
template <class Real>
void LayerwiseWorker<Real>::held_state(Real* state) const {
    const Index length = lengths_[static_cast<std::size_t>(gap_column_)];
    for (const Half& half : halves_) {
        if (half.layer != halves_.back().layer) continue;
        const Index index = half.backwards ? gap_ : gap_ - 1;
        if (index >= 0 && index < length)
            copy_row(row_of(half.layer, index, gap_column_) + half.column, 1, state + half.column,
                     1, half.size);
        else
            start_state(half, gap_column_, state + half.column);
    }
}

template class LayerwiseWorker<float>;
template class LayerwiseWorker<double>;

}  // namespace elman
