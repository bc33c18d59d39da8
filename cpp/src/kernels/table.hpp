// table.hpp - the interface of an instruction set: its functions and the contract of each, with the
// order of every sum:
//
//   product(c, W, x)[r]:  p_0 = c[r], p_1 ... p_(S-1) = +0
//                         p_(k mod S) = fma(W[r, k], x[k], p_(k mod S))      for k = 0 ... K-1
//                         (p_0 + p_1) + (p_2 + p_3), or p_0 + p_1, or p_0
//
// with S = partial_sums(rows, cols), 4, 2 or 1.
//
// "Faded": values below 2^-100 (float) or 2^-900 (double) in magnitude become +0.
#pragma once

#include "elman/views.hpp"

namespace elman {

// S, the number of interleaved sums: enough to hide the latency of the multiply-add for matrices
// with few rows, with at least four terms per sum.
constexpr int partial_sums(Index rows, Index cols) {
    int sums = rows <= 16 ? 4 : rows <= 64 ? 2 : 1;
    while (sums > 1 && cols < 4 * sums) sums /= 2;
    return sums;
}
// Measured with AVX2 on a Zen 4:
//   32 rows, 2 sums: a step inside a sequence 122 ns; with 4: 146
//   64 rows, 2 sums: a step 267 ns; with 1: 247, but AVX-512 would have only four chains
//   128 rows, 1 sum: a batch 72 GFLOP/s, a step 1137 ns; with 2: 66 GFLOP/s, 1108 ns
// 8 sums for at most 8 rows of at least 32 columns are not worth other bits: steps with such a
// readout take 0.99, 0.98, 0.99 times as long (Zen 5; H = 32, 64, 128), sequences 1.01 times.

// Columns are contiguous vectors at a fixed stride. "Padded" means: readable and writable up to the
// next multiple of 64 bytes, and aligned to 64 bytes, stride included. The padding of errors is
// zero and stays so, as transposes have rows of zeros there; hence that of gradients and weights
// too. Nothing here allocates, checks or throws.
template <class Real>
struct Kernels {
    // --- the equations

    // y_n = f(product(c_n, W, x_n)) for n = 0 ... count-1; f is elementwise. c (rows,) and y
    // (rows,) are padded and may be the same columns; x (cols,) is read element by element and
    // overlaps neither.
    void (*product)(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                    Columns<Real> y, Index count, const Activation& f) = nullptr;

    // A layer over `steps` steps of `count` sequences, in one direction:
    //
    //     h_t = f(product(product(b_h, W_xh, x_t), W_hh, h_(t-1))), faded, for t = 1 ... steps,
    //
    // with W_xh (H, I), W_hh (H, H) and b_h (H,), padded. x (I,) holds steps x count columns, read
    // element by element: step t of sequence n is column (t-1) count + n. h (H,) has steps + 1
    // slots of padded columns: slot 0 holds the states before the first step, slot t is h_t.
    // h.step is count * h.stride if steps > 1 (see recur).
    void (*unfold)(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* b_h,
                   Columns<const Real> x, const Slots<Real>& h, Index count, Index steps,
                   const Activation& f) = nullptr;

    // One step of unfold for a part of the rows, with c_n = product(b_h, W_xh, x_t) of these rows:
    // y_n = f(product(c_n, W, x_n)), faded. `last_first`: one column reads its panels from last to
    // first; with alternating directions the panels read last are still in the cache. unfold does
    // so in one step with a negative h.step.
    void (*recur)(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                  Columns<Real> y, Index count, const Activation& f, bool last_first) = nullptr;

    // values = f(values), faded or not, for `rows` of each column; f is elementwise; the columns
    // are padded.
    void (*apply)(const Activation& f, bool faded, Columns<Real> values, Index rows,
                  Index count) = nullptr;

    // e_n = f'(v_n) e_n, faded, in terms of y_n = f(v_n), which may be faded: then f' is taken at
    // y = 0. softmax and log_softmax: sums as in softmax, not faded. y and e (rows,) are padded. f
    // is trainable (check_trainable).
    void (*differentiate)(const Activation& f, Columns<const Real> y, Columns<Real> e, Index rows,
                          Index count) = nullptr;

    // The errors of the steps of unfold, whose h it reads, from last to first:
    //
    //     d_t = f'(v_t) product(e_t, W, d_(t+1)), faded, for t = steps ... 1,
    //
    // where f'(v_t) comes from the faded h_t, W is the transpose of W_hh, and e_t the error of h_t
    // from outside the recurrence. d has steps + 1 slots of `count` padded columns: slot t - 1
    // holds e_t on entry, d_t on return. The last slot holds d_(steps+1), unchanged; if the last
    // step is the `newest`, its product is left out. `direct` is unused.
    void (*backpropagate)(const PackedMatrix<Real>& W, const Slots<const Real>& h,
                          const Slots<Real>& d, Columns<Real> direct, Index count, Index steps,
                          bool newest, const Activation& f) = nullptr;

    // The gradient of a matrix W (rows, cols), in the order of its panels:
    //
    //     G[r, k] = fma(d_(t,n)[r], x_(t,n)[k], G[r, k]) for t = steps-1 ... 0, n = 0 ... count-1,
    //
    // where t counts slots, from 0; count >= 1; d (rows,) is padded, x (cols,) is read element by
    // element. Slot t of d is d_(t+1); of x it is h_t for W_hh, x_(t+1) for W_xh. For W_hy it is
    // h_(t+1), with o_(t+1).
    void (*correlate)(Real* G, Index rows, Index cols, Slots<const Real> d, Slots<const Real> x,
                      Index count, Index steps) = nullptr;

    // The gradient of a bias, in the same order: g = g + d_(t,n). g and d (rows,) are padded.
    void (*add_columns)(Real* g, Slots<const Real> d, Index rows, Index count,
                        Index steps) = nullptr;

    // Replaces each column by its softmax, or log_softmax, over `rows` elements. The largest is
    // subtracted first; the sum is taken in 16 partial sums by index mod 16, combined as a binary
    // tree. The sum of log_softmax is without the 1 of the first of the largest.
    void (*softmax)(Function f, Columns<Real> y, Index rows, Index count) = nullptr;

    // sums[r] = fma(G[r, k], G[r, k], sums[r]) for k = 0 ... cols-1, from 0, for a gradient G in
    // the order of the panels of a matrix (rows, cols). sums (rows,) is padded.
    void (*square_rows)(const Real* G, Index rows, Index cols, Real* sums) = nullptr;

    // --- the layout of matrices and columns (pack.hpp)

    // The number of elements that pack() writes.
    Index (*packed_size)(Index rows, Index cols) = nullptr;

    // Copies W (rows, cols), row-major, into panels, only those that begin at rows first ...
    // last-1. `panels` (packed_size(rows, cols),) is aligned to 64 bytes.
    void (*pack)(const Real* W, Index rows, Index cols, Index first, Index last,
                 Real* panels) = nullptr;

    // The inverse of pack for the same panels: `values` (rows, cols), row-major.
    void (*unpack)(const PackedMatrix<Real>& W, Index first, Index last, Real* values) = nullptr;

    // Packs the transpose of W.
    void (*transpose)(const PackedMatrix<Real>& W, Real* panels) = nullptr;

    // The first row of part `part` of a matrix cut into `parts` of whole panels, equal within one
    // panel; `rows` if part is `parts`. A part is a matrix whose panels and sums are those of the
    // whole: the first row at W.panels + row * W.cols, and W.partial_sums.
    Index (*cut)(Index rows, Index part, Index parts) = nullptr;

    // The closest y.stride that product takes, closer than padded for few rows: then several
    // columns share a vector, of which the last is written whole, and all c_n are one column, of
    // stride 0.
    Index (*close_stride)(Index rows) = nullptr;

    // Copies `count` padded columns whole, padding included: chosen ones to consecutive ones,
    // to_n = from_(which[n]), and back, to_(which[n]) = from_n. (Copied by the core, which has
    // vectors of 16 bytes, a random half of 256 rows of 4 -> 16 -> 1 takes 1.28 times as long
    // per row as all of them, instead of 1.18, with AVX-512.)
    void (*gather)(Columns<const Real> from, const Index* which, Index count,
                   Columns<Real> to) = nullptr;
    void (*scatter)(Columns<const Real> from, const Index* which, Index count,
                    Columns<Real> to) = nullptr;
};

struct KernelTable {
    Kernels<float> float32;
    Kernels<double> float64;
    bool fused;           // the multiply-add rounds once
    bool (*self_test)();  // checks `fused` on this processor

    template <class Real>
    const Kernels<Real>& kernels() const;
};

template <>
inline const Kernels<float>& KernelTable::kernels<float>() const {
    return float32;
}
template <>
inline const Kernels<double>& KernelTable::kernels<double>() const {
    return float64;
}

}  // namespace elman
