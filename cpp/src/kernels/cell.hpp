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
    if (size <= kPanel)
        return kFunctions<Real>[size - 1].cell(W_xh, W_hh, bias, x, before, after, f);
    const EvenParts panels(size, kPanel);
    affine_column<Real>(W_xh, panels, bias, x, after, {Activation::identity, false}, backwards);
    affine_column<Real>(W_hh, panels, after, before, after, f, backwards);
}

// h_t = f(affine(u_t, W_hh, h_(t-1))), in place: slot t of h holds u_t before and h_t after.
template <class Real>
static void recur(const PackedMatrix<Real>& W_hh, Columns<Real> h, Index count, Index steps,
                  Elementwise f) {
    const EvenParts panels(vectors<Real>(W_hh.rows), kPanel);
    const Index slot = count * h.stride;
    for (Index t = 0; t < steps; ++t) {
        Real* previous = h.data + t * slot;
        Real* next = previous + slot;
        if (count == 1)
            affine_column<Real>(W_hh, panels, next, previous, next, f, t % 2 != 0);
        else
            affine_columns<Real>(W_hh, panels, {next, h.stride}, {previous, h.stride},
                                 {next, h.stride}, count, f);
    }
}

// y = exp(y - max) / sum(exp(y - max)). Elements beyond `rows` are written but never read: the
// exponential is taken of whole vectors, the largest and the sum of the real elements alone.
template <class Real>
static void softmax(Columns<Real> y, Index rows, Index count) {
    constexpr Index kSums = 16;
    for (Index n = 0; n < count; ++n) {
        Real* z = y.data + n * y.stride;
        const Columns<Real> column{z, 0};
        Real largest = z[0];
        for (Index i = 1; i < rows; ++i) largest = largest < z[i] ? z[i] : largest;
        const Packet<Real> shift = broadcast<Real>(largest);
        map([shift](Packet<Real> v) ELMAN_INLINED { return exp<Real>(sub(v, shift)); }, column,
            rows, 1);

        Real sum[kSums] = {};
        for (Index i = 0; i < rows; ++i) sum[i % kSums] += z[i];
        for (Index width = 1; width < kSums; width *= 2)
            for (Index i = 0; i < kSums; i += 2 * width) sum[i] += sum[i + width];
        const Packet<Real> total = broadcast<Real>(sum[0]);
        map([total](Packet<Real> v) ELMAN_INLINED { return div(v, total); }, column, rows, 1);
    }
}

}  // namespace ELMAN_ISA
}  // namespace elman
