// cell.hpp - the recurrence over time, forward and backward.
//
//     forward    h_t = f(v_t),  v_t = W_hh h_(t-1) + W_xh x_t + b_h
//     backward   d_t = f'(v_t) (e_t + W_hh^T d_(t+1)),  f'(v_t) in terms of h_t
//
// for H units, I inputs, and a column per sequence:
//
//     one sequence, H of one panel    both products and f of a step together, in registers
//     one sequence, one step          both products together, panel by panel
//     otherwise                       W_xh x_t + b_h of all steps first, then the recurrence
//
// product.hpp has the products, each with f: column_of_panels for one column and one panel,
// one_column for all panels, multiply for any number of columns; add_products is a product without
// f, in registers. activation.hpp has f and f', columns.hpp applies them to columns.
#pragma once

#include "product.hpp"

namespace elman {
namespace ELMAN_SET {

// The update of the cell, one function per direction of time. Another cell, such as h_t = (1 - a)
// h_(t-1) + a f(v_t), changes only these two: the error that bypasses W_hh, there (1 - a) dL/dh_t,
// goes through `direct`.

// h = f(product(product(c, W_xh, x), W_hh, h_before)), faded. x (I,) is one sequence's input; or
// W_xh is kNoMatrix, and c already contains this product. h_before (H,), c and h (rows of W_hh,),
// x count. V > 0: one sequence, and H is one panel of V vectors.
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

// d = f'(v) product(d, W, d_next), faded, or f'(v) d if there is no later step. W (H, H) is the
// transpose of W_hh; h, d_next and d (H,) x count; d holds e on entry. direct (H,) x count: the
// error that bypasses W_hh (none here), of h on entry, of the previous state on return. V as in
// forward_step.
template <class Real, int V = 0>
ELMAN_INLINE void backward_step(const PackedMatrix<Real>& W, Columns<const Real> h, bool later,
                                Columns<const Real> d_next, Columns<Real> d,
                                Columns<Real> /*direct*/, Index count, const Activation& f,
                                bool last_first) {
    if constexpr (V > 0) {
        // The operations below, in registers: otherwise updates of H = 2 and 20 take 1.1 times as
        // long.
        if (later && is_plain(f)) {
            Packet<Real> error[V], state[V];
            add_products<Real, 1, V>(kNoMatrix<Real>, nullptr, W, d_next.data, d.data, 0, error);
            load<Real>(h.data, state);
            Functions<Real>::with_plain(f.function, [&](auto g) ELMAN_INLINED {
                ELMAN_EACH (i, V) error[i] = g.backward(error[i], state[i]);
            });
            ELMAN_EACH (i, V) error[i] = fade<Real>(error[i], error[i], fade_limit<Real>(true));
            return store<Real>(d.data, error);
        }
    }
    // through memory: any f and count
    if (later) multiply<Real>(W, d, d_next, d, count, kIdentity, false, last_first);
    differentiate<Real>(f, h, d, W.rows, count);
}

// One sequence, x (I,) x steps, h in slots of one column: both products together. If H is one panel
// of V vectors, the processor computes the product with x_(t+1) beside the activation of h_t;
// otherwise V is 0, and there is one step.
template <class Real, int V = 0>
ELMAN_APART void unfold_cell(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                             const Real* b_h, Columns<const Real> x, const Slots<Real>& h,
                             Index steps, const Activation& f) {
    for (Index t = 0; t < steps; ++t)
        forward_step<Real, V>(W_xh, x.column(t), W_hh, h.at(t), {b_h, 0}, h.at(t + 1), 1, f,
                              h.step < 0);
}

// Otherwise W_xh x_t + b_h of all steps is computed first, since it does not depend on the
// recurrence, and stored in the slot of h where h_t replaces it. (Both products in one tile,
// without that store: batches of 16 to 512 units take 0.98 times as long with AVX-512, 1.00 to 1.03
// with AVX2.)
template <class Real>
ELMAN_APART void unfold_hoisted(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                                const Real* b_h, Columns<const Real> x, const Slots<Real>& h,
                                Index count, Index steps, const Activation& f) {
    product<Real>(W_xh, {b_h, 0}, x, h.at(1), count * steps, kIdentity);
    for (Index t = 0; t < steps; ++t)
        forward_step<Real>(kNoMatrix<Real>, nullptr, W_hh, h.at(t), h.at(t + 1), h.at(t + 1), count,
                           f, t % 2 != 0);
}

// (With the same arguments for unfold_cell its call would be a tail call: steps take 0.99 to 1.03
// times as long.)
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

template <class Real, int V = 0>
ELMAN_APART void backpropagate_steps(const PackedMatrix<Real>& W, const Slots<const Real>& h,
                                     const Slots<Real>& d, Columns<Real> direct, Index count,
                                     Index steps, bool newest, const Activation& f) {
    for (Index t = steps; t > 0; --t)
        backward_step<Real, V>(W, h.at(t), t < steps || !newest, d.at(t), d.at(t - 1), direct,
                               count, f, t % 2 == 0);
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
