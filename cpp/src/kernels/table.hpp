// table.hpp - the functions that every instruction set offers, and the contract of each.
//
// Columns are vectors of numbers, one after the other at a fixed stride. "Padded" means: readable
// and writable up to the next multiple of 64 bytes, and aligned to 64 bytes, stride included.
// Nothing here allocates, checks or throws. The order of every sum is part of the contract:
//
//   affine(c, W, v)[r]:  p_0 = c[r], p_1 ... p_(S-1) = +0
//                        p_(k mod S) = fma(W[r, k], v[k], p_(k mod S))      for k = 0 ... K-1
//                        (p_0 + p_1) + (p_2 + p_3), and so on as a binary tree
//
// with S = partial_sums(rows, cols) for every dtype and every instruction set.
#pragma once

#include <float.h>

#include "elman/types.hpp"

namespace elman {

// S, the number of interleaved sums: enough to hide the latency of the multiply-add where a matrix
// has few rows, as long as every sum has at least four terms. Measured with AVX2 on a Zen 4:
//   32 rows: 4 sums instead of 2, a step inside a sequence 146 ns instead of 122
//   64 rows: 1 instead of 2, a step 247 ns instead of 267; but AVX-512 would have four chains left
//   128 rows: 2 instead of 1, a step 1108 ns instead of 1137, a batch 66 GFLOP/s instead of 72
constexpr int partial_sums(Index rows, Index cols) {
    int sums = rows <= 16 ? 4 : rows <= 64 ? 2 : 1;
    while (sums > 1 && cols < 4 * sums) sums /= 2;
    return sums;
}

// What is done to each element alone. `faded` is the rule for hidden states: after the function, a
// value below 2^-100 (float) or 2^-900 (double) in magnitude becomes +0. A function without numbers
// is fused with the product before it, any other is a pass over the padded results: padded elements
// are then what it makes of 0.
struct Elementwise {
    Function function;  // identity, relu, tanh or sigmoid; but
    bool faded;
    const Activation* general = nullptr;  // if not null, this one: softmax only where it is named
};

// Of an activation that lives as long as it is used.
inline Elementwise elementwise(const Activation& a, bool faded) {
    if (a.function <= Function::sigmoid && a.clip > DBL_MAX) return {a.function, faded};
    return {Function::identity, faded, &a};
}

template <class Real>
struct Columns {
    Real* data;
    Index stride;  // from one column to the next; 0: the same column every time
};

// Columns over time: `step` numbers from one step to the next.
template <class Real>
struct Slots {
    Real* data;
    Index stride;
    Index step;
};

template <class Real>
struct Kernels {
    // How many numbers pack() writes for a matrix of this size.
    Index (*packed_size)(Index rows, Index cols);

    // Copies W (rows x cols, row by row) into panels of whole vectors of rows, all terms of a sum
    // contiguous, the rows padded with zeros. `panels` is aligned to 64 bytes.
    void (*pack)(const Real* W, Index rows, Index cols, Real* panels);

    // y_n = f(affine(c_n, W, x_n)) for n = 0 ... count-1. c and y are padded and may be the same
    // columns; x is read element by element, `cols` of each column, and overlaps neither.
    void (*affine)(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                   Columns<Real> y, Index count, Elementwise f);

    // One step of one layer and one sequence:
    // after = h_t = f(affine(affine(bias, W_xh, x_t), W_hh, before = h_(t-1))). x is read element
    // by element; the others are padded and do not overlap. The panels are read from the last to
    // the first if `backwards`: a caller who alternates finds in the cache what he read last.
    void (*cell)(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* bias,
                 const Real* x, const Real* before, Real* after, Elementwise f, bool backwards);

    // One layer unfolded over `steps` steps of `count` sequences. x holds steps x count columns,
    // read element by element; h holds steps + 1 slots of `count` padded columns: slot 0 is the
    // state before the first step, slot t becomes h_t, as in cell.
    void (*unfold)(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh, const Real* bias,
                   Columns<const Real> x, Columns<Real> h, Index count, Index steps, Elementwise f);

    // values = f(values), `rows` of each column; the columns are padded.
    void (*apply)(Elementwise f, Columns<Real> values, Index rows, Index count);

    // Each column becomes its softmax over `rows` elements. The largest is subtracted first; the
    // sum is taken in 16 partial sums by index mod 16, combined as a binary tree.
    void (*softmax)(Columns<Real> y, Index rows, Index count);

    // --- training ---

    // The inverse of pack: `values` is rows x cols, row by row.
    void (*unpack)(const PackedMatrix<Real>& W, Real* values);

    // What pack() makes of the transpose of W.
    void (*transpose)(const PackedMatrix<Real>& W, Real* panels);

    // e_n = e_n f'(v_n) in terms of y_n = f(v_n); also softmax, with sums as there. Both are
    // padded. What is tiny becomes +0, as for hidden states. f is trainable: check_trainable.
    void (*differentiate)(Elementwise f, Columns<const Real> y, Columns<Real> e, Index rows,
                          Index count);

    // Errors through time. d holds steps + 1 slots of `count` padded columns: slot t is the error
    // e_t that h_t has from outside before, and after
    //     d_t = f'(v_t) affine(e_t, W, d_(t+1))      for t = steps-1 ... 0,
    // faded, W being the transpose of W_hh and slot `steps` given. h: slot t is h_t.
    void (*backpropagate)(const PackedMatrix<Real>& W, Slots<const Real> h, Slots<Real> d,
                          Index count, Index steps, Elementwise f);

    // The gradient of a matrix W, in the order of its panels:
    //     G[r, k] = fma(d_(t,n)[r], x_(t,n)[k], G[r, k])    for t = steps-1 ... 0, n = 0 ...
    //     count-1
    // d is padded (its padding zero), x is read element by element.
    void (*correlate)(const PackedMatrix<Real>& W, Real* G, Slots<const Real> d,
                      Slots<const Real> x, Index count, Index steps);

    // The gradient of a bias, in the same order: g = g + d_(t,n). g is padded.
    void (*add_columns)(Real* g, Slots<const Real> d, Index rows, Index count, Index steps);

    // sums[r] = fma(G[r, k], G[r, k], sums[r]) for k = 0 ... cols-1, from 0, for a gradient in the
    // order of the panels of W. sums is padded.
    void (*square_rows)(const PackedMatrix<Real>& W, const Real* G, Real* sums);
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
