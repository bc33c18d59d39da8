// cell.hpp - the recurrence over time, and the softmax of a readout.
#pragma once

#include "affine.hpp"

namespace elman {
namespace ELMAN_ISA {

// One step of one sequence. before and after do not overlap.
template <class Real>
static void cell(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* bias,
                 const Real* x, const Real* before, Real* after, Elementwise f, bool backwards) {
    const Index size = vectors<Real>(W_hh.rows);
    if (size <= kPanel && f.general == nullptr)
        return kFunctions<Real>[size - 1].cell(W_xh, W_hh, bias, x, before, after, fused(f));
    const EvenParts panels(size, kPanel);
    affine_column<Real>(W_xh, panels, bias, x, after, {Function::identity, false}, backwards);
    affine_column<Real>(W_hh, panels, after, before, after, f, backwards);
}

// A layer of one panel is stepped cell by cell, since the product with x_(t+1) fits into the time
// that the activation of h_t takes (H = 32: 82 ns a step instead of 84). Otherwise the products
// with the inputs come first, all in one, and the recurrence works in place: slot t of h holds u_t
// before and h_t after.
template <class Real>
static void unfold(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* bias,
                   Columns<const Real> x, Columns<Real> h, Index count, Index steps,
                   Elementwise f) {
    const Index size = vectors<Real>(W_hh.rows);
    if (count == 1 && size <= kPanel) {
        for (Index t = 0; t < steps; ++t) {
            Real* after = h.data + (t + 1) * h.stride;
            kFunctions<Real>[size - 1].cell(W_xh, W_hh, bias, x.data + t * x.stride,
                                            h.data + t * h.stride, after, fused(f));
            finish<Real>(f, after, W_hh.rows);
        }
        return;
    }
    const EvenParts panels(size, kPanel);
    const Index slot = count * h.stride;
    affine<Real>(W_xh, {bias, 0}, x, {h.data + slot, h.stride}, count * steps,
                 {Function::identity, false});
    for (Index t = 0; t < steps; ++t) {
        Real* before = h.data + t * slot;
        Real* after = before + slot;
        if (count == 1)
            affine_column<Real>(W_hh, panels, after, before, after, f, t % 2 != 0);
        else
            affine_columns<Real>(W_hh, panels, {after, h.stride}, {before, h.stride},
                                 {after, h.stride}, count, f);
    }
}

// values[0] + ... + values[rows-1], in 16 partial sums by index mod 16, combined as a binary tree.
template <class Real>
ELMAN_INLINE Real sum_of_rows(const Real* values, Index rows) {
    constexpr Index kSums = 16;
    Real sum[kSums] = {};
    for (Index i = 0; i < rows; ++i) sum[i % kSums] += values[i];
    for (Index width = 1; width < kSums; width *= 2)
        for (Index i = 0; i < kSums; i += 2 * width) sum[i] += sum[i + width];
    return sum[0];
}

// y = exp(y - max) / sum(exp(y - max)). Elements beyond `rows` are written but never read: the
// exponential is taken of whole vectors, the largest and the sum of the real elements alone.
template <class Real>
static void softmax(Columns<Real> y, Index rows, Index count) {
    for (Index n = 0; n < count; ++n) {
        Real* z = y.data + n * y.stride;
        const Columns<Real> column{z, 0};
        Real largest = z[0];
        for (Index i = 1; i < rows; ++i) largest = largest < z[i] ? z[i] : largest;
        const Packet<Real> shift = broadcast<Real>(largest);
        map([shift](Packet<Real> v) ELMAN_INLINED { return exp<Real>(sub(v, shift)); }, column,
            rows, 1);

        const Packet<Real> total = broadcast<Real>(sum_of_rows(z, rows));
        map([total](Packet<Real> v) ELMAN_INLINED { return div(v, total); }, column, rows, 1);
    }
}

}  // namespace ELMAN_ISA
}  // namespace elman
