// tile.hpp - products and gradients of a tile, in the order of summation of table.hpp.
//
// A tile is V vectors of rows by N columns, in registers: vector v of column n is element n * V + v
// of an array.
#pragma once

#include "columns.hpp"
#include "pack.hpp"

namespace elman {
namespace ELMAN_SET {

// --- the number of sums, and two variants of add_terms

// The most partial sums of a matrix that has P panels of V vectors: pairs are taken only with one
// sum (one_column); and with a panel of V vectors it has more than (V - 1) lanes rows, where
// partial_sums() falls with rows, and rises with columns up to 16 of them.
template <class Real, int P, int V>
inline constexpr int kMostSums = P > 1 ? 1 : partial_sums((V - 1) * kLanes<Real> + 1, 16);

// Calls each(Constant<S>) for S = 1, 2 or 4 partial sums. S is never above kMost: fewer sums would
// be another order.
template <int kMost, class Each>
ELMAN_INLINE void with_sums(int sums, Each each) {
    if constexpr (kMost > 2)
        if (sums == 4) return each(Constant<4>());
    if constexpr (kMost > 1)
        if (sums == 2) return each(Constant<2>());
    each(Constant<1>());
}

// sum += w_k x_k, as in add_terms, for N > V: the V weights are loaded first, as the smaller set.
// (With the N elements first, AVX-512: updates of 32 and 150 units take 1.03 times as long.)
template <class Real, int V, int N, class W, class X>
ELMAN_INLINE void add_wide_term(W w, X x, Index k, Packet<Real> (&sum)[N * V]) {
    Packet<Real> weight[V];
    ELMAN_EACH (v, V) weight[v] = load<Real>(w(v, k));
    ELMAN_EACH (n, N) {
        const Packet<Real> element = broadcast<Real>(x(n, k));
        ELMAN_EACH (v, V) sum[n * V + v] = fma(weight[v], element, sum[n * V + v]);
    }
}

// add_terms for one column x, whose elements are loaded four at a time: the same sums.
template <class Real, int V, int S, class W>
ELMAN_INLINE void add_terms_by_four(Index terms, W w, const Real* x, Packet<Real> (&sum)[S][V]) {
    const auto add = [&](int s, Index k, Packet<Real> element) ELMAN_INLINED {
        ELMAN_EACH (v, V) sum[s][v] = fma(load<Real>(w(v, k)), element, sum[s][v]);
    };
    Index k = 0;
    for (; k + 4 <= terms; k += 4) {
        Packet<Real> element[4];
        broadcast_four(x + k, element);
        ELMAN_EACH (i, 4) add(i % S, k + i, element[i]);
    }
    ELMAN_EACH (i, 3)
        if (k + i < terms) add(i % S, k + i, broadcast<Real>(x[k + i]));
}

// --- the sums of a product

// sum[0] = v; the other sums are +0.
template <class Real, int S, int N>
ELMAN_INLINE void start(const Packet<Real> (&v)[N], Packet<Real> (&sum)[S][N]) {
    ELMAN_EACH (s, S)
        ELMAN_EACH (i, N) sum[s][i] = s ? broadcast<Real>(Real(0)) : v[i];
}

// sum[s] += w_k x_k for k = s, s + every, s + 2 every ... < terms. w(v, k) points to vector v of
// w_k; x(n, k) is the element of column n. `every` is S, but 2 S if add_sums takes half the sums.
template <class Real, int V, int N, int S, class W, class X>
ELMAN_INLINE void add_terms(Index terms, Index every, W w, X x, Packet<Real> (&sum)[S][N * V]) {
    const auto add = [&](int s, Index k) ELMAN_INLINED {
        if constexpr (N > V) {
            add_wide_term<Real, V, N>(w, x, k, sum[s]);
        } else {
            Packet<Real> element[N];
            ELMAN_EACH (n, N) element[n] = broadcast<Real>(x(n, k));
            ELMAN_EACH (v, V) {
                const Packet<Real> weight = load<Real>(w(v, k));
                ELMAN_EACH (n, N) sum[s][n * V + v] = fma(weight, element[n], sum[s][n * V + v]);
            }
        }
    };
    Index k = 0;
    for (; k + S <= terms; k += every) {
        ELMAN_EACH (s, S) add(s, k + s);
    }
    // Fewer than S terms are left.
    ELMAN_EACH (s, S - 1)
        if (k + s < terms) add(s, k + s);
}
// (Unrolled by 4: 113 ns a step of 16 -> 32 -> 4 instead of 108.)

// v = (sum[0] + sum[1]) + (sum[2] + sum[3]), or the first S of these.
template <class Real, int S, int N>
ELMAN_INLINE void fold(Packet<Real> (&sum)[S][N], Packet<Real> (&v)[N]) {
    const auto add_to = [&](int to, int from) ELMAN_INLINED {
        ELMAN_EACH (i, N) sum[to][i] = add(sum[to][i], sum[from][i]);
    };
    if constexpr (S > 1) add_to(0, 1);
    if constexpr (S > 2) {
        add_to(2, 3);
        add_to(0, 2);
    }
    ELMAN_EACH (i, N) v[i] = sum[0][i];
}

// --- one column

// v = product(v, W, x) for P = 1 or 2 panels of V vectors, the first at `row`. Column k of a panel
// is its V vectors at k * V * lanes.
template <class Real, int P, int V, int S>
ELMAN_INLINE void add_product(const PackedMatrix<Real>& W, Index row, const Real* x,
                              Packet<Real> (&v)[P * V]) {
    static_assert(P <= 2);
    constexpr int lanes = kLanes<Real>;
    const Real* first = W.panels + row * W.cols;
    const Real* second = first + (P - 1) * V * lanes * W.cols;
    const auto weight = [=](int i, Index k) ELMAN_INLINED {
        return (i < V ? first : second) + k * V * lanes + i % V * lanes;
    };
    const auto element = [=](int, Index k) ELMAN_INLINED { return x[k]; };
    Packet<Real> sum[S][P * V];
    start<Real>(v, sum);
    if constexpr (kBroadcastsFour<Real, P * V, S>)
        add_terms_by_four<Real, P * V, S>(W.cols, weight, x, sum);
    else
        add_terms<Real, P * V, 1, S>(W.cols, S, weight, element, sum);
    fold<Real>(sum, v);
}

// Stands for A where there is one product only.
template <class Real>
inline constexpr PackedMatrix<Real> kNoMatrix{};

// v = product(product(c, A, a), B, b) for these panels; without the inner product if A is
// kNoMatrix.
template <class Real, int P, int V>
ELMAN_INLINE void add_products(const PackedMatrix<Real>& A, const Real* a,
                               const PackedMatrix<Real>& B, const Real* b, const Real* c, Index row,
                               Packet<Real> (&v)[P * V]) {
    const auto add = [&](const PackedMatrix<Real>& W, const Real* x) ELMAN_INLINED {
        with_sums<kMostSums<Real, P, V>>(W.partial_sums, [&](auto S) ELMAN_INLINED {
            add_product<Real, P, V, S.value>(W, row, x, v);
        });
    };
    load<Real>(c + row, v);
    if (A.cols > 0) add(A, a);
    add(B, b);
}
// (With A and a in one struct, B and b in another, the registers of one_column are allocated
// otherwise: AVX-512, H = 128: 422 ns a step of a sequence instead of 406.)

// y = f(product(product(c, A, a), B, b)), faded or not, for these panels.
template <class Real, int P, int V>
ELMAN_INLINE void column_of_panels(const PackedMatrix<Real>& A, const Real* a,
                                   const PackedMatrix<Real>& B, const Real* b, const Real* c,
                                   Real* y, Index row, const Activation& f, bool faded) {
    Packet<Real> v[P * V];
    add_products<Real, P, V>(A, a, B, b, c, row, v);
    if (P > 1 || !is_plain(f)) {  // through memory: the registers are full
        store<Real>(y + row, v);
        return apply<Real>(f, faded, {y + row, 0}, P * V * kLanes<Real>, 1);
    }
    apply_plain<Real>(f.function, faded, v);
    store<Real>(y + row, v);
}

// --- one column, backward, in registers

// d = f'(v) product(d, W, d_next), faded, for one panel of V vectors; h = f(v), f is plain.
template <class Real, int V>
ELMAN_INLINE void backward_of_panel(const PackedMatrix<Real>& W, const Real* d_next, const Real* h,
                                    Function f, Real* d) {
    Packet<Real> error[V], state[V];
    add_products<Real, 1, V>(kNoMatrix<Real>, nullptr, W, d_next, d, 0, error);
    load<Real>(h, state);
    differentiate_plain<Real>(f, state, error);
    store<Real>(d, error);
}
// (Through memory updates of H = 2 and 20 take 1.1 times as long.)

// --- many columns: half of the sums at a time

// V vectors of the rows of a panel, and several columns.
template <class Real>
struct Tile {
    const Real* w;  // column k of W is at w + k * pitch
    Index pitch, cols, sums;
    Columns<const Real> c, x;
    Columns<Real> y;
};

// v = v + the partial sums first ... first + S - 1 of product(0, W, x), for N columns.
template <class Real, int V, int N, int S>
ELMAN_INLINE void add_sums(const Tile<Real>& tile, Index first, Packet<Real> (&v)[N * V]) {
    const auto weight = [&](int i, Index k) ELMAN_INLINED {
        return tile.w + (first + k) * tile.pitch + i * kLanes<Real>;
    };
    const auto element = [&](int n, Index k) ELMAN_INLINED { return tile.x.column(n)[first + k]; };
    Packet<Real> sum[S][N * V];
    start<Real>(v, sum);
    add_terms<Real, V, N, S>(tile.cols - first, tile.sums, weight, element, sum);
    fold<Real>(sum, v);
}

// y = product(c, W, x) for `groups` times N columns; moves the tile past them. tile.sums is S or
// 2 S.
template <class Real, int V, int N, int S>
ELMAN_APART void multiply_tiles(Tile<Real>& tile, Index groups) {
    for (; groups > 0; --groups) {
        Packet<Real> v[N * V];
        ELMAN_EACH (n, N)
            ELMAN_EACH (i, V) v[n * V + i] = load<Real>(tile.c.column(n) + i * kLanes<Real>);
        add_sums<Real, V, N, S>(tile, 0, v);
        if (tile.sums > S) {
            Packet<Real> other[N * V];
            ELMAN_EACH (i, N * V) other[i] = broadcast<Real>(Real(0));
            add_sums<Real, V, N, S>(tile, S, other);
            ELMAN_EACH (i, N * V) v[i] = add(v[i], other[i]);
        }
        ELMAN_EACH (n, N)
            ELMAN_EACH (i, V) store<Real>(tile.y.column(n) + i * kLanes<Real>, v[n * V + i]);
        tile.c = tile.c.from(N);
        tile.x = tile.x.from(N);
        tile.y = tile.y.from(N);
    }
}
// (All 2 S sums in one pass would load weights and elements more often: H = 64: 78 GFLOP/s instead
// of 87. By value the tile would take a third more code.)

// --- gradients

// G = G + sum of d x^T, from the last step on, for N columns of G in a panel of V vectors. Here k
// is a sequence, n a column of G: w_k is column k of d, x_k that of x.
template <class Real, int V, int N>
ELMAN_INLINE void correlate_tile(Real* G, Slots<const Real> d, Slots<const Real> x, Index count,
                                 Index steps) {
    Packet<Real> sum[1][N * V];
    load<Real>(G, sum[0]);
    for (Index t = steps - 1; t >= 0; --t) {
        const Columns<const Real> errors = d.at(t), inputs = x.at(t);
        const auto error = [errors](int v, Index k)
                               ELMAN_INLINED { return errors.column(k) + v * kLanes<Real>; };
        const auto element = [inputs](int n, Index k) ELMAN_INLINED { return inputs.column(k)[n]; };
        add_terms<Real, V, N, 1>(count, 1, error, element, sum);
    }
    store<Real>(G, sum[0]);
}

// g = g + sum of d for V vectors, in the same order.
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

}  // namespace ELMAN_SET
}  // namespace elman
