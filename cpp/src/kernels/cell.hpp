// cell.hpp - the recurrence over time, and the softmax of a readout.
#pragma once

#include "affine.hpp"

namespace elman {
namespace ELMAN_ISA {

// h_t = f(affine(u_t, W_hh, h_(t-1))), in place: slot t of h holds u_t before and h_t after.
template <class Real>
static void recur(const PackedMatrix<Real>& W_hh, Columns<Real> h, Index count, Index steps,
                  Elementwise f) {
    const Index slot = count * h.stride;
    for (Index t = 0; t < steps; ++t) {
        Real* previous = h.data + t * slot;
        Real* next = previous + slot;
        affine<Real>(W_hh, {next, h.stride}, {previous, h.stride}, {next, h.stride}, count, f);
    }
}

// y = exp(y - max) / sum(exp(y - max)). Elements beyond `rows` are written but never read: the
// exponential is taken of whole vectors, the largest and the sum of the real elements alone.
template <class Real>
static void softmax(Columns<Real> y, Index rows, Index count) {
    constexpr Index kSums = 16;
    for (Index n = 0; n < count; ++n) {
        Real* z = y.data + n * y.stride;
        Real largest = z[0];
        for (Index i = 1; i < rows; ++i) largest = largest < z[i] ? z[i] : largest;
        const Packet<Real> shift = broadcast<Real>(largest);
        map([shift](Packet<Real> v) ELMAN_INLINED { return exp<Real>(sub(v, shift)); }, z, rows);

        Real sum[kSums] = {};
        for (Index i = 0; i < rows; ++i) sum[i % kSums] += z[i];
        for (Index width = 1; width < kSums; width *= 2)
            for (Index i = 0; i < kSums; i += 2 * width) sum[i] += sum[i + width];
        const Packet<Real> total = broadcast<Real>(sum[0]);
        map([total](Packet<Real> v) ELMAN_INLINED { return div(v, total); }, z, rows);
    }
}

}  // namespace ELMAN_ISA
}  // namespace elman
