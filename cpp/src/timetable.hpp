// timetable.hpp - the schedule of columns and steps used by all engines.
//
// The sequences of a group are columns, the longest first, so the columns that have a given step
// are the first ones. A stretch is a run of steps with the same columns. Per-step data is stored in
// rows: step by step, and within a step column by column.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "elman/types.hpp"

namespace elman {

struct Stretch {
    Index first, last;  // steps
    Index columns;
    Index row;  // of its first step and column

    Index steps() const { return last - first; }
    // The steps [from, to) of this stretch.
    Stretch part(Index from, Index to) const {
        return {from, to, columns, row + (from - first) * columns};
    }
};

class Timetable {
  public:
    void reserve(Index columns) {
        lengths_.reserve(static_cast<std::size_t>(columns));
        stretches_.reserve(static_cast<std::size_t>(columns));
    }

    // length(column) is non-increasing. Reuses the memory of the previous plan.
    template <class Length>  // length(column)
    void plan(Index columns, Length length) {
        lengths_.resize(static_cast<std::size_t>(columns));
        stretches_.clear();
        for (Index column = 0; column < columns; ++column)
            lengths_[static_cast<std::size_t>(column)] = length(column);
        Index first = 0, row = 0;
        for (Index running = columns; running > 0;) {
            const Index last = this->length(running - 1);
            if (last > first) {
                stretches_.push_back({first, last, running, row});
                row += (last - first) * running;
                first = last;
            }
            while (running > 0 && this->length(running - 1) == last) --running;
        }
        rows_ = row;
    }

    Index columns() const { return static_cast<Index>(lengths_.size()); }
    Index length(Index column) const { return lengths_[static_cast<std::size_t>(column)]; }
    Index longest() const { return lengths_.empty() ? 0 : lengths_[0]; }
    Index rows() const { return rows_; }  // the sum of all lengths
    const std::vector<Stretch>& stretches() const { return stretches_; }

  private:
    std::vector<Index> lengths_;
    std::vector<Stretch> stretches_;
    Index rows_ = 0;
};

// Iterates over a timetable: chunk(part) for parts of at most most_steps(columns) steps of a
// stretch, and ended(first, last, step) for the columns [first, last) that end there. Returns false
// as soon as a callback does.
template <class Most, class Chunk, class Ended>
bool for_each_chunk(const Timetable& timetable, Most most_steps, Chunk chunk, Ended ended) {
    Index running = timetable.columns(), step = 0;
    for (const Stretch& stretch : timetable.stretches()) {
        if (running > stretch.columns && !ended(stretch.columns, running, step)) return false;
        running = stretch.columns;
        while (step < stretch.last) {
            const Index next = std::min(stretch.last, step + most_steps(running));
            if (!chunk(stretch.part(step, next))) return false;
            step = next;
        }
    }
    return running == 0 || ended(Index(0), running, step);
}

// 0 ... count-1, the longest first; equal lengths keep their order.
template <class Length>  // length(i)
std::vector<Index> longest_first(Index count, Length length) {
    std::vector<Index> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), Index(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return length(a) > length(b); });
    return order;
}

}  // namespace elman
