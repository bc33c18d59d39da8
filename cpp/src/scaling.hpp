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

// Whether the first layer can read rows of this stride directly.
template <class Real>
bool reads_as_it_is(const InputScaling<Real>& input, Index stride) {
    return stride == 1 && !input.mean && !input.reciprocal_std;
}

// to = (x - mean) * (1 / std), the difference and the product rounded.
template <class Real>
void read_input(const InputScaling<Real>& input, const Real* x, Index stride, Real* to,
                Index size) {
    copy_row(x, stride, to, 1, size);
    if (input.mean)
        for (Index i = 0; i < size; ++i) to[i] -= input.mean[i];
    if (input.reciprocal_std)
        for (Index i = 0; i < size; ++i) to[i] *= input.reciprocal_std[i];
}

// The input of the first layer for several sequences, x being the rows of each: `columns` sequences
// at each of `steps` steps from `first`. Written to `to`, `size` elements each, unless the rows of
// a single sequence can be read directly.
template <class Real>
Columns<const Real> read_inputs(const InputScaling<Real>& input, const Rows<const Real>* x,
                                Index first, Index columns, Index steps, Columns<Real> to,
                                Index size) {
    if (columns == 1 && reads_as_it_is(input, x->stride)) return {x->row(first), x->step_stride};
    for (Index c = 0; c < columns; ++c)
        for (Index t = 0; t < steps; ++t)
            read_input(input, x[c].row(first + t), x[c].stride, to.column(t * columns + c), size);
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
