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

    Index total_steps() const { return task.steps + task.fed_back; }
    Index sequence(Index position) const { return order ? order[position] : position; }
    Index length(Index position) const {
        return lengths ? lengths[sequence(position)] : task.steps;
    }

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
        return task.hidden + (sequence(position) * task.steps + step) * network.state_size();
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
            x.push_back(job.task.x.sequence(job.sequence(begin + column)));
            y.push_back(job.task.output.sequence(job.sequence(begin + column)));
        }
    }

    Index columns() const { return timetable.columns(); }
    const Rows<Real>& output(Index column) const { return y[static_cast<std::size_t>(column)]; }
};

}  // namespace elman
