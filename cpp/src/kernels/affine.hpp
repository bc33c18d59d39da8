// affine.hpp - y = f(c + W x), for one column or for many, in the one order of summation.
//
// W is packed into panels of up to kPanel vectors of rows. In a panel the vectors of column k of W
// lie together, and the columns follow each other, so that a product reads it from front to back.
// A vector holds rows, never terms of a sum: its width cannot change a result.
//
//   one column:    V vectors x S partial sums live in registers, the sums advance together
//   many columns:  V vectors x N columns live in registers, the sums are taken one after the other
//
// Both give, for every element, the sum that table.hpp prescribes.
#pragma once

#include "activation.hpp"
#include "simd.hpp"
#include "table.hpp"

namespace elman {
namespace ELMAN_ISA {

#if defined(__clang__)
#define ELMAN_UNROLL _Pragma("unroll")
#else
#define ELMAN_UNROLL _Pragma("GCC unroll 24")
#endif

#define ELMAN_INLINED __attribute__((always_inline))  // of a lambda

inline constexpr int kPanel = 8;  // vectors of rows

// Registers for accumulators. The rest hold a vector of weights and the broadcast elements of x.
#if defined(ELMAN_ISA_avx512) || defined(ELMAN_ISA_neon)
inline constexpr int kAccumulators = 24;
inline constexpr int kBlockVectors = 4;
#elif defined(ELMAN_ISA_avx2)
inline constexpr int kAccumulators = 12;
inline constexpr int kBlockVectors = 4;
#else  // sse2, where every product needs a register too; scalar
inline constexpr int kAccumulators = 8;
inline constexpr int kBlockVectors = 4;
#endif
inline constexpr int kBlockColumns = kAccumulators / kBlockVectors;
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

// A product of one panel, or of some vectors of one: w is the first of them, and `stride` leads
// from one column of W to the next.
template <class Real>
struct Product {
    const Real* w;
    Index stride;
    Index cols;
    int sums;
    Columns<const Real> c;
    Columns<const Real> x;
    Columns<Real> y;
};

// y = affine(c, W, x) for V vectors of rows and one column.
template <class Real, int V, int S>
static void one_column(const Product<Real>& p) {
    const Real* w = p.w;
    const Real* x = p.x.data;
    Packet<Real> sum[S][V];
    ELMAN_UNROLL for (int v = 0; v < V; ++v) {
        sum[0][v] = load<Real>(p.c.data + v * kLanes<Real>);
        ELMAN_UNROLL for (int s = 1; s < S; ++s) sum[s][v] = broadcast<Real>(Real(0));
    }
    const auto add_term = [&](Packet<Real>(&to)[V], Real value) {
        const Packet<Real> element = broadcast<Real>(value);
        ELMAN_UNROLL for (int v = 0; v < V; ++v)
            to[v] = fma(load<Real>(w + v * kLanes<Real>), element, to[v]);
        w += p.stride;
    };

    Index k = 0;
    for (; k + S <= p.cols; k += S)
        ELMAN_UNROLL for (int s = 0; s < S; ++s) add_term(sum[s], x[k + s]);
    ELMAN_UNROLL for (int s = 0; s < S - 1; ++s)
        if (k + s < p.cols) add_term(sum[s], x[k + s]);

    ELMAN_UNROLL for (int width = 1; width < S; width *= 2)
        ELMAN_UNROLL for (int s = 0; s + width < S; s += 2 * width)
            ELMAN_UNROLL for (int v = 0; v < V; ++v)
                sum[s][v] = add(sum[s][v], sum[s + width][v]);
    ELMAN_UNROLL for (int v = 0; v < V; ++v) store<Real>(p.y.data + v * kLanes<Real>, sum[0][v]);
}

// One partial sum, the s-th, for V vectors of rows and N columns.
template <class Real, int V, int N>
static inline void partial_sum(const Product<Real>& p, int s, Packet<Real> (&sum)[N][V]) {
    ELMAN_UNROLL for (int n = 0; n < N; ++n)
        ELMAN_UNROLL for (int v = 0; v < V; ++v)
            sum[n][v] = s ? broadcast<Real>(Real(0))
                          : load<Real>(p.c.data + n * p.c.stride + v * kLanes<Real>);
    const Real* w = p.w + s * p.stride;
    for (Index k = s; k < p.cols; k += p.sums, w += p.sums * p.stride) {
        Packet<Real> element[N];
        ELMAN_UNROLL for (int n = 0; n < N; ++n)
            element[n] = broadcast<Real>(p.x.data[n * p.x.stride + k]);
        ELMAN_UNROLL for (int v = 0; v < V; ++v) {
            const Packet<Real> weight = load<Real>(w + v * kLanes<Real>);
            ELMAN_UNROLL for (int n = 0; n < N; ++n) sum[n][v] = fma(weight, element[n], sum[n][v]);
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
        for (int s = 0; s < p.sums; s += 2 * width)
            ELMAN_UNROLL for (int n = 0; n < N; ++n)
                ELMAN_UNROLL for (int v = 0; v < V; ++v)
                    sum[s][n][v] = add(sum[s][n][v], sum[s + width][n][v]);
    ELMAN_UNROLL for (int n = 0; n < N; ++n)
        ELMAN_UNROLL for (int v = 0; v < V; ++v)
            store<Real>(p.y.data + n * p.y.stride + v * kLanes<Real>, sum[0][n][v]);
}

// How many vectors of rows one_column keeps in registers beside S partial sums of each.
constexpr int column_vectors(int sums) {
    return kAccumulators / sums < kPanel ? kAccumulators / sums : kPanel;
}

template <class Real, int S>
static void one_column_of(int vectors, const Product<Real>& p) {
    constexpr int most = column_vectors(S);
    switch (vectors) {
        case 1: return one_column<Real, 1, S>(p);
        case 2: if constexpr (most >= 2) return one_column<Real, 2, S>(p); break;
        case 3: if constexpr (most >= 3) return one_column<Real, 3, S>(p); break;
        case 4: if constexpr (most >= 4) return one_column<Real, 4, S>(p); break;
        case 5: if constexpr (most >= 5) return one_column<Real, 5, S>(p); break;
        case 6: if constexpr (most >= 6) return one_column<Real, 6, S>(p); break;
        case 7: if constexpr (most >= 7) return one_column<Real, 7, S>(p); break;
        case 8: if constexpr (most >= 8) return one_column<Real, 8, S>(p); break;
        default: break;
    }
}

template <class Real>
static void one_column_of(int vectors, const Product<Real>& p) {
    switch (p.sums) {
        case 1: return one_column_of<Real, 1>(vectors, p);
        case 2: return one_column_of<Real, 2>(vectors, p);
        case 4: return one_column_of<Real, 4>(vectors, p);
        default: break;
    }
}

template <class Real, int V>
static void many_columns_of(int columns, const Product<Real>& p) {
    switch (columns) {
        case 1: return many_columns<Real, V, 1>(p);
        case 2: return many_columns<Real, V, 2>(p);
        case 3: if constexpr (kBlockColumns >= 3) return many_columns<Real, V, 3>(p); break;
        case 4: if constexpr (kBlockColumns >= 4) return many_columns<Real, V, 4>(p); break;
        case 5: if constexpr (kBlockColumns >= 5) return many_columns<Real, V, 5>(p); break;
        case 6: if constexpr (kBlockColumns >= 6) return many_columns<Real, V, 6>(p); break;
        default: break;
    }
}

template <class Real>
static void many_columns_of(int vectors, int columns, const Product<Real>& p) {
    switch (vectors) {
        case 1: return many_columns_of<Real, 1>(columns, p);
        case 2: return many_columns_of<Real, 2>(columns, p);
        case 3: return many_columns_of<Real, 3>(columns, p);
        case 4: return many_columns_of<Real, 4>(columns, p);
        default: break;
    }
}

// values = f(values), vector by vector.
template <class Real, class F>
ELMAN_INLINE void map(F f, Real* values, Index count) {
    constexpr int lanes = kLanes<Real>;
    const Index whole = vectors<Real>(count) * lanes;
    Index i = 0;
    for (; i + 4 * lanes <= whole; i += 4 * lanes)
        ELMAN_UNROLL for (int v = 0; v < 4; ++v)
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

// One panel and one column, as many vectors at a time as fit the registers.
template <class Real>
static void panel_column(Product<Real> p, int panel_vectors) {
    const EvenParts parts(panel_vectors, column_vectors(p.sums));
    for (Index part = 0; part < parts.count; ++part) {
        const Index rows = parts.size(part) * kLanes<Real>;
        one_column_of(parts.size(part), p);
        p.w += rows;
        p.c.data += rows;
        p.y.data += rows;
    }
}

// One panel and many columns, in blocks of vectors and columns that fit the registers; the function
// follows while a block is still in the nearest cache.
template <class Real>
static void panel_columns(Product<Real> p, int panel_vectors, Index count, Elementwise f) {
    const EvenParts parts(panel_vectors, kBlockVectors);
    const EvenParts groups(count, kBlockColumns);
    for (Index part = 0; part < parts.count; ++part) {
        const Index rows = parts.size(part) * kLanes<Real>;
        Product<Real> block = p;
        for (Index group = 0; group < groups.count; ++group) {
            const int columns = groups.size(group);
            many_columns_of(parts.size(part), columns, block);
            for (int n = 0; n < columns; ++n)
                apply<Real>(f, block.y.data + n * block.y.stride, rows);
            block.c.data += columns * block.c.stride;
            block.x.data += columns * block.x.stride;
            block.y.data += columns * block.y.stride;
        }
        p.w += rows;
        p.c.data += rows;
        p.y.data += rows;
    }
}

template <class Real>
static void affine(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                   Columns<Real> y, Index count, Elementwise f) {
    const EvenParts panels(vectors<Real>(W.rows), kPanel);
    Product<Real> p{W.panels, 0, W.cols, W.partial_sums, c, x, y};
    for (Index panel = 0; panel < panels.count; ++panel) {
        const Index rows = panels.size(panel) * kLanes<Real>;
        p.stride = rows;
        if (count == 1)
            panel_column(p, panels.size(panel));
        else
            panel_columns(p, panels.size(panel), count, f);
        p.w += rows * W.cols;
        p.c.data += rows;
        p.y.data += rows;
    }
    if (count == 1) apply<Real>(f, y.data, W.rows);
}

}  // namespace ELMAN_ISA
}  // namespace elman
