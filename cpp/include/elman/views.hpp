// views.hpp - strided views of memory owned by the caller.
//
// Strides count elements, not bytes, and may be zero or negative unless stated otherwise.
#pragma once

#include <vector>

#include "elman/types.hpp"

namespace elman {

// A view (steps, size) with a stride for each axis.
template <class Real>
struct Rows {
    Real* data;
    Index step_stride;
    Index stride;

    Real* row(Index step) const { return data + step * step_stride; }
    Rows from(Index step) const { return {row(step), step_stride, stride}; }
};

// Rows for each of B sequences over batch axes; the last axis is fastest.
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

// Columns of contiguous elements, as read and written by the kernels.
template <class Real>
struct Columns {
    Real* data = nullptr;
    Index stride = 0;  // between columns; 0: the same column every time

    Columns() = default;
    Columns(Real* first, Index apart) : data(first), stride(apart) {}
    template <class Other>  // from writable to const elements
    Columns(const Columns<Other>& other) : data(other.data), stride(other.stride) {}

    Real* column(Index n) const { return data + n * stride; }
    Columns from(Index n) const { return {column(n), stride}; }
};

// Columns over time: a slot holds the columns of all sequences at one step.
template <class Real>
struct Slots {
    Real* data = nullptr;
    Index stride = 0;  // between columns of a slot
    Index step = 0;    // between slots

    Slots() = default;
    Slots(Real* first, Index apart, Index step_apart)
        : data(first), stride(apart), step(step_apart) {}
    template <class Other>
    Slots(const Slots<Other>& other) : data(other.data), stride(other.stride), step(other.step) {}

    Columns<Real> at(Index t) const { return {data + t * step, stride}; }
    Slots from(Index t) const { return {data + t * step, stride, step}; }
};

}  // namespace elman
