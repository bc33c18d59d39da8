// product.hpp - y = f(product(c, W, x)) for one column or for many, and the gradient of W: sums of
// terms w_k x_k in the one order of table.hpp.
//
// A tile is V vectors of rows by N columns of numbers that live in registers while their terms are
// added. A vector holds rows, never terms of a sum: its width cannot change a result.
//
//     one column    the V vectors of a whole panel, all S partial sums at once
//     many columns  up to 4 vectors of a panel by N columns, half of the partial sums at a time
//     a gradient    the same tile, its terms being the columns of all steps
#pragma once

#include "activation.hpp"
#include "pack.hpp"

namespace elman {
namespace ELMAN_SET {

// The most columns of a tile of V vectors.
template <int V>
inline constexpr int kColumns = kAccumulators / V;

// The most partial sums of a matrix that has a panel of V vectors, and so this many rows at least.
template <class Real, int V>
inline constexpr int kMostSums = partial_sums((V - 1) * kLanes<Real> + 1, 64);

// each(Constant<S>) for S = 1, 2 or 4 partial sums, kMost at most.
template <int kMost, class Each>
ELMAN_INLINE void with_sums(int sums, Each each) {
    if (kMost == 1 || sums == 1)
        each(Constant<1>());
    else if (kMost == 2 || sums == 2)
        each(Constant<kMost == 1 ? 1 : 2>());
    else
        each(Constant<kMost>());
}

template <class Real, int N>
ELMAN_INLINE void load(const Real* p, Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) v[n] = load<Real>(p + n * kLanes<Real>);
}
template <class Real, int N>
ELMAN_INLINE void store(Real* p, const Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) store<Real>(p + n * kLanes<Real>, v[n]);
}

// sum[s] += w_k x_k for k = s, s + every, s + 2 every ... < terms: the only loop over terms. The
// vectors of w_k lie at w + k * pitch, and x(n, k) is the element of column n.
template <class Real, int V, int N, int S, class X>
ELMAN_INLINE void add_terms(const Real* w, Index pitch, Index terms, Index every, X x,
                            Packet<Real> (&sum)[S][N * V]) {
    constexpr int lanes = kLanes<Real>;
    const auto add = [&](int s, Index k) ELMAN_INLINED {
        if constexpr (N <= V) {  // registers hold the fewer: N elements or V weights
            Packet<Real> element[N];
            ELMAN_EACH (n, N) element[n] = broadcast<Real>(x(n, k));
            ELMAN_EACH (v, V) {
                const Packet<Real> weight = load<Real>(w + k * pitch + v * lanes);
                ELMAN_EACH (n, N) sum[s][n * V + v] = fma(weight, element[n], sum[s][n * V + v]);
            }
        } else {
            Packet<Real> weight[V];
            load<Real>(w + k * pitch, weight);
            ELMAN_EACH (n, N) {
                const Packet<Real> element = broadcast<Real>(x(n, k));
                ELMAN_EACH (v, V) sum[s][n * V + v] = fma(weight[v], element, sum[s][n * V + v]);
            }
        }
    };
    Index k = 0;  // one column unrolled by 4: 113 ns a step of 16 -> 32 -> 4 instead of 108
    for (; k + S <= terms; k += every) {
        ELMAN_EACH (s, S) add(s, k + s);
    }
    ELMAN_EACH (s, S - 1)
        if (k + s < terms) add(s, k + s);
}

// sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]), or what there is of it.
template <class Real, int S, int N>
ELMAN_INLINE void fold(Packet<Real> (&sum)[S][N]) {
    const auto add_to = [&](int to, int from) ELMAN_INLINED {
        ELMAN_EACH (n, N) sum[to][n] = add(sum[to][n], sum[from][n]);
    };
    if constexpr (S > 1) add_to(0, 1);
    if constexpr (S > 2) {
        add_to(2, 3);
        add_to(0, 2);
    }
}

// --- one column

// v = product(v, W, x) for the panel of V vectors that begins at `row`, S sums in registers.
template <class Real, int V, int S>
ELMAN_INLINE void add_product(const PackedMatrix<Real>& W, Index row, const Real* x,
                              Packet<Real> (&v)[V]) {
    Packet<Real> sum[S][V];
    ELMAN_EACH (s, S)
        ELMAN_EACH (i, V) sum[s][i] = s ? broadcast<Real>(Real(0)) : v[i];
    const auto element = [x](int, Index k) ELMAN_INLINED { return x[k]; };
    add_terms<Real, V, 1, S>(W.panels + row * W.cols, V * kLanes<Real>, W.cols, S, element, sum);
    fold<Real>(sum);
    ELMAN_EACH (i, V) v[i] = sum[0][i];
}

// y = f(product(product(c, A, x), B, h)), faded or not, for one panel of V vectors.
template <class Real, int V>
ELMAN_INLINE void column_of_panel(const PackedMatrix<Real>& A, const Real* x,
                                  const PackedMatrix<Real>& B, const Real* h, const Real* c,
                                  Real* y, Index row, const Activation& f, bool faded) {
    Packet<Real> v[V];
    load<Real>(c + row, v);
    const auto add = [&](const PackedMatrix<Real>& W, const Real* vector) ELMAN_INLINED {
        with_sums<kMostSums<Real, V>>(W.partial_sums, [&](auto S) ELMAN_INLINED {
            add_product<Real, V, S.value>(W, row, vector, v);
        });
    };
    if (A.cols > 0) add(A, x);
    add(B, h);
    if (V > 4 || !is_plain(f)) {
        store<Real>(y + row, v);
        return apply<Real>(f, faded, {y + row, 0}, V * kLanes<Real>, 1);
    }
    with_plain<Real>(f.function, faded, [&](auto function) ELMAN_INLINED {
        ELMAN_EACH (i, V) v[i] = function(v[i]);  // H = 8: 26 ns a step instead of 31
    });
    store<Real>(y + row, v);
}

template <class Real, int V>
ELMAN_APART void column_of_panel_apart(const PackedMatrix<Real>& A, const Real* x,
                                       const PackedMatrix<Real>& B, const Real* h, const Real* c,
                                       Real* y, Index row, const Activation& f, bool faded) {
    column_of_panel<Real, V>(A, x, B, h, c, y, row, f, faded);
}

// The same for all panels; without A if that has no columns. The panels are read from the last to
// the first if `last_first`: a caller who alternates finds in the cache what was read last (H =
// 128: 730 ns a step of the recurrence instead of 864).
template <class Real>
ELMAN_INLINE void one_column(const PackedMatrix<Real>& A, const Real* x,
                             const PackedMatrix<Real>& B, const Real* h, const Real* c, Real* y,
                             const Activation& f, bool faded, bool last_first) {
    Panels<Real>(B.rows).for_each(last_first, [&](Index row, int size) ELMAN_INLINED {
        with_constant<1, kPanel>(size, [&](auto V) ELMAN_INLINED {
            column_of_panel_apart<Real, V.value>(A, x, B, h, c, y, row, f, faded);
        });
    });
}

// --- many columns

// The product of V vectors of a panel and some columns.
template <class Real>
struct Tile {
    const Real* w;  // the vectors of column k of W at w + k * pitch
    Index pitch, cols;
    Columns<const Real> c, x;
    Columns<Real> y;
};

// total = the sums number First ... First + S - 1 of `Sums`, added up, for N columns.
template <class Real, int V, int N, int Sums, int First, int S>
ELMAN_INLINE void some_sums(const Tile<Real>& tile, Packet<Real> (&total)[N * V]) {
    Packet<Real> sum[S][N * V];
    ELMAN_EACH (s, S)
        ELMAN_EACH (n, N)
            ELMAN_EACH (v, V)
                sum[s][n * V + v] = First + s > 0 ? broadcast<Real>(Real(0))
                                                  : load<Real>(tile.c.column(n) + v * kLanes<Real>);
    const auto element = [&](int n, Index k) ELMAN_INLINED { return tile.x.column(n)[First + k]; };
    add_terms<Real, V, N, S>(tile.w + First * tile.pitch, tile.pitch, tile.cols - First, Sums,
                             element, sum);
    fold<Real>(sum);
    ELMAN_EACH (i, N * V) total[i] = sum[0][i];
}

// y = product(c, W, x) for N columns, half of the sums at a time: with all of them in one pass,
// weights and elements would be loaded more often (H = 64: 78 GFLOP/s instead of 87).
template <class Real, int V, int N, int Sums>
ELMAN_INLINE void multiply_tile(const Tile<Real>& tile) {
    constexpr int kHalf = Sums > 1 ? Sums / 2 : 1;
    Packet<Real> total[N * V];
    some_sums<Real, V, N, Sums, 0, kHalf>(tile, total);
    if constexpr (Sums > 1) {
        Packet<Real> other[N * V];
        some_sums<Real, V, N, Sums, kHalf, kHalf>(tile, other);
        ELMAN_EACH (i, N * V) total[i] = add(total[i], other[i]);
    }
    ELMAN_EACH (n, N)
        ELMAN_EACH (v, V) store<Real>(tile.y.column(n) + v * kLanes<Real>, total[n * V + v]);
}

// The same for `groups` times N columns.
template <class Real, int V, int N, int Sums>
ELMAN_APART void multiply_tiles(Tile<Real>& tile, Index groups) {
    for (; groups > 0; --groups) {
        multiply_tile<Real, V, N, Sums>(tile);
        tile.c = tile.c.from(N);
        tile.x = tile.x.from(N);
        tile.y = tile.y.from(N);
    }
}

// ... and for `count` columns, in groups that are equal within one.
template <class Real, int V, int Sums>
ELMAN_INLINE void multiply_columns(Tile<Real> tile, Index count) {
    constexpr int kMost = kColumns<kTileHeight>;
    const EvenParts groups(count, kMost);
    const auto multiply = [&](Index size, Index some) ELMAN_INLINED {
        if (some == 0) return;
        with_constant<1, kMost>(static_cast<int>(size), [&](auto N) ELMAN_INLINED {
            multiply_tiles<Real, V, N.value, Sums>(tile, some);
        });
    };
    multiply(groups.base + 1, groups.longer);
    multiply(groups.base, groups.count - groups.longer);
}

// Panel after panel; the function follows for some of the columns together, while their results
// are still in the nearest cache.
template <class Real>
static void many_columns(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                         Columns<Real> y, Index count, const Activation& f, bool faded) {
    constexpr Index kAtOnce = 8 * kColumns<kTileHeight>;
    Panels<Real>(W.rows).for_each([&](Index row, int size) {
        const Index pitch = size * kLanes<Real>;
        const EvenParts tiles(size, kTileHeight);
        for (Index first = 0; first < count; first += kAtOnce) {
            const Index some = smaller(count - first, kAtOnce);
            for (Index i = 0; i < tiles.count; ++i) {
                const Index r = row + tiles.begin(i) * kLanes<Real>;
                const Tile<Real> tile{W.panels + row * W.cols + (r - row),
                                      pitch,
                                      W.cols,
                                      {c.column(first) + r, c.stride},
                                      x.from(first),
                                      {y.column(first) + r, y.stride}};
                with_constant<1, kTileHeight>(tiles.size(i), [&](auto V) ELMAN_INLINED {
                    with_sums<kMostSums<Real, V.value>>(W.partial_sums, [&](auto S) ELMAN_INLINED {
                        multiply_columns<Real, V.value, S.value>(tile, some);
                    });
                });
            }
            apply<Real>(f, faded, {y.column(first) + row, y.stride}, pitch, some);
        }
    });
}

template <class Real>
static void product(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                    Columns<Real> y, Index count, const Activation& f) {
    if (count == 1)
        one_column<Real>({}, nullptr, W, x.data, c.data, y.data, f, false, false);
    else
        many_columns<Real>(W, c, x, y, count, f, false);
}

// --- the gradient of W

// G = G + sum of d x^T for V vectors of a panel and N columns of G, which are `pitch` apart.
template <class Real, int V, int N>
static void correlate_tile(Real* G, Index pitch, Slots<const Real> d, Slots<const Real> x,
                           Index count, Index steps) {
    Packet<Real> sum[1][N * V];
    ELMAN_EACH (n, N)
        ELMAN_EACH (v, V) sum[0][n * V + v] = load<Real>(G + n * pitch + v * kLanes<Real>);
    for (Index t = steps - 1; t >= 0; --t) {
        const Columns<const Real> inputs = x.at(t);
        const auto element = [inputs](int n, Index k) ELMAN_INLINED { return inputs.column(k)[n]; };
        add_terms<Real, V, N, 1>(d.at(t).data, d.stride, count, 1, element, sum);
    }
    ELMAN_EACH (n, N)
        ELMAN_EACH (v, V) store<Real>(G + n * pitch + v * kLanes<Real>, sum[0][n * V + v]);
}

template <class Real, int V>
static void correlate_rows(Real* G, Index pitch, Index cols, Slots<const Real> d,
                           Slots<const Real> x, Index count, Index steps) {
    const EvenParts groups(cols, kColumns<V>);
    for (Index group = 0; group < groups.count; ++group) {
        const int size = groups.size(group);
        with_constant<1, kColumns<V>>(size, [&](auto N) ELMAN_INLINED {
            correlate_tile<Real, V, N.value>(G, pitch, d, x, count, steps);
        });
        G += size * pitch;
        x.data += size;
    }
}

// So many columns at a time that a panel of errors stays in the nearest cache.
template <class Real>
static void correlate(const PackedMatrix<Real>& W, Real* G, Slots<const Real> d,
                      Slots<const Real> x, Index count, Index steps) {
    constexpr Index kAtOnce = 128;
    const Index at_once = count < kAtOnce ? kAtOnce / count : 1;
    for (Index last = steps; last > 0; last -= at_once) {
        const Index some = smaller(last, at_once), first = last - some;
        Panels<Real>(W.rows).for_each([&](Index row, int size) {
            const EvenParts tiles(size, kTileHeight);
            for (Index i = 0; i < tiles.count; ++i) {
                const Index r = row + tiles.begin(i) * kLanes<Real>;
                const Slots<const Real> errors{d.at(first).data + r, d.stride, d.step};
                with_constant<1, kTileHeight>(tiles.size(i), [&](auto V) ELMAN_INLINED {
                    correlate_rows<Real, V.value>(G + row * W.cols + (r - row), size * kLanes<Real>,
                                                  W.cols, errors, x.from(first), count, some);
                });
            }
        });
    }
}

// g = g + sum of d for V vectors.
template <class Real, int V>
static void add_vectors(Real* g, Slots<const Real> d, Index count, Index steps) {
    Packet<Real> sum[V], error[V];
    load<Real>(g, sum);
    for (Index t = steps - 1; t >= 0; --t)
        for (Index n = 0; n < count; ++n) {
            load<Real>(d.at(t).column(n), error);
            ELMAN_EACH (v, V) sum[v] = add(sum[v], error[v]);
        }
    store<Real>(g, sum);
}

template <class Real>
static void add_columns(Real* g, Slots<const Real> d, Index rows, Index count, Index steps) {
    const EvenParts tiles(vectors<Real>(rows), kTileHeight);
    for (Index i = 0; i < tiles.count; ++i) {
        const Index r = tiles.begin(i) * kLanes<Real>;
        with_constant<1, kTileHeight>(tiles.size(i), [&](auto V) ELMAN_INLINED {
            add_vectors<Real, V.value>(g + r, {d.data + r, d.stride, d.step}, count, steps);
        });
    }
}

template <class Real>
static void square_rows(const PackedMatrix<Real>& W, const Real* G, Real* sums) {
    Panels<Real>(W.rows).for_each([&](Index row, int size) {
        const Index pitch = size * kLanes<Real>;
        for (Index v = 0; v < pitch; v += kLanes<Real>) {
            Packet<Real> sum = broadcast<Real>(0);
            for (Index k = 0; k < W.cols; ++k) {
                const Packet<Real> g = load<Real>(G + row * W.cols + k * pitch + v);
                sum = fma(g, g, sum);
            }
            store<Real>(sums + row + v, sum);
        }
    });
}

}  // namespace ELMAN_SET
}  // namespace elman
