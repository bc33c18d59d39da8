// units.hpp - a user's numbers into those of the first layer, and the readout's into the user's.
#pragma once

#include "elman/network.hpp"

namespace elman {

// to[i * to_stride] = from[i * from_stride]
template <class Real>
void copy_row(const Real* from, Index from_stride, Real* to, Index to_stride, Index count) {
    if (from_stride == 1 && to_stride == 1)  // rows are too short to call memmove for
        for (Index i = 0; i < count; ++i) to[i] = from[i];
    else
        for (Index i = 0; i < count; ++i) to[i * to_stride] = from[i * from_stride];
}

template <class Real>
void zero_row(Index size, Real* to, Index stride) {
    for (Index i = 0; i < size; ++i) to[i * stride] = Real(0);
}

// to = (x - shift) * scale
template <class Real>
void read_input(typename Network<Real>::Units units, const Real* x, Index stride, Real* to,
                Index size) {
    copy_row(x, stride, to, 1, size);
    if (units.shift)
        for (Index i = 0; i < size; ++i) to[i] -= units.shift[i];
    if (units.scale)
        for (Index i = 0; i < size; ++i) to[i] *= units.scale[i];
}

// y = y * scale + shift, where the product is rounded.
template <class Real>
Real in_output_units(typename Network<Real>::Units units, Real y, Index i) {
    if (units.scale) y *= units.scale[i];
    if (units.shift) y += units.shift[i];
    return y;
}

// Rows of inputs of this stride are what the first layer reads.
template <class Real>
bool reads_as_it_is(typename Network<Real>::Units units, Index stride) {
    return stride == 1 && !units.shift && !units.scale;
}

}  // namespace elman
