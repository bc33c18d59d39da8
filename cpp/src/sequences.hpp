// sequences.hpp - what the engines of whole sequences share: the task, and who has which step.
#pragma once

#include <vector>

#include "elman/sequence.hpp"
#include "scaling.hpp"
#include "timetable.hpp"

namespace elman {

// A task that was checked. Positions are places in the order of work, the longest sequence first.
template <class Real>
struct SequenceJob {
    const Network<Real>& network;
    const SequenceTask<Real>& task;
    const Index* lengths = nullptr;  // real steps of each sequence; null: all of them
    const Index* order = nullptr;    // the sequence of each position; null: the same number

    // Whether sequences may differ in their real steps.
    bool ragged() const { return lengths || task.offsets; }
    Index sequence(Index position) const { return order ? order[position] : position; }
    Index given_steps(Index sequence) const {
        return task.offsets ? task.offsets[sequence + 1] - task.offsets[sequence] : task.steps;
    }
    // Those that are given and those that are fed back.
    Index total_steps(Index position) const {
        return given_steps(sequence(position)) + task.fed_back;
    }
    // The real ones among those that are given.
    Index length(Index position) const {
        return lengths ? lengths[sequence(position)] : given_steps(sequence(position));
    }

    // The first of the rows that a sequence has in arrays with a row for every step.
    Index first_row(Index sequence) const {
        return task.offsets ? task.offsets[sequence] : sequence * task.steps;
    }
    template <class Number>
    Rows<Number> rows(const SequencesView<Number>& view, Index sequence) const {
        if (!task.offsets) return view.sequence(sequence);
        const Rows<Number> all = view.sequence(0);
        return {all.row(task.offsets[sequence]), all.step_stride, all.stride};
    }
    const unsigned char* mask(Index sequence) const { return task.mask + first_row(sequence); }

    // Where the sequence at a position begins; null: at the network's initial state.
    const Real* start(Index position) const {
        return task.state ? task.state + sequence(position) * network.state_size() : nullptr;
    }
    // Where its states go; null: they are not wanted.
    Real* final_state(Index position) const {
        return task.final_state ? task.final_state + sequence(position) * network.state_size()
                                : nullptr;
    }
    Real* hidden(Index position, Index step) const {
        return task.hidden + (first_row(sequence(position)) + step) * network.state_size();
    }
};

// Sequences next to each other in the order, as columns.
template <class Real>
struct Group {
    Index first = 0;  // position of the first column
    Timetable timetable;
    std::vector<Rows<const Real>> x;
    std::vector<Rows<Real>> y;

    void reserve(Index columns) {
        timetable.reserve(columns);
        x.reserve(static_cast<std::size_t>(columns));
        y.reserve(static_cast<std::size_t>(columns));
    }

    void plan(const SequenceJob<Real>& job, Index begin, Index columns) {
        first = begin;
        timetable.plan(columns, [&](Index column) { return job.length(begin + column); });
        x.clear();
        y.clear();
        for (Index column = 0; column < columns; ++column) {
            const Index sequence = job.sequence(begin + column);
            x.push_back(job.rows(job.task.x, sequence));
            y.push_back(job.task.outputs == Outputs::all ? job.rows(job.task.output, sequence)
                                                         : job.task.output.sequence(sequence));
        }
    }

    Index columns() const { return timetable.columns(); }
    const Rows<Real>& output(Index column) const { return y[static_cast<std::size_t>(column)]; }
};

}  // namespace elman
