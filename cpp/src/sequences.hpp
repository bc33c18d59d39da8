// sequences.hpp - the job shared by the engines for whole sequences.
#pragma once

#include <vector>

#include "elman/sequence.hpp"
#include "scaling.hpp"
#include "timetable.hpp"

namespace elman {

// A checked task. Positions are places in the order of work, the longest sequence first.
template <class Real>
struct SequenceJob {
    const Network<Real>& network;
    const SequenceTask<Real>& task;
    const Index* lengths = nullptr;  // real steps of each sequence; null: all steps
    const Index* order = nullptr;    // the sequence at each position; null: identity

    // Whether the number of real steps may differ between sequences.
    bool ragged() const { return lengths || task.offsets; }
    Index sequence(Index position) const { return order ? order[position] : position; }
    Index given_steps(Index sequence) const {
        return task.offsets ? task.offsets[sequence + 1] - task.offsets[sequence] : task.steps;
    }
    // Given and fed-back steps.
    Index total_steps(Index position) const {
        return given_steps(sequence(position)) + task.fed_back;
    }
    // Real steps among the given ones.
    Index length(Index position) const {
        return lengths ? lengths[sequence(position)] : given_steps(sequence(position));
    }

    // The first row of a sequence in arrays with a row per step.
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

    // The start state of a sequence; null: the network's initial state.
    const Real* start(Index position) const {
        return task.state ? task.state + sequence(position) * network.state_size() : nullptr;
    }
    // Destination of the final state; null: not requested.
    Real* final_state(Index position) const {
        return task.final_state ? task.final_state + sequence(position) * network.state_size()
                                : nullptr;
    }
    Real* hidden(Index position, Index step) const {
        return task.hidden + (first_row(sequence(position)) + step) * network.state_size();
    }
};

// Neighbouring positions, as columns.
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
