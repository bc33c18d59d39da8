// affine.hpp - y = f(c + W x), for one column or for many, in the one order of summation.
//
// W is packed into panels of up to kPanel vectors of rows. In a panel the vectors of column k of W
// lie together, and the columns follow each other, so that a product reads it from front to back.
// A vector holds rows, never terms of a sum: its width cannot change a result.
//
//   one column:    P panels x V vectors x S partial sums live in registers, all advance together
//   many columns:  V vectors x N columns live in registers, the sums are taken one after the other
//
// Both give, for every element, the sum that table.hpp prescribes.
#pragma once

#include "activation.hpp"
#include "simd.hpp"
#include "table.hpp"

namespace elman {
namespace ELMAN_ISA {

// for (int i = 0; i < count; ++i), unrolled: what it indexes stays in registers.
#if defined(__clang__)
#define ELMAN_EACH(i, count) _Pragma("unroll") for (int i = 0; i < (count); ++i)
#else
#define ELMAN_EACH(i, count) _Pragma("GCC unroll 24") for (int i = 0; i < (count); ++i)
#endif

#define ELMAN_INLINED __attribute__((always_inline))  // of a lambda

// Registers for accumulators. The rest hold a vector of weights and the broadcast elements of x.
#if defined(ELMAN_ISA_avx512) || defined(ELMAN_ISA_neon)
inline constexpr int kAccumulators = 24;
#elif defined(ELMAN_ISA_avx2)
inline constexpr int kAccumulators = 12;
#else  // sse2, where every product needs a register too; scalar
inline constexpr int kAccumulators = 8;
#endif
inline constexpr int kPanel = 4;  // vectors; 8, read in halves: the same 69 GFLOP/s at H = 256
inline constexpr int kBlockColumns = kAccumulators / kPanel;
inline constexpr int kMaxSums = 4;  // of partial_sums()

// Splits `total` into the fewest parts of at most `largest`, all equal within one. A step has no
// time for divisions: most often there is one part.
struct EvenParts {
    Index count = 1;
    Index base;        // size of a part,
    Index longer = 0;  // but the first `longer` ones have base + 1

    EvenParts(Index total, Index largest) : base(total) {
        if (total <= largest) return;
        count = (total + largest - 1) / largest;
        base = total / count;
        longer = total % count;
    }
    int size(Index part) const { return static_cast<int>(base + (part < longer)); }
};

template <class Real>
constexpr Index vectors(Index rows) {
    return (rows + kLanes<Real> - 1) / kLanes<Real>;
}

template <class Real>
static Index packed_size(Index rows, Index cols) {
    return vectors<Real>(rows) * kLanes<Real> * cols;
}

template <class Real>
static void pack(const Real* W, Index rows, Index cols, Real* panels) {
    const EvenParts parts(vectors<Real>(rows), kPanel);
    Index first_row = 0;
    for (Index part = 0; part < parts.count; ++part) {
        const Index panel_rows = parts.size(part) * kLanes<Real>;
        for (Index k = 0; k < cols; ++k)
            for (Index r = first_row; r < first_row + panel_rows; ++r)
                *panels++ = r < rows ? W[r * cols + k] : Real(0);
        first_row += panel_rows;
    }
}

// y = affine(c, W, x) for P panels of V vectors each, and one column of each of c, x and y.
// w is the first panel; the next one begins where it ends.
template <class Real, int P, int V, int S>
static void one_column(const Real* w, Index cols, const Real* c, const Real* x, Real* y) {
    constexpr int lanes = kLanes<Real>;
    const Real* weights[P];
    Packet<Real> sum[S][P][V];
    ELMAN_EACH (p, P) {
        weights[p] = w + p * cols * V * lanes;
        ELMAN_EACH (s, S)
            ELMAN_EACH (v, V)
                sum[s][p][v] = s ? broadcast<Real>(Real(0)) : load<Real>(c + (p * V + v) * lanes);
    }
    const auto add_term = [&](Packet<Real>(&to)[P][V], Real value) ELMAN_INLINED {
        const Packet<Real> element = broadcast<Real>(value);
        ELMAN_EACH (p, P) {
            ELMAN_EACH (v, V) to[p][v] = fma(load<Real>(weights[p] + v * lanes), element, to[p][v]);
            weights[p] += V * lanes;
        }
    };

    Index k = 0;
    for (; k + S <= cols; k += S) {
        ELMAN_EACH (s, S) add_term(sum[s], x[k + s]);
    }
    ELMAN_EACH (s, S - 1)
        if (k + s < cols) add_term(sum[s], x[k + s]);

    const auto fold = [&](int to, int from) ELMAN_INLINED {
        ELMAN_EACH (p, P)
            ELMAN_EACH (v, V) sum[to][p][v] = add(sum[to][p][v], sum[from][p][v]);
    };
    if constexpr (S == 2) fold(0, 1);
    if constexpr (S == 4) {
        fold(0, 1);
        fold(2, 3);
        fold(0, 2);
    }
    ELMAN_EACH (p, P)
        ELMAN_EACH (v, V) store<Real>(y + (p * V + v) * lanes, sum[0][p][v]);
}

// The product of one panel and some columns.
template <class Real>
struct Product {
    const Real* w;
    Index cols;
    int sums;
    Columns<const Real> c;
    Columns<const Real> x;
    Columns<Real> y;
};

// One partial sum, the s-th, for V vectors of rows and N columns.
template <class Real, int V, int N>
static inline void partial_sum(const Product<Real>& p, int s, Packet<Real> (&sum)[N][V]) {
    constexpr int lanes = kLanes<Real>;
    ELMAN_EACH (n, N)
        ELMAN_EACH (v, V)
            sum[n][v] =
                s ? broadcast<Real>(Real(0)) : load<Real>(p.c.data + n * p.c.stride + v * lanes);
    const Real* w = p.w + s * V * lanes;
    for (Index k = s; k < p.cols; k += p.sums, w += p.sums * V * lanes) {
        Packet<Real> element[N];
        ELMAN_EACH (n, N) element[n] = broadcast<Real>(p.x.data[n * p.x.stride + k]);
        ELMAN_EACH (v, V) {
            const Packet<Real> weight = load<Real>(w + v * lanes);
            ELMAN_EACH (n, N) sum[n][v] = fma(weight, element[n], sum[n][v]);
        }
    }
}

// y = affine(c, W, x) for V vectors of rows and N columns.
template <class Real, int V, int N>
static void many_columns(const Product<Real>& p) {
    Packet<Real> sum[kMaxSums][N][V];
    partial_sum(p, 0, sum[0]);
    for (int s = 1; s < p.sums; ++s) partial_sum(p, s, sum[s]);
    for (int width = 1; width < p.sums; width *= 2)
        for (int s = 0; s < p.sums; s += 2 * width) {
            ELMAN_EACH (n, N)
                ELMAN_EACH (v, V) sum[s][n][v] = add(sum[s][n][v], sum[s + width][n][v]);
        }
    ELMAN_EACH (n, N)
        ELMAN_EACH (v, V) store<Real>(p.y.data + n * p.y.stride + v * kLanes<Real>, sum[0][n][v]);
}

// The instances of one_column for panels of one width. Two panels at a time keep both multiply-add
// units busy where there is one sum, and so one chain of additions, for every vector.
template <class Real>
struct OneColumn {
    using Function = void (*)(const Real* w, Index cols, const Real* c, const Real* x, Real* y);
    Function one_sum, one_sum_two_panels, two_sums, four_sums;
};

template <class Real, int V>
constexpr OneColumn<Real> one_column_functions() {
    return {one_column<Real, 1, V, 1>, one_column<Real, 2, V, 1>, one_column<Real, 1, V, 2>,
            one_column<Real, 1, V, 4>};
}

template <class Real>
static constexpr OneColumn<Real> kOneColumn[kPanel] = {
    one_column_functions<Real, 1>(), one_column_functions<Real, 2>(),
    one_column_functions<Real, 3>(), one_column_functions<Real, 4>()};

// The instances of many_columns for panels of one width, by the number of columns.
template <class Real>
struct ManyColumns {
    using Function = void (*)(const Product<Real>&);
    Function of[kBlockColumns + 1];
};

template <class Real, int V, int N = kBlockColumns>
constexpr void fill(ManyColumns<Real>& functions) {
    functions.of[N] = many_columns<Real, V, N>;
    if constexpr (N > 1) fill<Real, V, N - 1>(functions);
}

template <class Real, int V>
constexpr ManyColumns<Real> many_columns_functions() {
    ManyColumns<Real> functions{};
    fill<Real, V>(functions);
    return functions;
}

template <class Real>
static constexpr ManyColumns<Real> kManyColumns[kPanel] = {
    many_columns_functions<Real, 1>(), many_columns_functions<Real, 2>(),
    many_columns_functions<Real, 3>(), many_columns_functions<Real, 4>()};

// values = f(values), vector by vector.
template <class Real, class F>
ELMAN_INLINE void map(F f, Real* values, Index count) {
    constexpr int lanes = kLanes<Real>;
    const Index whole = vectors<Real>(count) * lanes;
    Index i = 0;
    for (; i + 4 * lanes <= whole; i += 4 * lanes)
        ELMAN_EACH (v, 4)
            store<Real>(values + i + v * lanes, f(load<Real>(values + i + v * lanes)));
    for (; i < whole; i += lanes) store<Real>(values + i, f(load<Real>(values + i)));
}

template <class Real, class F>
ELMAN_INLINE void map(F f, bool faded, Real* values, Index count) {
    if (faded)
        map([f](Packet<Real> v) ELMAN_INLINED { return fade<Real>(f(v)); }, values, count);
    else
        map(f, values, count);
}

template <class Real>
static void apply(Elementwise f, Real* values, Index count) {
    using P = Packet<Real>;
    switch (f.function) {
        case Activation::relu:
            return map([](P v) ELMAN_INLINED { return relu<Real>(v); }, f.faded, values, count);
        case Activation::tanh:
            return map([](P v) ELMAN_INLINED { return tanh<Real>(v); }, f.faded, values, count);
        case Activation::sigmoid:
            return map([](P v) ELMAN_INLINED { return sigmoid<Real>(v); }, f.faded, values, count);
        default:
            if (f.faded) map([](P v) ELMAN_INLINED { return fade<Real>(v); }, values, count);
    }
}

template <class Real>
static void affine_column(const PackedMatrix<Real>& W, const EvenParts& panels, const Real* c,
                          const Real* x, Real* y) {
    const Real* w = W.panels;
    for (Index panel = 0; panel < panels.count;) {
        const int size = panels.size(panel);
        const OneColumn<Real>& kernels = kOneColumn<Real>[size - 1];
        const bool two =
            W.partial_sums == 1 && panel + 1 < panels.count && panels.size(panel + 1) == size;
        const typename OneColumn<Real>::Function kernel = two ? kernels.one_sum_two_panels
                                                          : W.partial_sums == 1 ? kernels.one_sum
                                                          : W.partial_sums == 2 ? kernels.two_sums
                                                                                : kernels.four_sums;
        kernel(w, W.cols, c, x, y);
        const Index rows = (two ? 2 : 1) * size * kLanes<Real>;
        w += rows * W.cols;
        c += rows;
        y += rows;
        panel += two ? 2 : 1;
    }
}

// Many columns, panel after panel, as many columns at a time as fit the registers; the function
// follows while their results are still in the nearest cache.
template <class Real>
static void affine_columns(const PackedMatrix<Real>& W, const EvenParts& panels,
                           Columns<const Real> c, Columns<const Real> x, Columns<Real> y,
                           Index count, Elementwise f) {
    const EvenParts groups(count, kBlockColumns);
    Index first_row = 0;
    for (Index panel = 0; panel < panels.count; ++panel) {
        const Index rows = panels.size(panel) * kLanes<Real>;
        Product<Real> p{W.panels + first_row * W.cols,  W.cols, W.partial_sums,
                        {c.data + first_row, c.stride}, x,      {y.data + first_row, y.stride}};
        for (Index group = 0; group < groups.count; ++group) {
            const int columns = groups.size(group);
            kManyColumns<Real>[panels.size(panel) - 1].of[columns](p);
            for (int n = 0; n < columns; ++n) apply<Real>(f, p.y.data + n * p.y.stride, rows);
            p.c.data += columns * c.stride;
            p.x.data += columns * x.stride;
            p.y.data += columns * y.stride;
        }
        first_row += rows;
    }
}

template <class Real>
static void affine(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                   Columns<Real> y, Index count, Elementwise f) {
    const EvenParts panels(vectors<Real>(W.rows), kPanel);
    if (count > 1) return affine_columns(W, panels, c, x, y, count, f);
    affine_column(W, panels, c.data, x.data, y.data);
    apply<Real>(f, y.data, W.rows);
}

}  // namespace ELMAN_ISA
}  // namespace elman
