// product.hpp - y = f(product(c, W, x)) for one or many columns, and the gradient of W, cut into
// the tiles of tile.hpp:
//
//     one column    one or two panels of V vectors, all S partial sums at once
//     many columns  the V vectors of a panel by N columns, half of the partial sums at a time
//     few rows      M vectors, each of several columns, all S partial sums at once
//     a gradient    the V vectors of a panel by N columns of the matrix
//
// Who calls whom, down to the tiles:
//
//     one_column > column_of_panels
//     many_columns > multiply_panel > multiply_columns > multiply_tiles
//     close_columns > multiply_close
//     correlate > correlate_panel > correlate_tile
#pragma once

#include "tile.hpp"

namespace elman {
namespace ELMAN_SET {

// The columns whose sums fill the registers, beside V vectors of rows.
template <int V>
inline constexpr int kColumns = kAccumulators / V;
#ifdef ELMAN_SET_scalar
static_assert(kLanes<float> == 1 && kLanes<double> == 1 && kPanel == 1 && kColumns<1> == 1,
              "the plain loop, with which tests compare the other sets: one row by one column");
#endif

// --- one column

template <class Real, int P, int V>
ELMAN_APART void column_of_panels_apart(const PackedMatrix<Real>& A, const Real* a,
                                        const PackedMatrix<Real>& B, const Real* b, const Real* c,
                                        Real* y, Index row, const Activation& f, bool faded) {
    column_of_panels<Real, P, V>(A, a, B, b, c, y, row, f, faded);
}

// y = f(product(product(c, A, a), B, b)), faded or not, for all panels. Two panels are computed
// side by side if all matrices have one sum: a single panel would have too few chains, and one of
// twice the height is one stream of memory instead of two (AVX-512 on a Zen 5, H = 128: 692 ns a
// step instead of 945).
//
// From last to first if `last_first`: a caller that alternates finds the
// panels read last in the cache (H = 128: 730 ns a step of the recurrence instead of 864).
template <class Real>
ELMAN_INLINE void one_column(const PackedMatrix<Real>& A, const Real* a,
                             const PackedMatrix<Real>& B, const Real* b, const Real* c, Real* y,
                             const Activation& f, bool faded, bool last_first) {
    const bool pairs = B.partial_sums == 1 && (A.cols == 0 || A.partial_sums == 1);
    Panels<Real>(B.rows).for_each_pair(
        pairs, last_first, [&](Index row, int size, bool two) ELMAN_INLINED {
            with_constant<1, kPanel>(size, [&](auto V) ELMAN_INLINED {
                if (two)
                    column_of_panels_apart<Real, 2, V.value>(A, a, B, b, c, y, row, f, faded);
                else
                    column_of_panels_apart<Real, 1, V.value>(A, a, B, b, c, y, row, f, faded);
            });
        });
}

// --- many columns

// multiply_tiles for `count` columns, in groups equal within one, since each group reads all
// weights. (Without groups of one column AVX-512 compiles in 9.5 s instead of 10.3, but batches of
// 16 units take 1.06 times as long. With up to 6 columns for one vector and two sums, AVX2: 1.00.)
template <class Real, int V, int S>
ELMAN_INLINE void multiply_columns(Tile<Real> tile, Index count) {
    constexpr int kMost = kColumns<kPanel>;
    const EvenParts groups(count, kMost);
    const auto multiply = [&](Index size, Index some) ELMAN_INLINED {
        if (some == 0) return;
        with_constant<1, kMost>(static_cast<int>(size), [&](auto N) ELMAN_INLINED {
            multiply_tiles<Real, V, N.value, S>(tile, some);
        });
    };
    multiply(groups.base + 1, groups.longer);
    multiply(groups.base, groups.count - groups.longer);
}

// The tile that begins `rows` rows below.
template <class Real>
ELMAN_INLINE Tile<Real> below(const Tile<Real>& tile, Index rows) {
    const Columns<const Real> c{tile.c.data + rows, tile.c.stride};
    return {tile.w + rows,
            tile.pitch,
            tile.cols,
            tile.sums,
            c,
            tile.x,
            {tile.y.data + rows, tile.y.stride}};
}

// The same for a whole panel of `height` vectors.
template <class Real>
ELMAN_INLINE void multiply_panel(const Tile<Real>& tile, int height, Index count) {
    if (tile.sums < 4)
        return with_constant<1, kPanel>(
            height, [&](auto V) ELMAN_INLINED { multiply_columns<Real, V.value, 1>(tile, count); });
    // Two sums at a time need twice the registers: half the height.
    const EvenParts tiles(height, kLowTile);
    for (Index i = 0; i < tiles.count; ++i)
        with_constant<1, kLowTile>(tiles.size(i), [&](auto V) ELMAN_INLINED {
            multiply_columns<Real, V.value, 2>(below(tile, tiles.begin(i) * kLanes<Real>), count);
        });
}

// The terms of a panel that stay in the L1 cache while all columns are multiplied. Only a single
// sum can be interrupted: it continues from y. (An update of 256 units with AVX2, simulated with an
// L1 cache of 32 KiB: the products read 3.0 million lines from the L2 cache instead of 7.2.)
template <class Real>
Index terms_at_once(const PackedMatrix<Real>& W, Index pitch) {
    constexpr Index kBytes = 16 * 1024;  // half of a small L1 cache
    return W.partial_sums == 1 ? kBytes / (pitch * static_cast<Index>(sizeof(Real))) : W.cols;
}

// Panel by panel. If a panel's terms are added at once, f is applied to several columns at once
// while their results are in the L1 cache.
template <class Real>
static void many_columns(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                         Columns<Real> y, Index count, const Activation& f, bool faded) {
    Panels<Real>(W.rows).for_each([&](Index row, int height) {
        const Index pitch = height * kLanes<Real>;
        const EvenParts terms(W.cols, terms_at_once(W, pitch));
        const Index at_once = terms.count > 1 ? count : 8 * kColumns<kPanel>;
        for (Index first = 0; first < count; first += at_once) {
            const Index some = smaller(count - first, at_once);
            const Columns<Real> result{y.column(first) + row, y.stride};
            Columns<const Real> start{c.column(first) + row, c.stride};
            for (Index part = 0; part < terms.count; ++part, start = result) {
                const Index k = terms.begin(part);
                const Tile<Real> tile{W.panels + row * W.cols + k * pitch,
                                      pitch,
                                      terms.size(part),
                                      W.partial_sums,
                                      start,
                                      {x.column(first) + k, x.stride},
                                      result};
                multiply_panel<Real>(tile, height, some);
            }
            apply<Real>(f, faded, result, pitch, some);
        }
    });
}

// y_n = f(product(c_n, W, x_n)), faded or not, for n = 0 ... count-1.
template <class Real>
ELMAN_INLINE void multiply(const PackedMatrix<Real>& W, Columns<const Real> c,
                           Columns<const Real> x, Columns<Real> y, Index count, const Activation& f,
                           bool faded, bool last_first) {
    if (count == 1)
        one_column<Real>(kNoMatrix<Real>, nullptr, W, x.data, c.data, y.data, f, faded, last_first);
    else
        many_columns<Real>(W, c, x, y, count, f, faded);
}

// --- many columns of few rows

// The least stride of results: whole vectors, or a power of two of blocks below that.
template <class Real>
static Index close_stride(Index rows) {
    for (Index stride = kBlock<Real>; stride < kLanes<Real>; stride *= 2)
        if (rows <= stride) return stride;
    return vectors<Real>(rows) * kLanes<Real>;
}

// y = product(c, W, x) for M vectors of columns of G rows; x of column n is at x(n).
template <class Real, int G, int M, int S, class X>
ELMAN_INLINE void multiply_close(const PackedMatrix<Real>& W, const Real* c, X x, Real* y) {
    constexpr int kEach = kLanes<Real> / G, kTerms = 4;
    Packet<Real> sum[S][M];
    ELMAN_EACH (s, S)
        ELMAN_EACH (m, M) sum[s][m] = s ? broadcast<Real>(Real(0)) : load_rows<Real, G>(c);
    // terms k ... k + terms - 1 of kTerms; k is a multiple of S
    const auto add = [&](Index k, Index terms, auto from) ELMAN_INLINED {
        ELMAN_EACH (block, kTerms / kBlock<Real>) {
            Packet<Real> element[M][kBlock<Real>];
            ELMAN_EACH (m, M)
                spread(load_blocks<Real, G>([&](int n) ELMAN_INLINED {
                           return from(m * kEach + n) + block * kBlock<Real>;
                       }),
                       element[m]);
            ELMAN_EACH (i, kBlock<Real>) {
                const int term = block * kBlock<Real> + i;
                if (term >= terms) break;
                const Packet<Real> weight =
                    load_rows<Real, G>(W.panels + (k + term) * kLanes<Real>);
                ELMAN_EACH (m, M) sum[term % S][m] = fma(weight, element[m][i], sum[term % S][m]);
            }
        }
    };
    Index k = 0;
    for (; k + kTerms <= W.cols; k += kTerms)
        add(k, kTerms, [&](int n) ELMAN_INLINED { return x(n) + k; });
    if (k < W.cols) {
        Real rest[M * kEach][kTerms] = {};
        for (int n = 0; n < M * kEach; ++n)
            for (Index i = 0; i < W.cols - k; ++i) rest[n][i] = x(n)[k + i];
        add(k, W.cols - k, [&](int n) ELMAN_INLINED { return &rest[n][0]; });
    }
    fold<Real>(sum, sum[0]);
    store<Real>(y, sum[0]);
}

// y = f(product(c, W, x)) for `count` columns at stride G. The last vector is written whole.
// (Batches of 16 -> 32 -> 4 with AVX-512: 131 GFLOP/s instead of 109, with AVX2 77 instead of 68.)
template <class Real, int G>
ELMAN_APART void close_columns(const PackedMatrix<Real>& W, const Real* c, Columns<const Real> x,
                               Real* y, Index count, const Activation& f) {
    constexpr int kEach = kLanes<Real> / G, kVectors = kAccumulators >= 16 ? 4 : 2;
    with_sums<4>(W.partial_sums, [&](auto S) ELMAN_INLINED {
        Index first = 0;
        for (; first + kVectors * kEach <= count; first += kVectors * kEach)
            multiply_close<Real, G, kVectors, S.value>(
                W, c, [=](int n) ELMAN_INLINED { return x.column(first + n); }, y + first * G);
        for (; first < count; first += kEach)
            multiply_close<Real, G, 1, S.value>(
                W, c, [=](int n) ELMAN_INLINED { return x.column(smaller(first + n, count - 1)); },
                y + first * G);
    });
    apply<Real>(f, false, {y, 0}, count * G, 1);
}

// The next two functions have the arguments of product(), which then ends in a jump.

// One column, and a W of at most one vector of rows: the readout of a step.
template <class Real>
ELMAN_APART void product_of_vector(const PackedMatrix<Real>& W, Columns<const Real> c,
                                   Columns<const Real> x, Columns<Real> y, Index /*count*/,
                                   const Activation& f) {
    column_of_panels<Real, 1, 1>(kNoMatrix<Real>, nullptr, W, x.data, c.data, y.data, 0, f, false);
}

template <class Real>
ELMAN_APART void product_of_panels(const PackedMatrix<Real>& W, Columns<const Real> c,
                                   Columns<const Real> x, Columns<Real> y, Index count,
                                   const Activation& f) {
    multiply<Real>(W, c, x, y, count, f, false, false);
}

template <class Real>
static void product(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                    Columns<Real> y, Index count, const Activation& f) {
    if (count == 1 && W.rows <= kLanes<Real>) return product_of_vector<Real>(W, c, x, y, count, f);
    if constexpr (kLanes<Real> > 2 * kBlock<Real>)
        if (count > 1 && y.stride == 2 * kBlock<Real>)
            return close_columns<Real, 2 * kBlock<Real>>(W, c.data, x, y.data, count, f);
    if constexpr (kLanes<Real> > kBlock<Real>)
        if (count > 1 && y.stride == kBlock<Real>)
            return close_columns<Real, kBlock<Real>>(W, c.data, x, y.data, count, f);
    product_of_panels<Real>(W, c, x, y, count, f);
}

// --- the gradient of W

// `steps` steps of one column as the columns of one step, from last to first: one loop, not two.
template <class Real>
ELMAN_INLINE Slots<const Real> reversed(const Slots<const Real>& slots, Index steps) {
    return {slots.at(steps - 1).data, -slots.step, 0};
}

// Cuts `count` columns into groups: each(Constant<N>, number of groups) for N = Most and the
// smaller ones of 8, 4, 2, 1. Fewer kinds of tiles to compile than with equal groups.
template <int Most, class Each>
ELMAN_INLINE void in_groups(Index count, Each each) {
    const auto take = [&](auto N, Index groups) ELMAN_INLINED {
        if (groups > 0) each(N, groups);
        count -= N.value * groups;
    };
    take(Constant<Most>(), count / Most);
    if constexpr (Most > 8) take(Constant<8>(), count / 8);
    if constexpr (Most > 4) take(Constant<4>(), count / 4);
    if constexpr (Most > 2) take(Constant<2>(), count / 2);
    if constexpr (Most > 1) take(Constant<1>(), count);
}

// Not inlined into the loops of correlate: its inner loops would have an eighth more instructions.
// Its tiles are inlined: otherwise updates of 128 units take 1.03 times as long.
template <class Real>
ELMAN_APART void correlate_panel(Real* G, int height, Index cols, Slots<const Real> d,
                                 Slots<const Real> x, Index count, Index steps) {
    with_constant<1, kPanel>(height, [&](auto V) ELMAN_INLINED {
        in_groups<kColumns<V.value>>(cols, [&](auto N, Index groups) ELMAN_INLINED {
            for (; groups > 0; --groups) {
                correlate_tile<Real, V.value, N.value>(G, d, x, count, steps);
                G += N.value * V.value * kLanes<Real>;
                x.data += N.value;
            }
        });
    });
}

// Panel by panel, and at most kAtOnce columns at a time, so that a panel of errors stays in the L1
// cache: with 256 columns ten times as many reads miss a cache of 32 KiB.
template <class Real>
static void correlate(Real* G, Index rows, Index cols, Slots<const Real> d, Slots<const Real> x,
                      Index count, Index steps) {
    constexpr Index kAtOnce = 128;
    const Index at_once = count < kAtOnce ? kAtOnce / count : 1;
    Panels<Real>(rows).for_each([&](Index row, int height) {
        Real* panel = G + row * cols;
        for (Index last = steps; last > 0; last -= at_once) {
            const Index some = smaller(last, at_once), first = last - some;
            const Slots<const Real> errors{d.at(first).data + row, d.stride, d.step};
            if (count == 1)
                correlate_panel<Real>(panel, height, cols, reversed<Real>(errors, some),
                                      reversed<Real>(x.from(first), some), some, 1);
            else
                correlate_panel<Real>(panel, height, cols, errors, x.from(first), count, some);
        }
    });
}

template <class Real>
static void add_columns(Real* g, Slots<const Real> d, Index rows, Index count, Index steps) {
    if (count == 1) {
        d = reversed<Real>(d, steps);
        count = steps;
        steps = 1;
    }
    Panels<Real>(rows).for_each([&](Index row, int height) {
        const Slots<const Real> errors{d.data + row, d.stride, d.step};
        with_constant<1, kPanel>(height, [&](auto V) ELMAN_INLINED {
            add_vectors<Real, V.value>(g + row, errors, count, steps);
        });
    });
}

template <class Real>
static void square_rows(const Real* G, Index rows, Index cols, Real* sums) {
    Panels<Real>(rows).for_each([&](Index row, int height) {
        const Index pitch = height * kLanes<Real>;
        for (Index v = 0; v < pitch; v += kLanes<Real>) {
            Packet<Real> sum = broadcast<Real>(0);
            for (Index k = 0; k < cols; ++k) {
                const Packet<Real> g = load<Real>(G + row * cols + k * pitch + v);
                sum = fma(g, g, sum);
            }
            store<Real>(sums + row + v, sum);
        }
    });
}

}  // namespace ELMAN_SET
}  // namespace elman
