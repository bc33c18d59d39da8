// cell.hpp - the recurrence over time, forward and backward.
//
//     forward    h_t = f(W_hh h_(t-1) + W_xh x_t + b_h)
//     backward   d_t = f'(v_t) (e_t + W_hh^T d_(t+1))
#pragma once

#include "product.hpp"

namespace elman {
namespace ELMAN_SET {

// The update of the cell, in one function for each direction: a variant such as
// h_t = (1 - a) h_(t-1) + a f(v_t) is a change of these two.

// h = f(product(product(c, W_xh, x), W_hh, before)), faded, for `count` sequences; for one sequence
// and a layer of one panel of V vectors if V is not 0. Where the product with x is in c already
// W_xh has no columns; it has none for many sequences.
template <class Real, int V = 0>
ELMAN_INLINE void forward_step(const PackedMatrix<Real>& W_xh, const Real* x,
                               const PackedMatrix<Real>& W_hh, Columns<const Real> before,
                               Columns<const Real> c, Columns<Real> h, Index count,
                               const Activation& f, bool last_first) {
    if constexpr (V > 0)
        column_of_panels<Real, 1, V>(W_xh, x, W_hh, before.data, c.data, h.data, 0, f, true);
    else if (count == 1)
        one_column<Real>(W_xh, x, W_hh, before.data, c.data, h.data, f, true, last_first);
    else
        many_columns<Real>(W_hh, c, before, h, count, f, true);
}

// d = f'(v) product(d, W, d_next), faded, W being the transpose of W_hh.
template <class Real>
static void backward_step(const PackedMatrix<Real>& W, Columns<const Real> h,
                          Columns<const Real> d_next, Columns<Real> d, Index count,
                          const Activation& f, bool last_first) {
    if (count == 1)
        one_column<Real>({}, nullptr, W, d_next.data, d.data, d.data, kIdentity, false, last_first);
    else
        many_columns<Real>(W, d, d_next, d, count, kIdentity, false);
    differentiate<Real>(f, h, d, W.rows, count);
}

// One step of one sequence takes both products at once, and so does every step where the layer has
// one panel: the product with x_(t+1) fits into the time that the activation of h_t takes. V is the
// height of that panel, or 0.
template <class Real, int V = 0>
ELMAN_APART void unfold_cell(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                             const Real* b_h, Columns<const Real> x, const Slots<Real>& h,
                             Index steps, const Activation& f) {
    for (Index t = 0; t < steps; ++t)
        forward_step<Real, V>(W_xh, x.column(t), W_hh, h.at(t), {b_h, 0}, h.at(t + 1), 1, f,
                              h.step < 0);
}

// Otherwise the products with the inputs of all steps come first, since they do not depend on the
// recurrence: slot t of h holds u_t before and h_t after.
template <class Real>
ELMAN_APART void unfold_hoisted(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                                const Real* b_h, Columns<const Real> x, const Slots<Real>& h,
                                Index count, Index steps, const Activation& f) {
    product<Real>(W_xh, {b_h, 0}, x, h.at(1), count * steps, kIdentity);
    for (Index t = 0; t < steps; ++t)
        forward_step<Real>({}, nullptr, W_hh, h.at(t), h.at(t + 1), h.at(t + 1), count, f,
                           t % 2 != 0);
}

template <class Real>
static void unfold(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* b_h,
                   Columns<const Real> x, const Slots<Real>& h, Index count, Index steps,
                   const Activation& f) {
    const Index size = vectors<Real>(W_hh.rows);
    if (count == 1 && size <= kPanel)
        with_constant<1, kPanel>(static_cast<int>(size), [&](auto V) ELMAN_INLINED {
            unfold_cell<Real, V.value>(W_xh, W_hh, b_h, x, h, steps, f);
        });
    else if (count == 1 && steps == 1)
        unfold_cell<Real>(W_xh, W_hh, b_h, x, h, steps, f);
    else
        unfold_hoisted<Real>(W_xh, W_hh, b_h, x, h, count, steps, f);
}

template <class Real>
static void backpropagate(const PackedMatrix<Real>& W, Slots<const Real> h, Slots<Real> d,
                          Index count, Index steps, const Activation& f) {
    for (Index t = steps - 1; t >= 0; --t)
        backward_step<Real>(W, h.at(t), d.at(t + 1), d.at(t), count, f, t % 2 != 0);
}

}  // namespace ELMAN_SET
}  // namespace elman
