// views.hpp - numbers in memory that somebody else owns, and how far apart they lie.
//
// Strides count numbers, not bytes, and may be zero or negative where not said otherwise.
#pragma once

#include <vector>

#include "elman/types.hpp"

namespace elman {

// `size` numbers, `stride` apart, for each of some steps, `step_stride` apart.
template <class Real>
struct Rows {
    Real* data;
    Index step_stride;
    Index stride;

    Real* row(Index step) const { return data + step * step_stride; }
};

// Rows for each of B sequences over some batch axes, the last axis fastest.
template <class Real>
struct SequencesView {
    Real* data = nullptr;
    std::vector<Index> shape;    // of the batch axes
    std::vector<Index> strides;  // likewise
    Index step_stride = 0;
    Index stride = 0;

    Rows<Real> sequence(Index b) const {
        if (shape.empty()) return {data, step_stride, stride};
        Real* first = data;
        for (std::size_t axis = shape.size(); --axis > 0; b /= shape[axis])
            first += b % shape[axis] * strides[axis];
        return {first + b * strides[0], step_stride, stride};
    }
};

// Columns of numbers that follow each other, as the kernels read and write them.
template <class Real>
struct Columns {
    Real* data = nullptr;
    Index stride = 0;  // from one column to the next; 0: the same column every time

    Columns() = default;
    Columns(Real* first, Index apart) : data(first), stride(apart) {}
    template <class Other>  // of numbers to write into numbers to read
    Columns(const Columns<Other>& other) : data(other.data), stride(other.stride) {}

    Real* column(Index n) const { return data + n * stride; }
    Columns from(Index n) const { return {column(n), stride}; }
};

// Columns over time: the slot of a step holds the columns of all sequences.
template <class Real>
struct Slots {
    Real* data = nullptr;
    Index stride = 0;  // from one column of a slot to the next
    Index step = 0;    // from one slot to the next

    Slots() = default;
    Slots(Real* first, Index apart, Index step_apart)
        : data(first), stride(apart), step(step_apart) {}
    template <class Other>
    Slots(const Slots<Other>& other) : data(other.data), stride(other.stride), step(other.step) {}

    Columns<Real> at(Index t) const { return {data + t * step, stride}; }
    Slots from(Index t) const { return {data + t * step, stride, step}; }
};

}  // namespace elman
