// product.hpp - y = f(product(c, W, x)) for one or many columns, and the gradient of W, with the
// order of summation of table.hpp.
//
// A tile is V vectors of rows by N columns, held in registers while its terms are added. A vector
// holds rows, never terms of a sum: its width cannot change a result.
//
//     one column    one or two panels of V vectors, all S partial sums at once
//     many columns  the V vectors of a panel by N columns, half of the partial sums at a time
//     few rows      M vectors, each of several columns, all S partial sums at once
//     a gradient    the same tile; its terms are the columns of all steps
//
// Who calls whom, down to the loop over terms:
//
//     one_column > column_of_panels > add_products > add_product > add_terms, add_terms_by_four
//     many_columns > multiply_panel > multiply_columns > multiply_tiles > some_sums > add_terms
//     close_columns > multiply_close
//     correlate > correlate_panel > correlate_tile > add_terms
#pragma once

#include "columns.hpp"
#include "pack.hpp"

namespace elman {
namespace ELMAN_SET {

// The columns whose sums fill the registers, beside V vectors of rows.
template <int V>
inline constexpr int kColumns = kAccumulators / V;

// The most partial sums of a matrix that has a panel of V vectors, and so more than (V - 1) lanes
// rows: partial_sums() falls with rows, and rises with columns up to 16 of them.
template <class Real, int V>
inline constexpr int kMostSums = partial_sums((V - 1) * kLanes<Real> + 1, 16);

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

template <class Real, int N>
ELMAN_INLINE void load(const Real* p, Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) v[n] = load<Real>(p + n * kLanes<Real>);
}
template <class Real, int N>
ELMAN_INLINE void store(Real* p, const Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) store<Real>(p + n * kLanes<Real>, v[n]);
}

// sum[s] += w_k x_k for k = s, s + every, s + 2 every ... < terms: the loop of a product. w(v,
// k) points to vector v of w_k, x(n, k) is the element of column n. `every` is S, or 2 S if another
// pass adds the other half of the sums.
template <class Real, int V, int N, int S, class W, class X>
ELMAN_INLINE void add_terms(Index terms, Index every, W w, X x, Packet<Real> (&sum)[S][N * V]) {
    const auto add = [&](int s, Index k) ELMAN_INLINED {
        if constexpr (N <= V) {  // keep the smaller set in registers: N elements or V weights
            Packet<Real> element[N];
            ELMAN_EACH (n, N) element[n] = broadcast<Real>(x(n, k));
            ELMAN_EACH (v, V) {
                const Packet<Real> weight = load<Real>(w(v, k));
                ELMAN_EACH (n, N) sum[s][n * V + v] = fma(weight, element[n], sum[s][n * V + v]);
            }
        } else {
            Packet<Real> weight[V];
            ELMAN_EACH (v, V) weight[v] = load<Real>(w(v, k));
            ELMAN_EACH (n, N) {
                const Packet<Real> element = broadcast<Real>(x(n, k));
                ELMAN_EACH (v, V) sum[s][n * V + v] = fma(weight[v], element, sum[s][n * V + v]);
            }
        }
    };
    Index k = 0;  // not unrolled by 4: 108 ns a step of 16 -> 32 -> 4 instead of 113
    for (; k + S <= terms; k += every) {
        ELMAN_EACH (s, S) add(s, k + s);
    }
    // Now k + S > terms: the first terms - k sums get one more term, none if k >= terms.
    ELMAN_EACH (s, S - 1)
        if (k + s < terms) add(s, k + s);
}

// sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]), or the first S of these.
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

// add_terms for the column x, whose elements are loaded four at a time.
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

// v = product(v, W, x) for P panels of V vectors each, starting at `row`, with S sums in registers.
// Column k of a panel is the V vectors at k * V * lanes (pack.hpp).
template <class Real, int P, int V, int S>
ELMAN_INLINE void add_product(const PackedMatrix<Real>& W, Index row, const Real* x,
                              Packet<Real> (&v)[P * V]) {
    constexpr int lanes = kLanes<Real>;
    Packet<Real> sum[S][P * V];
    ELMAN_EACH (s, S)
        ELMAN_EACH (i, P * V) sum[s][i] = s ? broadcast<Real>(Real(0)) : v[i];
    const Real* first = W.panels + row * W.cols;
    const Real* second = first + (P - 1) * V * lanes * W.cols;
    const auto weight = [=](int i, Index k) ELMAN_INLINED {
        return (i < V ? first : second) + k * V * lanes + i % V * lanes;
    };
    const auto element = [=](int, Index k) ELMAN_INLINED { return x[k]; };
    if constexpr (kBroadcastsFour<Real, P * V, S>)
        add_terms_by_four<Real, P * V, S>(W.cols, weight, x, sum);
    else
        add_terms<Real, P * V, 1, S>(W.cols, S, weight, element, sum);
    fold<Real>(sum);
    ELMAN_EACH (i, P * V) v[i] = sum[0][i];
}

// Stands for A where there is one product only.
template <class Real>
inline constexpr PackedMatrix<Real> kNoMatrix{};

// v = product(product(c, A, a), B, b) for P panels of V vectors starting at `row`: A (rows, I) and
// a (I,), or kNoMatrix; B (rows, H) and b (H,); c (rows,). (With A and a in one struct, B and b in
// another, the registers of one_column are allocated otherwise: AVX-512, H = 128: 422 ns a step of
// a sequence instead of 406.)
template <class Real, int P, int V>
ELMAN_INLINE void add_products(const PackedMatrix<Real>& A, const Real* a,
                               const PackedMatrix<Real>& B, const Real* b, const Real* c, Index row,
                               Packet<Real> (&v)[P * V]) {
    constexpr int kMost = P > 1 ? 1 : kMostSums<Real, V>;  // pairs only with one sum: one_column
    load<Real>(c + row, v);
    const auto add = [&](const PackedMatrix<Real>& W, const Real* vector) ELMAN_INLINED {
        with_sums<kMost>(W.partial_sums, [&](auto S) ELMAN_INLINED {
            add_product<Real, P, V, S.value>(W, row, vector, v);
        });
    };
    if (A.cols > 0) add(A, a);
    add(B, b);
}

// y = f(v), faded or not, for these panels; y (rows,). Two panels are computed side by side if all
// matrices have one sum: a single panel would have too few chains, and one of twice the height is
// one stream of memory instead of two (AVX-512 on a Zen 5, H = 128: 692 ns a step instead of 945).
template <class Real, int P, int V>
ELMAN_INLINE void column_of_panels(const PackedMatrix<Real>& A, const Real* a,
                                   const PackedMatrix<Real>& B, const Real* b, const Real* c,
                                   Real* y, Index row, const Activation& f, bool faded) {
    Packet<Real> v[P * V];
    add_products<Real, P, V>(A, a, B, b, c, row, v);
    if (P > 1 || !is_plain(f)) {  // through memory: less code, and the registers are full
        store<Real>(y + row, v);
        return apply<Real>(f, faded, {y + row, 0}, P * V * kLanes<Real>, 1);
    }
    Functions<Real>::with_plain(f.function, [&](auto g) ELMAN_INLINED {
        if (f.function == Function::identity && !faded) return;
        const Packet<Real> limit = fade_limit<Real>(faded);
        // in registers: H = 8: 26 ns a step instead of 31
        ELMAN_EACH (i, V) v[i] = Functions<Real>::faded(g, v[i], limit);
    });
    store<Real>(y + row, v);
}

template <class Real, int P, int V>
ELMAN_APART void column_of_panels_apart(const PackedMatrix<Real>& A, const Real* a,
                                        const PackedMatrix<Real>& B, const Real* b, const Real* c,
                                        Real* y, Index row, const Activation& f, bool faded) {
    column_of_panels<Real, P, V>(A, a, B, b, c, y, row, f, faded);
}

// The same for all panels, from last to first if `last_first`: a caller that alternates finds the
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

// The product of V vectors of a panel and several columns.
template <class Real>
struct Tile {
    const Real* w;  // column k of W is at w + k * pitch
    Index pitch, cols, sums;
    Columns<const Real> c;  // V vectors of each
    Columns<const Real> x;  // (cols,)
    Columns<Real> y;        // V vectors of each

    // The tile that begins `rows` rows below.
    Tile below(Index rows) const {
        return {
            w + rows, pitch, cols, sums, {c.data + rows, c.stride}, x, {y.data + rows, y.stride}};
    }
};

// total = partial sums first_sum ... first_sum + S - 1, added up, for N columns.
template <class Real, int V, int N, int S>
ELMAN_INLINE void some_sums(const Tile<Real>& tile, Index first_sum, Packet<Real> (&total)[N * V]) {
    Packet<Real> sum[S][N * V];
    ELMAN_EACH (s, S)
        ELMAN_EACH (i, N * V) sum[s][i] = broadcast<Real>(Real(0));
    if (first_sum == 0)
        ELMAN_EACH (n, N)
            ELMAN_EACH (v, V) sum[0][n * V + v] = load<Real>(tile.c.column(n) + v * kLanes<Real>);
    const auto element = [&](int n, Index k)
                             ELMAN_INLINED { return tile.x.column(n)[first_sum + k]; };
    const auto weight = [&](int v, Index k) ELMAN_INLINED {
        return tile.w + (first_sum + k) * tile.pitch + v * kLanes<Real>;
    };
    add_terms<Real, V, N, S>(tile.cols - first_sum, tile.sums, weight, element, sum);
    fold<Real>(sum);
    ELMAN_EACH (i, N * V) total[i] = sum[0][i];
}

// y = product(c, W, x) for `groups` times N columns, S sums at a time; tile.sums is S or 2 S. All
// 2 S in one pass would load weights and elements more often (H = 64: 78 GFLOP/s instead of 87).
// Moves the tile past these columns. (By value the tile would take a third more code.)
template <class Real, int V, int N, int S>
ELMAN_APART void multiply_tiles(Tile<Real>& tile, Index groups) {
    for (; groups > 0; --groups) {
        Packet<Real> total[N * V];
        some_sums<Real, V, N, S>(tile, 0, total);
        if (tile.sums > S) {
            Packet<Real> other[N * V];
            some_sums<Real, V, N, S>(tile, S, other);
            ELMAN_EACH (i, N * V) total[i] = add(total[i], other[i]);
        }
        ELMAN_EACH (n, N)
            ELMAN_EACH (v, V) store<Real>(tile.y.column(n) + v * kLanes<Real>, total[n * V + v]);
        tile.c = tile.c.from(N);
        tile.x = tile.x.from(N);
        tile.y = tile.y.from(N);
    }
}

// The same for `count` columns, in groups equal within one, since each group reads all weights.
// (Without groups of one column AVX-512 compiles in 9.5 s instead of 10.3, but batches of 16 units
// take 1.06 times as long. With up to 6 columns for one vector and two sums, AVX2: 1.00.)
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
            multiply_columns<Real, V.value, 2>(tile.below(tiles.begin(i) * kLanes<Real>), count);
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
    fold<Real>(sum);
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

// G = G + sum of d x^T for N columns of G in a panel of V vectors: G (N, V vectors), V vectors of
// each d, N elements of each x.
template <class Real, int V, int N>
ELMAN_INLINE void correlate_tile(Real* G, Slots<const Real> d, Slots<const Real> x, Index count,
                                 Index steps) {
    Packet<Real> sum[1][N * V];
    load<Real>(G, sum[0]);
    for (Index t = steps - 1; t >= 0; --t) {
        const Columns<const Real> inputs = x.at(t);
        const auto element = [inputs](int n, Index k) ELMAN_INLINED { return inputs.column(k)[n]; };
        const Columns<const Real> errors = d.at(t);
        const auto error = [errors](int v, Index k)
                               ELMAN_INLINED { return errors.column(k) + v * kLanes<Real>; };
        add_terms<Real, V, N, 1>(count, 1, error, element, sum);
    }
    store<Real>(G, sum[0]);
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
