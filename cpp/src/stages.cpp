#include "stages.hpp"

#include <algorithm>

namespace elman {

template <class Real>
std::vector<HalfRange> split_halves(const Network<Real>& network, Index parts) {
    const std::vector<Half>& halves = network.halves();
    Index total = 0, done = 0;
    for (const Half& half : halves) total += half.multiply_adds();
    std::vector<HalfRange> runs{{0, 0}};
    for (std::size_t h = 0; h < halves.size(); ++h) {
        const Index share = static_cast<Index>(runs.size()) * total / parts;
        if (runs.back().last > runs.back().first && done + halves[h].multiply_adds() / 2 > share)
            runs.push_back({h, h});
        runs.back().last = h + 1;
        done += halves[h].multiply_adds();
    }
    return runs;
}

template <class Real>
Channel<Real>::Channel(Index columns, Index stride)
    : stride_(stride),
      size_(columns * stride),
      numbers_(static_cast<std::size_t>(kChunks * size_)) {}

template <class Real>
void Channel<Real>::put(Columns<const Real> states, Index count) {
    std::copy_n(states.data, count * stride_, numbers_.data() + put_++ % kChunks * size_);
    filled_.raise();
}

template <class Real>
void Channel<Real>::take() {
    ++took_;
    taken_.raise();
}

template <class Real>
Stage<Real>::Stage(const SequenceJob<Real>& job, Index first, Index last,
                   Workspace<Real>& workspace, Channel<Real>* below, Channel<Real>* above)
    : job_(job),
      task_(job.task),
      first_(first),
      last_(last),
      work_(work_of_step(job.network)),
      below_(below),
      above_(above),
      block_(&workspace.block),
      own_(workspace.block),
      group_(workspace.group) {}

template <class Real>
void Stage<Real>::share_rows(Index threads) {
    const Network<Real>& network = job_.network;
    const Index capacity = own_.capacity();
    rows_ = std::make_unique<SharedRows<Real>>(network, capacity, threads);
    other_ = std::make_unique<Block<Real>>(network, all_halves(network),
                                           std::min(kGroup, last_ - first_), capacity);
}

template <class Real>
void Stage<Real>::run(Poll& poll) {
    run_groups(poll);
    if (rows_) rows_->finish();
}

template <class Real>
void Stage<Real>::run_groups(Poll& poll) {
    for (Index first = first_; first < last_; first += kGroup) {
        const Index columns = std::min(kGroup, last_ - first);
        group_.plan(job_, first, columns);
        take_free_block(0);
        block_->start(columns, [&](Index column) { return job_.start(first + column); });
        // Polls even here: there may be many sequences without steps.
        if (!poll.go_on(columns * 8 * job_.network.state_size())) return;
        const bool done = for_each_chunk(
            group_.timetable, [&](Index running) { return most_steps(running); },
            [&](const Stretch& chunk) { return advance(chunk, poll); },
            [&](Index from, Index to, Index step) {
                return (task_.fed_back == 0 || feed_back(poll)) &&
                       finish(from, to, step + task_.fed_back, poll);
            });
        if (!done) return;
    }
}

template <class Real>
Index Stage<Real>::most_steps(Index columns) const {
    const Index steps = block_->capacity() / columns;
    return below_ || above_ ? std::min(kStageSteps, steps) : steps;
}

template <class Real>
bool Stage<Real>::advance(const Stretch& chunk, Poll& poll) {
    const Index columns = chunk.columns, steps = chunk.steps();
    if (below_ && !below_->has_chunk(poll)) return false;
    if (above_ && !above_->has_room(poll)) return false;
    take_free_block(columns);
    if (below_) {
        block_->advance(below_->front(), columns, steps);
        below_->take();
    } else {
        const Network<Real>& network = job_.network;
        const Columns<const Real> x =
            read_inputs(network.input_scaling(), group_.x.data(), chunk.first, columns, steps,
                        block_->inputs(), network.input_size());
        if (rows_)
            rows_->advance(*block_, x, columns, steps, first_output(chunk));
        else
            block_->advance(x, columns, steps);
    }
    if (task_.hidden) keep_hidden(chunk);
    if (above_)
        above_->put(block_->states(), columns * steps);
    else if (task_.outputs == Outputs::all)
        keep_outputs(chunk);
    return poll.go_on(columns * steps * work_);
}

// If helpers may still read the current block, continues in the other one from the states of the
// first columns.
template <class Real>
void Stage<Real>::take_free_block(Index columns) {
    if (!rows_ || !rows_->may_read(*block_)) return;
    Block<Real>* const free = block_ == &own_ ? other_.get() : &own_;
    free->continue_from(*block_, columns);
    block_ = free;
}

// The first column of a chunk's states that gives an output.
template <class Real>
Index Stage<Real>::first_output(const Stretch& chunk) const {
    const Index first = task_.outputs == Outputs::all ? task_.first_output : chunk.last;
    return (std::clamp(first, chunk.first, chunk.last) - chunk.first) * chunk.columns;
}

template <class Real>
void Stage<Real>::keep_hidden(const Stretch& chunk) {
    for (Index column = 0; column < chunk.columns; ++column)
        for (Index t = 0; t < chunk.steps(); ++t)
            block_->get_hidden(t * chunk.columns + column,
                               job_.hidden(group_.first + column, chunk.first + t));
}

template <class Real>
void Stage<Real>::keep_outputs(const Stretch& chunk) {
    const Index first = std::max(chunk.first, task_.first_output);
    if (first >= chunk.last) return;
    if (!rows_)
        block_->outputs().read_out(block_->states().from(first_output(chunk)),
                                   (chunk.last - first) * chunk.columns);
    for (Index column = 0; column < chunk.columns; ++column) {
        const Rows<Real>& y = group_.output(column);
        for (Index t = first; t < chunk.last; ++t)
            block_->outputs().write((t - first) * chunk.columns + column,
                                    y.row(t - task_.first_output), y.stride);
    }
}

// Feeds each output back as the next input. All sequences of the group have the same steps. One
// sequence alone advances as a stream does: 512 units take 0.85 times as long with AVX2, 0.58 times
// with AVX-512.
template <class Real>
bool Stage<Real>::feed_back(Poll& poll) {
    const Network<Real>& network = job_.network;
    const Index columns = group_.columns();
    OutputColumns<Real>& outputs = block_->outputs();
    const Columns<Real> x = block_->inputs();
    outputs.read_out(block_->states_now(), columns);
    if (columns == 1) block_->prepare_steps();
    for (Index t = task_.steps; t < task_.steps + task_.fed_back; ++t) {
        if (columns == 1) {
            block_->step(block_->read(outputs.output(0), 1));
        } else {
            for (Index column = 0; column < columns; ++column)
                read_input(network.input_scaling(), outputs.output(column), 1, x.column(column),
                           network.input_size());
            block_->advance(x, columns, 1);
            outputs.read_out(block_->states_now(), columns);
        }
        if (task_.outputs == Outputs::all && t >= task_.first_output)
            for (Index column = 0; column < columns; ++column) {
                const Rows<Real>& y = group_.output(column);
                outputs.write(column, y.row(t - task_.first_output), y.stride);
            }
        if (!poll.go_on(columns * work_)) return false;
    }
    return true;
}

// Writes the results of the columns [first, last), whose last step was the one before `step`.
template <class Real>
bool Stage<Real>::finish(Index first, Index last, Index step, Poll& poll) {
    const bool with_last_outputs = !above_ && task_.outputs == Outputs::last && step > 0;
    if (with_last_outputs)
        block_->outputs().read_out(block_->states_now().from(first), last - first);
    for (Index column = first; column < last; ++column) {
        const Rows<Real>& y = group_.output(column);
        if (with_last_outputs) block_->outputs().write(column - first, y.data, y.stride);
        if (Real* state = job_.final_state(group_.first + column)) block_->get_state(column, state);
        if (!fill_up(column, step, poll)) return false;
    }
    return true;
}

// The steps of a column after its end: the state is held, and outputs are zero.
template <class Real>
bool Stage<Real>::fill_up(Index column, Index step, Poll& poll) {
    const Index size = job_.network.output_size();
    const Rows<Real>& y = group_.output(column);
    if (task_.outputs == Outputs::last) {
        if (step == 0 && !above_) zero_row(y.data, y.stride, size);
        if (!task_.hidden) return poll.go_on(0);
    }
    const Index steps = job_.total_steps(group_.first + column);
    for (Index t = step; t < steps; ++t) {
        if (task_.hidden) block_->get_state(column, job_.hidden(group_.first + column, t));
        if (!above_ && task_.outputs == Outputs::all && t >= task_.first_output)
            zero_row(y.row(t - task_.first_output), y.stride, size);
        if (!poll.go_on(8 * (size + job_.network.state_size()))) return false;
    }
    return true;
}

template std::vector<HalfRange> split_halves(const Network<float>&, Index);
template std::vector<HalfRange> split_halves(const Network<double>&, Index);
template class Channel<float>;
template class Channel<double>;
template class Stage<float>;
template class Stage<double>;

}  // namespace elman
