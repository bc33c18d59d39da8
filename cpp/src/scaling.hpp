// scaling.hpp - scaling of inputs and outputs.
#pragma once

#include <algorithm>
#include <cstring>

#include "elman/network.hpp"
#include "elman/views.hpp"

namespace elman {

// to[i * to_stride] = from[i * from_stride]
template <class Real>
void copy_row(const Real* from, Index from_stride, Real* to, Index to_stride, Index size) {
    constexpr Index kBlock = 16 / sizeof(Real);
    constexpr Index kShort = 16;  // up to here a loop is faster than memmove
    if (from_stride != 1 || to_stride != 1) {
        for (Index i = 0; i < size; ++i) to[i * to_stride] = from[i * from_stride];
    } else if (size > kShort) {
        std::copy_n(from, size, to);
    } else if (size >= kBlock) {  // the last block may overlap with the one before
        for (Index i = 0; i < size - kBlock; i += kBlock) std::memcpy(to + i, from + i, 16);
        std::memcpy(to + size - kBlock, from + size - kBlock, 16);
    } else {
        for (Index i = 0; i < size; ++i) to[i] = from[i];
    }
}

template <class Real>
void zero_row(Real* to, Index stride, Index size) {
    for (Index i = 0; i < size; ++i) to[i * stride] = Real(0);
}

template <class Real>
bool is_scaled(const InputScaling<Real>& input) {
    return input.mean || input.reciprocal_std;
}

// Whether the first layer can read rows of this stride directly.
template <class Real>
bool reads_as_it_is(const InputScaling<Real>& input, Index stride) {
    return stride == 1 && !is_scaled(input);
}

// x = (x - mean) * (1 / std), the difference and the product rounded.
template <class Real>
void scale_input(const InputScaling<Real>& input, Real* x, Index size) {
    if (input.mean)
        for (Index i = 0; i < size; ++i) x[i] -= input.mean[i];
    if (input.reciprocal_std)
        for (Index i = 0; i < size; ++i) x[i] *= input.reciprocal_std[i];
}

// to = x, scaled.
template <class Real>
void read_input(const InputScaling<Real>& input, const Real* x, Index stride, Real* to,
                Index size) {
    copy_row(x, stride, to, 1, size);
    scale_input(input, to, size);
}

// The input of the first layer for several sequences, x being the rows of each: `columns` sequences
// at each of `steps` steps from `first`. Written to `to`, `size` elements each, unless the rows of
// a single sequence can be read directly. (Scaled row by row, without a second loop, small batches
// take 1.01 to 1.08 times as long, scaled or not: the loop needs more registers than there are.)
template <class Real>
Columns<const Real> read_inputs(const InputScaling<Real>& input, const Rows<const Real>* x,
                                Index first, Index columns, Index steps, Columns<Real> to,
                                Index size) {
    if (columns == 1 && reads_as_it_is(input, x->stride)) return {x->row(first), x->step_stride};
    for (Index c = 0; c < columns; ++c) {
        const Rows<const Real> from = x[c].from(first);
        const Columns<Real> column{to.column(c), columns * to.stride};
        for (Index t = 0; t < steps; ++t)
            copy_row(from.row(t), from.stride, column.column(t), 1, size);
    }
    if (is_scaled(input))
        for (Index n = 0; n < columns * steps; ++n) scale_input(input, to.column(n), size);
    return to;
}

// y_i * std_i + mean_i, with the product rounded.
template <class Real>
Real scaled_output(const OutputScaling<Real>& output, Real y, Index i) {
    if (output.std) y *= output.std[i];
    if (output.mean) y += output.mean[i];
    return y;
}

}  // namespace elman
