#include "layerwise.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "block.hpp"
#include "start_state.hpp"

namespace elman {
namespace {

// Memory for the states of two layers at all steps of a group: enough for many columns of sequences
// of a thousand steps.
constexpr Index kGroupBytes = 32 * 1024 * 1024;

// The steps [first, last) of a task.
struct Steps {
    Index first, last;

    bool empty() const { return first >= last; }
};

struct Gap {
    Index column;
    Steps steps;
};

// The sequences of one group. Only real steps are computed; masked steps are left out. So there are
// four ways to count:
//
//   step       of the task, 0 ... T-1
//   index      of a column's real steps, 0 ... length-1; equals the step without a mask
//   time       indices a half has done before: the index, or length - 1 - index in reverse
//   row        of an index and a column, in the order of the timetable: rows_ and real_steps_
template <class Real>
class LayerGroup {
  public:
    explicit LayerGroup(const SequenceJob<Real>& job) : job_(job), task_(job.task) {
        for (const LayerShape& layer : job.network.architecture().layers)
            widest_ = std::max(widest_, layer.output_size());
        read_out_nothing();
    }

    // The number of positions in the group that starts at `first`, before `last`.
    Index columns_from(Index first, Index last) const;

    // Runs a group; false if stopped.
    bool run(Index first, Index columns, Poll& poll);

  private:
    bool plan(Index first, Index columns, Poll& poll);
    bool run_half(const Half& half, Poll& poll);
    Columns<const Real> inputs(const Half& half, Block<Real>& block, const Stretch& chunk) const;
    template <class Each>
    void for_each_state(const Half& half, const Stretch& chunk, Each each) const;
    bool keep_states(const Half& half, const Block<Real>& block, const Stretch& chunk, Poll& poll);
    bool keep_hidden(const Half& half, Index column, const Real* state, Steps steps, Poll& poll);
    void keep_final_state(const Half& half, const Block<Real>& block, Index column);

    void read_out_nothing();
    void write_last_outputs();
    bool write_outputs(Poll& poll);
    bool write_gaps(Poll& poll);
    bool write_nothing(const Gap& gap, Poll& poll);
    bool write_held(const std::vector<Gap>& gaps, Columns<const Real> states,
                    OutputColumns<Real>& outputs, Poll& poll);
    void held_state(Index column, Index index, Real* state) const;

    // --- steps, indices and rows ---

    Index length(Index column) const { return group_.timetable.length(column); }
    Index row(Index index, Index column) const {
        return first_rows_[static_cast<std::size_t>(index)] + column;
    }
    Index step_of(Index column, Index index) const {
        return task_.mask ? real_steps_[static_cast<std::size_t>(row(index, column))] : index;
    }
    // The steps between the real steps `index - 1` and `index` of a column.
    Steps steps_before(Index column, Index index) const {
        return {index > 0 ? step_of(column, index - 1) + 1 : 0,
                index < length(column) ? step_of(column, index)
                                       : job_.total_steps(group_.first + column)};
    }
    // The steps a half passes before its first real step.
    Steps before(const Half& half, Index column) const {
        return steps_before(column, half.reverse ? length(column) : 0);
    }
    // The real step `index`, and the following steps in the order of the half, which hold its
    // state.
    Steps covered(const Half& half, Index column, Index index) const {
        const Index step = step_of(column, index);
        if (half.reverse) return {steps_before(column, index).first, step + 1};
        return {step, steps_before(column, index + 1).last};
    }

    // --- states of the layers ---

    const std::vector<Half>& halves() const { return job_.network.halves(); }
    std::size_t top() const { return halves().back().layer; }
    Index width(std::size_t layer) const {
        return job_.network.architecture().layers[layer].output_size();
    }
    Real* row_of(std::size_t layer, Index row) const {
        return rows_[layer % 2].get() + row * width(layer);
    }
    Columns<const Real> rows_from(std::size_t layer, Index row) const {
        return {row_of(layer, row), width(layer)};
    }
    Index outputs_at_a_time(Index columns, Index steps) const {
        const Index numbers = padded<Real>(job_.network.output_size()) + width(top());
        return columns_at_a_time(columns, steps, numbers * static_cast<Index>(sizeof(Real)));
    }
    Index output_work() const { return job_.network.output_size() * (width(top()) + 32) + 128; }

    const SequenceJob<Real>& job_;
    const SequenceTask<Real>& task_;
    Index widest_ = 0;
    AlignedVector<Real> nothing_;  // the output of steps that are not real, unless it is held

    Group<Real> group_;
    std::vector<Index> first_rows_;    // of each index: the row of its first column
    std::vector<Index> real_steps_;    // with a mask: the step of each row
    std::unique_ptr<Real[]> rows_[2];  // of a layer and of the one below, alternating
    Index row_capacity_ = 0;
};

template <class Real>
Index LayerGroup<Real>::columns_from(Index first, Index last) const {
    const Index most = kGroupBytes / (2 * widest_ * static_cast<Index>(sizeof(Real)));
    Index columns = 1;
    for (Index rows = job_.length(first); first + columns < last && columns < kGroup; ++columns) {
        const Index more = job_.length(first + columns);
        if (more > most - rows) break;
        rows += more;
    }
    return columns;
}

template <class Real>
bool LayerGroup<Real>::plan(Index first, Index columns, Poll& poll) {
    group_.plan(job_, first, columns);
    const Timetable& timetable = group_.timetable;
    first_rows_.clear();
    first_rows_.reserve(static_cast<std::size_t>(timetable.longest()));
    for (const Stretch& stretch : timetable.stretches())
        for (Index index = stretch.first; index < stretch.last; ++index) {
            first_rows_.push_back(stretch.part(index, index).row);
            if (!poll.go_on(4)) return false;
        }
    if (timetable.rows() > row_capacity_) {
        // Not zeroed: that would take long for a very long sequence.
        for (std::size_t l = 0; l < std::min<std::size_t>(top() + 1, 2); ++l)
            rows_[l].reset(new Real[static_cast<std::size_t>(timetable.rows() * widest_)]);
        row_capacity_ = timetable.rows();
    }
    if (!task_.mask) return true;
    real_steps_.resize(static_cast<std::size_t>(timetable.rows()));
    for (Index column = 0; column < columns; ++column) {
        const unsigned char* mask = job_.mask(job_.sequence(first + column));
        const Index steps = job_.total_steps(first + column);
        for (Index step = 0, index = 0; step < steps; ++step) {
            if (mask[step]) real_steps_[static_cast<std::size_t>(row(index++, column))] = step;
            if (!poll.go_on(4)) return false;
        }
    }
    return true;
}

template <class Real>
bool LayerGroup<Real>::run(Index first, Index columns, Poll& poll) {
    if (!plan(first, columns, poll)) return false;
    for (const Half& half : halves())
        if (!run_half(half, poll)) return false;
    if (task_.outputs == Outputs::all) return write_outputs(poll) && write_gaps(poll);
    write_last_outputs();
    return true;
}

// --- one half over all steps ---

template <class Real>
bool LayerGroup<Real>::run_half(const Half& half, Poll& poll) {
    const auto h = static_cast<std::size_t>(&half - halves().data());
    const Timetable& timetable = group_.timetable;
    const HalfRange only{h, h + 1};
    Block<Real> block(job_.network, only, group_.columns(),
                      capacity_of(job_.network, only, group_.columns(), timetable.longest()));
    block.start(group_.columns(), [&](Index column) { return job_.start(group_.first + column); });
    if (task_.hidden)
        for (Index column = 0; column < group_.columns(); ++column)
            if (!keep_hidden(half, column, block.states_now().column(column), before(half, column),
                             poll))
                return false;
    const Index work = half.hidden_size * (half.input_size + half.hidden_size + 32) + 128;
    return for_each_chunk(
        timetable, [&](Index columns) { return block.capacity() / columns; },
        [&](const Stretch& chunk) {
            block.advance(inputs(half, block, chunk), chunk.columns, chunk.steps());
            return keep_states(half, block, chunk, poll) &&
                   poll.go_on(chunk.columns * chunk.steps() * work);
        },
        [&](Index first, Index last, Index) {
            for (Index column = first; column < last; ++column)
                keep_final_state(half, block, column);
            return true;
        });
}

// Calls each(n, column, index, row) for every state of a chunk, in the order of its columns.
template <class Real>
template <class Each>
void LayerGroup<Real>::for_each_state(const Half& half, const Stretch& chunk, Each each) const {
    Index n = 0;
    if (!half.reverse) {
        for (Index index = chunk.first; index < chunk.last; ++index)
            for (Index column = 0; column < chunk.columns; ++column, ++n)
                each(n, column, index, chunk.row + n);
        return;
    }
    for (Index time = chunk.first; time < chunk.last; ++time)
        for (Index column = 0; column < chunk.columns; ++column, ++n) {
            const Index index = length(column) - 1 - time;
            each(n, column, index, row(index, column));
        }
}

// The input of a half for a chunk. Rows of the layer below are already in order, except in reverse.
template <class Real>
Columns<const Real> LayerGroup<Real>::inputs(const Half& half, Block<Real>& block,
                                             const Stretch& chunk) const {
    const bool lowest = half.layer == 0;
    if (!lowest && !half.reverse) return rows_from(half.layer - 1, chunk.row);
    const Columns<Real> to = block.inputs();
    const Index size = half.input_size;
    if (lowest) {
        const InputScaling<Real> scaling = job_.network.input_scaling();
        for_each_state(half, chunk, [&](Index n, Index column, Index index, Index) {
            const Rows<const Real>& x = group_.x[static_cast<std::size_t>(column)];
            read_input(scaling, x.row(step_of(column, index)), x.stride, to.column(n), size);
        });
    } else {
        const Columns<const Real> below = rows_from(half.layer - 1, 0);
        for_each_state(half, chunk, [&](Index n, Index, Index, Index row) {
            copy_row(below.column(row), 1, to.column(n), 1, size);
        });
    }
    return to;
}

template <class Real>
bool LayerGroup<Real>::keep_states(const Half& half, const Block<Real>& block, const Stretch& chunk,
                                   Poll& poll) {
    const Columns<const Real> states = block.states();
    const Columns<Real> to{row_of(half.layer, 0) + half.column, width(half.layer)};
    const Index size = half.hidden_size;
    for_each_state(half, chunk, [&](Index n, Index, Index, Index row) {
        copy_row(states.column(n), 1, to.column(row), 1, size);
    });
    bool go_on = true;
    if (task_.hidden)
        for_each_state(half, chunk, [&](Index n, Index column, Index index, Index) {
            go_on = go_on &&
                    keep_hidden(half, column, states.column(n), covered(half, column, index), poll);
        });
    return go_on;
}

template <class Real>
bool LayerGroup<Real>::keep_hidden(const Half& half, Index column, const Real* state, Steps steps,
                                   Poll& poll) {
    for (Index t = steps.first; t < steps.last; ++t) {
        copy_row(state, 1, job_.hidden(group_.first + column, t) + half.state, 1, half.hidden_size);
        if (!poll.go_on(8 * half.hidden_size)) return false;
    }
    return true;
}

template <class Real>
void LayerGroup<Real>::keep_final_state(const Half& half, const Block<Real>& block, Index column) {
    if (Real* state = job_.final_state(group_.first + column))
        copy_row(block.states_now().column(column), 1, state + half.state, 1, half.hidden_size);
}

// --- outputs ---

template <class Real>
bool LayerGroup<Real>::write_outputs(Poll& poll) {
    const Index most = outputs_at_a_time(group_.columns(), group_.timetable.longest());
    OutputColumns<Real> outputs(job_.network, most);
    return for_each_chunk(
        group_.timetable, [&](Index columns) { return most / columns; },
        [&](const Stretch& chunk) {
            const Index count = chunk.columns * chunk.steps();
            outputs.read_out(rows_from(top(), chunk.row), count);
            Index n = 0;
            for (Index index = chunk.first; index < chunk.last; ++index)
                for (Index column = 0; column < chunk.columns; ++column, ++n) {
                    const Rows<Real>& y = group_.output(column);
                    outputs.write(n, y.row(step_of(column, index)), y.stride);
                }
            return poll.go_on(count * output_work());
        },
        [](Index, Index, Index) { return true; });
}

// Padding gives zeros; a masked step the readout of zeros.
template <class Real>
void LayerGroup<Real>::read_out_nothing() {
    nothing_.resize(static_cast<std::size_t>(job_.network.output_size()));
    if (!task_.mask || task_.hold_outputs) return;
    const AlignedVector<Real> zeros(static_cast<std::size_t>(width(top())));
    OutputColumns<Real> outputs(job_.network, 1);
    outputs.read_out({zeros.data(), 0}, 1);
    outputs.write(0, nothing_.data(), 1);
}

// Outputs of the last real steps or, with a mask, of the last steps; zeros if there is none.
template <class Real>
void LayerGroup<Real>::write_last_outputs() {
    AlignedVector<Real> numbers(static_cast<std::size_t>(group_.columns() * width(top())));
    const Columns<Real> states{numbers.data(), width(top())};
    const Index size = job_.network.output_size();
    std::vector<Index> read;  // the columns whose last output is that of a state
    for (Index column = 0; column < group_.columns(); ++column) {
        const Index real = length(column);
        const bool masked = task_.mask && !steps_before(column, real).empty();
        Real* state = states.column(static_cast<Index>(read.size()));
        const Rows<Real>& y = group_.output(column);
        if (masked && !task_.hold_outputs) {
            copy_row(nothing_.data(), 1, y.data, y.stride, size);
        } else if (masked) {
            held_state(column, real, state);
            read.push_back(column);
        } else if (real > 0) {
            copy_row(row_of(top(), row(real - 1, column)), 1, state, 1, width(top()));
            read.push_back(column);
        } else {
            zero_row(y.data, y.stride, size);
        }
    }
    const auto count = static_cast<Index>(read.size());
    OutputColumns<Real> outputs(job_.network, count);
    outputs.read_out(states, count);
    for (Index n = 0; n < count; ++n) {
        const Rows<Real>& y = group_.output(read[static_cast<std::size_t>(n)]);
        outputs.write(n, y.data, y.stride);
    }
}

// Outputs of steps that are not real. Without a mask the only gap is the padding.
template <class Real>
bool LayerGroup<Real>::write_gaps(Poll& poll) {
    const bool hold = task_.mask && task_.hold_outputs;
    const Index most = hold ? outputs_at_a_time(1, task_.steps) : 0;
    AlignedVector<Real> numbers(static_cast<std::size_t>(most * width(top())));
    const Columns<Real> states{numbers.data(), width(top())};
    OutputColumns<Real> outputs(job_.network, most);
    std::vector<Gap> held;
    for (Index column = 0; column < group_.columns(); ++column)
        for (Index index = task_.mask ? 0 : length(column); index <= length(column); ++index) {
            const Gap gap{column, steps_before(column, index)};
            if (gap.steps.empty()) {
                if (!poll.go_on(32)) return false;
            } else if (!hold) {
                if (!write_nothing(gap, poll)) return false;
            } else {
                held_state(column, index, states.column(static_cast<Index>(held.size())));
                held.push_back(gap);
                if (static_cast<Index>(held.size()) < most) continue;
                if (!write_held(held, states, outputs, poll)) return false;
                held.clear();
            }
        }
    return write_held(held, states, outputs, poll);
}

template <class Real>
bool LayerGroup<Real>::write_nothing(const Gap& gap, Poll& poll) {
    const Rows<Real>& y = group_.output(gap.column);
    for (Index t = gap.steps.first; t < gap.steps.last; ++t) {
        copy_row(nothing_.data(), 1, y.row(t), y.stride, job_.network.output_size());
        if (!poll.go_on(8 * job_.network.output_size())) return false;
    }
    return true;
}

// Each gap repeats the output of one state.
template <class Real>
bool LayerGroup<Real>::write_held(const std::vector<Gap>& gaps, Columns<const Real> states,
                                  OutputColumns<Real>& outputs, Poll& poll) {
    const auto count = static_cast<Index>(gaps.size());
    if (count > 0) outputs.read_out(states, count);
    for (Index n = 0; n < count; ++n) {
        const auto& [column, steps] = gaps[static_cast<std::size_t>(n)];
        const Rows<Real>& y = group_.output(column);
        for (Index t = steps.first; t < steps.last; ++t) {
            outputs.write(n, y.row(t), y.stride);
            if (!poll.go_on(8 * job_.network.output_size())) return false;
        }
    }
    return poll.go_on(count * output_work());
}

// The states of the top layer in a gap: each half holds the state with which it reached the gap.
template <class Real>
void LayerGroup<Real>::held_state(Index column, Index index, Real* state) const {
    for (const Half& half : halves()) {
        if (half.layer != top()) continue;
        const Index held = half.reverse ? index : index - 1;
        if (held >= 0 && held < length(column))
            copy_row(row_of(half.layer, row(held, column)) + half.column, 1, state + half.column, 1,
                     half.hidden_size);
        else
            start_state(job_.start(group_.first + column), job_.network.initial_state(), half,
                        state + half.column);
    }
}

}  // namespace

template <class Real>
void run_layer_by_layer(const SequenceJob<Real>& job, Index first, Index last, Poll& poll) {
    LayerGroup<Real> group(job);
    while (first < last) {
        const Index columns = group.columns_from(first, last);
        if (!group.run(first, columns, poll)) return;
        first += columns;
    }
}

template void run_layer_by_layer(const SequenceJob<float>&, Index, Index, Poll&);
template void run_layer_by_layer(const SequenceJob<double>&, Index, Index, Poll&);

}  // namespace elman
