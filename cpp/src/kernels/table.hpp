// table.hpp - the functions that every instruction set offers, and the contract of each.
//
// Columns are vectors of numbers, one after the other at a fixed stride. "Padded" means: readable
// and writable up to the next multiple of 64 bytes, and aligned to 64 bytes, stride included.
// Nothing here allocates, checks or throws. The order of every sum is part of the contract:
//
//   product(c, W, x)[r]:  p_0 = c[r], p_1 ... p_(S-1) = +0
//                         p_(k mod S) = fma(W[r, k], x[k], p_(k mod S))      for k = 0 ... K-1
//                         (p_0 + p_1) + (p_2 + p_3), or p_0 + p_1, or p_0
//
// with S = partial_sums(rows, cols) for every dtype and every instruction set.
//
// "Faded" is the rule for hidden states and errors: a value below 2^-100 (float) or 2^-900 (double)
// in magnitude becomes +0.
#pragma once

#include "elman/views.hpp"

namespace elman {

// S, the number of interleaved sums: enough to hide the latency of the multiply-add where a matrix
// has few rows, as long as every sum has at least four terms. Measured with AVX2 on a Zen 4:
//   32 rows, 2 sums: a step inside a sequence 122 ns, with 4 it was 146
//   64 rows, 2 sums: a step 267 ns, with 1 it was 247; but AVX-512 would have four chains left
//   128 rows, 1 sum: a batch 72 GFLOP/s, with 2 it was 66; a step 1137 ns, with 2 it was 1108
constexpr int partial_sums(Index rows, Index cols) {
    int sums = rows <= 16 ? 4 : rows <= 64 ? 2 : 1;
    while (sums > 1 && cols < 4 * sums) sums /= 2;
    return sums;
}

template <class Real>
struct Kernels {
    // How many numbers pack() writes for a matrix of this size.
    Index (*packed_size)(Index rows, Index cols) = nullptr;

    // Copies W (rows, cols), row by row, into panels: pack.hpp. Only the panels that begin at rows
    // first ... last-1; `panels` (packed_size(rows, cols),) is aligned to 64 bytes.
    void (*pack)(const Real* W, Index rows, Index cols, Index first, Index last,
                 Real* panels) = nullptr;

    // The inverse of pack: `values` is (rows, cols), row by row. The same panels.
    void (*unpack)(const PackedMatrix<Real>& W, Index first, Index last, Real* values) = nullptr;

    // What pack() makes of the transpose of W.
    void (*transpose)(const PackedMatrix<Real>& W, Real* panels) = nullptr;

    // y_n = f(product(c_n, W, x_n)) for n = 0 ... count-1, f any function but softmax. c (rows,)
    // and y (rows,) are padded and may be the same columns; x (cols,) is read element by element
    // and overlaps neither.
    void (*product)(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                    Columns<Real> y, Index count, const Activation& f) = nullptr;

    // One half of a layer unfolded over `steps` steps of `count` sequences:
    //
    //     h_t = f(product(product(b_h, W_xh, x_t), W_hh, h_(t-1))), faded, for t = 1 ... steps,
    //
    // W_xh being (H, I), W_hh (H, H) and b_h (H,), padded. x (I,) holds steps x count columns, read
    // element by element: that of step t and sequence n is column (t-1) count + n. h (H,) has steps
    // + 1 slots of padded columns: slot 0 holds the states before the first step, slot t is h_t.
    // The slots follow each other: h.step is count * h.stride, or any other if steps is 1. A single
    // step whose h.step is negative reads the panels of the weights from the last to the first:
    // Block::step alternates, and finds in the cache what was read last. (h is a reference since
    // three numbers passed by value go through memory in two pieces, which the processor waits for:
    // 9 ns a step.)
    void (*unfold)(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* b_h,
                   Columns<const Real> x, const Slots<Real>& h, Index count, Index steps,
                   const Activation& f) = nullptr;

    // values = f(values), faded or not, `rows` of each column, f any function but softmax; the
    // columns are padded.
    void (*apply)(const Activation& f, bool faded, Columns<Real> values, Index rows,
                  Index count) = nullptr;

    // Each column becomes its softmax over `rows` elements. The largest is subtracted first; the
    // sum is taken in 16 partial sums by index mod 16, combined as a binary tree.
    void (*softmax)(Columns<Real> y, Index rows, Index count) = nullptr;

    // --- training ---

    // e_n = f'(v_n) e_n, faded, in terms of y_n = f(v_n). Of softmax too, with sums as there and
    // not faded. y and e (rows,) are padded. f is trainable: check_trainable.
    void (*differentiate)(const Activation& f, Columns<const Real> y, Columns<Real> e, Index rows,
                          Index count) = nullptr;

    // Errors through time, of the steps of unfold from the last to the first; h is as there. d has
    // steps + 1 slots of `count` padded columns: slot t - 1 holds the error e_t that h_t has from
    // outside before, and after
    //
    //     d_t = f'(v_t) product(e_t, W, d_(t+1)), faded, for t = steps ... 1,
    //
    // W being the transpose of W_hh and d_(steps+1) given; if the last step is the `newest`, there
    // is no product in it. direct (H,) x count is what flows past W_hh: to h_steps before, to h_0
    // after. This cell has no such path, and leaves it as it is.
    void (*backpropagate)(const PackedMatrix<Real>& W, const Slots<const Real>& h,
                          const Slots<Real>& d, Columns<Real> direct, Index count, Index steps,
                          bool newest, const Activation& f) = nullptr;

    // The gradient of a matrix W (rows, cols), in the order of its panels:
    //
    //     G[r, k] = fma(d_(t,n)[r], x_(t,n)[k], G[r, k]) for t = steps-1 ... 0, n = 0 ... count-1,
    //
    // count being at least 1.
    //
    // d (rows,) is padded, x (cols,) is read element by element.
    void (*correlate)(Real* G, Index rows, Index cols, Slots<const Real> d, Slots<const Real> x,
                      Index count, Index steps) = nullptr;

    // The gradient of a bias, in the same order: g = g + d_(t,n). g and d (rows,) are padded.
    void (*add_columns)(Real* g, Slots<const Real> d, Index rows, Index count,
                        Index steps) = nullptr;

    // sums[r] = fma(G[r, k], G[r, k], sums[r]) for k = 0 ... cols-1, from 0, for a gradient G in
    // the order of the panels of a matrix (rows, cols). sums (rows,) is padded.
    void (*square_rows)(const Real* G, Index rows, Index cols, Real* sums) = nullptr;
};

struct KernelTable {
    Kernels<float> float32;
    Kernels<double> float64;
    bool fused;           // the multiply-add rounds once
    bool (*self_test)();  // it really does (or really does not)

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
