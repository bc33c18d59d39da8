// cell.hpp - the recurrence over time, forward and backward.
//
//     forward    h_t = f(v_t),  v_t = W_hh h_(t-1) + W_xh x_t + b_h
//     backward   d_t = f'(v_t) (e_t + W_hh^T d_(t+1)),  f'(v_t) in terms of h_t
#pragma once

#include "product.hpp"

namespace elman {
namespace ELMAN_SET {

// --- the update of the cell, one function per direction of time

// h = f(product(product(c, W_xh, x), W_hh, h_before)), faded, for `count` columns. x is one
// sequence's input; or W_xh is kNoMatrix, and c already contains this product. V > 0: one sequence,
// and H is one panel of V vectors.
template <class Real, int V = 0>
ELMAN_INLINE void forward_step(const PackedMatrix<Real>& W_xh, const Real* x,
                               const PackedMatrix<Real>& W_hh, Columns<const Real> h_before,
                               Columns<const Real> c, Columns<Real> h, Index count,
                               const Activation& f, bool last_first) {
    if constexpr (V > 0)
        column_of_panels<Real, 1, V>(W_xh, x, W_hh, h_before.data, c.data, h.data, 0, f, true);
    else if (W_xh.cols > 0)
        one_column<Real>(W_xh, x, W_hh, h_before.data, c.data, h.data, f, true, last_first);
    else
        multiply<Real>(W_hh, c, h_before, h, count, f, true, last_first);
}

// d = f'(v) product(d, W, d_next), faded, or f'(v) d if there is no later step, for `count`
// columns; h = f(v). W is the transpose of W_hh; d holds e on entry.
template <class Real, int V = 0>
ELMAN_INLINE void backward_step(const PackedMatrix<Real>& W, Columns<const Real> h, bool later,
                                Columns<const Real> d_next, Columns<Real> d,
                                Columns<Real> /*direct*/, Index count, const Activation& f,
                                bool last_first) {
    if constexpr (V > 0)
        if (later && is_plain(f))
            return backward_of_panel<Real, V>(W, d_next.data, h.data, f.function, d.data);
    if (later) multiply<Real>(W, d, d_next, d, count, kIdentity, false, last_first);
    differentiate<Real>(f, h, d, W.rows, count);
}

// Another cell, such as h_t = (1 - a) h_(t-1) + a f(v_t), changes only these two: the error that
// bypasses W_hh, there (1 - a) dL/dh_t, goes through `direct` (H,) x count: of h on entry, of the
// previous state on return.

// --- the loops over time

// One sequence, in slots of one column: h.at(t) is h_t, x.column(t) is x_(t+1).
template <class Real, int V = 0>
ELMAN_APART void unfold_cell(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                             const Real* b_h, Columns<const Real> x, const Slots<Real>& h,
                             Index steps, const Activation& f) {
    for (Index t = 0; t < steps; ++t)
        forward_step<Real, V>(W_xh, x.column(t), W_hh, h.at(t), {b_h, 0}, h.at(t + 1), 1, f,
                              h.step < 0);
}
// (If V > 0, the processor computes the product with x_(t+1) beside the activation of h_t.)

// Any number of sequences: the slot of h_t first takes product(b_h, W_xh, x_t), of all steps at
// once: slots 1 ... steps are consecutive columns.
template <class Real>
ELMAN_APART void unfold_hoisted(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                                const Real* b_h, Columns<const Real> x, const Slots<Real>& h,
                                Index count, Index steps, const Activation& f) {
    product<Real>(W_xh, {b_h, 0}, x, h.at(1), count * steps, kIdentity);
    for (Index t = 0; t < steps; ++t)
        forward_step<Real>(kNoMatrix<Real>, nullptr, W_hh, h.at(t), h.at(t + 1), h.at(t + 1), count,
                           f, t % 2 != 0);
}
// (Both products in one tile, without that store: batches of 16 to 512 units take 0.98 times as
// long with AVX-512, 1.00 to 1.03 with AVX2.)

// d.at(t) is d_(t+1); d.at(t - 1) is e_t, then d_t.
template <class Real, int V = 0>
ELMAN_APART void backpropagate_steps(const PackedMatrix<Real>& W, const Slots<const Real>& h,
                                     const Slots<Real>& d, Columns<Real> direct, Index count,
                                     Index steps, bool newest, const Activation& f) {
    for (Index t = steps; t > 0; --t)
        backward_step<Real, V>(W, h.at(t), t < steps || !newest, d.at(t), d.at(t - 1), direct,
                               count, f, t % 2 == 0);
}

// --- the kernels: which loop for which shape

//     one sequence, H of one panel    both products and f of a step together, in registers
//     one sequence, one step          both products together, panel by panel
//     otherwise                       W_xh x_t + b_h of all steps first, then the recurrence
//
// (h by value would go through memory in two pieces: 9 ns a step. With the same arguments for
// unfold_cell its call would be a tail call: steps take 0.99 to 1.03 times as long.)
template <class Real>
static void unfold(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* b_h,
                   Columns<const Real> x, const Slots<Real>& h, Index count, Index steps,
                   const Activation& f) {
    const Index height = vectors<Real>(W_hh.rows);
    if (count == 1 && height <= kPanel)
        with_constant<1, kPanel>(static_cast<int>(height), [&](auto V) ELMAN_INLINED {
            unfold_cell<Real, V.value>(W_xh, W_hh, b_h, x, h, steps, f);
        });
    else if (count == 1 && steps == 1)
        unfold_cell<Real>(W_xh, W_hh, b_h, x, h, steps, f);
    else
        unfold_hoisted<Real>(W_xh, W_hh, b_h, x, h, count, steps, f);
}

template <class Real>
static void recur(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                  Columns<Real> y, Index count, const Activation& f, bool last_first) {
    forward_step<Real>(kNoMatrix<Real>, nullptr, W, x, c, y, count, f, last_first);
}

template <class Real>
static void backpropagate(const PackedMatrix<Real>& W, const Slots<const Real>& h,
                          const Slots<Real>& d, Columns<Real> direct, Index count, Index steps,
                          bool newest, const Activation& f) {
    const Index height = vectors<Real>(W.rows);
    if (count == 1 && height <= kPanel)
        with_constant<1, kPanel>(static_cast<int>(height), [&](auto V) ELMAN_INLINED {
            backpropagate_steps<Real, V.value>(W, h, d, direct, count, steps, newest, f);
        });
    else
        backpropagate_steps<Real>(W, h, d, direct, count, steps, newest, f);
}

}  // namespace ELMAN_SET
}  // namespace elman
