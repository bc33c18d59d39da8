// affine.hpp - y = f(c + W x), for one column or for many, in the one order of summation.
//
// W is packed into panels of up to kPanel vectors of rows. In a panel the vectors of column k of W
// lie together, and the columns follow each other, so that a product reads it from front to back.
// A vector holds rows, never terms of a sum: its width cannot change a result.
//
//   one column:    P panels x V vectors x S partial sums live in registers
//   many columns:  V vectors x N columns live in registers, half of the partial sums at a time
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
inline constexpr int kMaxSumsLog2 = 2;  // of partial_sums()

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
    Index begin(Index part) const { return part * base + (part < longer ? part : longer); }
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

// What of an Elementwise a product does in registers: all of it, or nothing, and finish the rest.
struct Fused {
    Function function;
    bool faded;
};
ELMAN_INLINE Fused fused(Elementwise f) {
    return f.general ? Fused{Function::identity, false} : Fused{f.function, f.faded};
}

// Calls each(g) with the function g of one vector that f stands for, or not at all if f changes
// nothing. tanh and relu are tiny just where their argument is, which is known earlier.
template <class Real, class Each>
ELMAN_INLINE void with_function(Fused f, Each each) {
    using P = Packet<Real>;
    const P limit = fade_limit<Real>(f.faded);
    switch (f.function) {
        case Function::relu:
            return each([=](P v) ELMAN_INLINED { return fade<Real>(relu<Real>(v), v, limit); });
        case Function::tanh:
            return each([=](P v) ELMAN_INLINED { return fade<Real>(tanh<Real>(v), v, limit); });
        case Function::sigmoid:
            return each([=](P v) ELMAN_INLINED {
                const P y = sigmoid<Real>(v);
                return fade<Real>(y, y, limit);
            });
        default:
            if (f.faded) each([=](P v) ELMAN_INLINED { return fade<Real>(v, v, limit); });
    }
}

// v = f(v)
template <class Real, int N>
ELMAN_INLINE void activate(Fused f, Packet<Real> (&v)[N]) {
    with_function<Real>(f, [&](auto function) ELMAN_INLINED {
        ELMAN_EACH (n, N) v[n] = function(v[n]);
    });
}

// values = function(values) for `rows` of each column, vector by vector. Several at a time, in
// lockstep or unrolled, were no faster: the processor overlaps them itself.
template <class Real, class F>
ELMAN_INLINE void map(F function, Columns<Real> values, Index rows, Index count) {
    constexpr int lanes = kLanes<Real>;
    const Index whole = vectors<Real>(rows) * lanes;
    for (Index n = 0; n < count; ++n) {
        Real* column = values.data + n * values.stride;
        for (Index i = 0; i < whole; i += lanes)
            store<Real>(column + i, function(load<Real>(column + i)));
    }
}

template <class Real>
static void apply_general(Elementwise f, Columns<Real> values, Index rows, Index count) {
    const Packet<Real> limit = fade_limit<Real>(f.faded);
    with_activation<Real>(*f.general, [&](auto function) ELMAN_INLINED {
        const auto faded = [=](Packet<Real> v) ELMAN_INLINED {
            const Packet<Real> y = function(v);
            return fade<Real>(y, y, limit);
        };
        map<Real>(faded, values, rows, count);
    });
}

template <class Real>
ELMAN_INLINE void finish(Elementwise f, Real* values, Index rows) {
    if (f.general) apply_general<Real>(f, {values, 0}, rows, 1);
}

template <class Real>
static void apply(Elementwise f, Columns<Real> values, Index rows, Index count) {
    if (f.general) return apply_general<Real>(f, values, rows, count);
    with_function<Real>(
        fused(f), [&](auto function) ELMAN_INLINED { map<Real>(function, values, rows, count); });
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

// v = affine(v, W, x) for P panels of V vectors each, in registers. w is the first panel; the next
// one begins where it ends.
template <class Real, int P, int V, int S>
ELMAN_INLINE void accumulate(const Real* w, Index cols, const Real* x, Packet<Real> (&v)[P * V]) {
    constexpr int lanes = kLanes<Real>;
    const Real* weights[P];
    ELMAN_EACH (p, P) weights[p] = w + p * cols * V * lanes;
    Packet<Real> sum[S][P * V];
    ELMAN_EACH (s, S)
        ELMAN_EACH (i, P * V) sum[s][i] = s ? broadcast<Real>(Real(0)) : v[i];
    const auto add_term = [&](Packet<Real>(&to)[P * V], Real value) ELMAN_INLINED {
        const Packet<Real> element = broadcast<Real>(value);
        ELMAN_EACH (p, P) {
            ELMAN_EACH (i, V)
                to[p * V + i] = fma(load<Real>(weights[p] + i * lanes), element, to[p * V + i]);
            weights[p] += V * lanes;
        }
    };

    Index k = 0;  // unrolled by 4: 113 ns a step of 16 -> 32 -> 4 instead of 108
    for (; k + S <= cols; k += S) {
        ELMAN_EACH (s, S) add_term(sum[s], x[k + s]);
    }
    ELMAN_EACH (s, S - 1)
        if (k + s < cols) add_term(sum[s], x[k + s]);
    fold<Real>(sum);
    ELMAN_EACH (i, P * V) v[i] = sum[0][i];
}

// v = affine(v, W, x) for one panel.
template <class Real, int V>
ELMAN_INLINE void accumulate(const Real* w, Index cols, int sums, const Real* x,
                             Packet<Real> (&v)[V]) {
    if (sums == 1)
        accumulate<Real, 1, V, 1>(w, cols, x, v);
    else if (sums == 2)
        accumulate<Real, 1, V, 2>(w, cols, x, v);
    else
        accumulate<Real, 1, V, 4>(w, cols, x, v);
}

template <class Real, int N>
ELMAN_INLINE void load(const Real* p, Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) v[n] = load<Real>(p + n * kLanes<Real>);
}
template <class Real, int N>
ELMAN_INLINE void store(Real* p, const Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) store<Real>(p + n * kLanes<Real>, v[n]);
}

// y = f(affine(c, W, x)) for one panel and one column.
template <class Real, int V>
static void one_panel(const Real* w, Index cols, int sums, const Real* c, const Real* x, Real* y,
                      Fused f) {
    Packet<Real> v[V];
    load<Real>(c, v);
    accumulate<Real>(w, cols, sums, x, v);
    activate<Real>(f, v);
    store<Real>(y, v);
}

// Two panels at a time, where there is one sum, and so one chain of additions, for every vector:
// they keep both multiply-add units busy.
template <class Real, int V>
static void two_panels(const Real* w, Index cols, int, const Real* c, const Real* x, Real* y,
                       Fused f) {
    Packet<Real> v[2 * V];
    load<Real>(c, v);
    accumulate<Real, 2, V, 1>(w, cols, x, v);
    store<Real>(y, v);
    apply<Real>({f.function, f.faded}, {y, 0}, 2 * V * kLanes<Real>, 1);
}

// h_t = f(affine(affine(b_h, W_xh, x_t), W_hh, h_(t-1))) for a layer of one panel.
template <class Real, int V>
static void one_panel_cell(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                           const Real* bias, const Real* x, const Real* before, Real* after,
                           Fused f) {
    Packet<Real> v[V];
    load<Real>(bias, v);
    accumulate<Real>(W_xh.panels, W_xh.cols, W_xh.partial_sums, x, v);
    accumulate<Real>(W_hh.panels, W_hh.cols, W_hh.partial_sums, before, v);
    activate<Real>(f, v);
    store<Real>(after, v);
}

// The product of one panel and some columns.
template <class Real>
struct Product {
    const Real* w;
    Index cols;
    Columns<const Real> c;
    Columns<const Real> x;
    Columns<Real> y;
};

// total = the partial sums number Base ... Base + Sums - 1 of S, added up, for N columns and for
// `Count` vectors from `First` on of a panel of V.
template <class Real, int V, int First, int Count, int N, int S, int Base, int Sums>
ELMAN_INLINE void some_sums(const Product<Real>& p, Packet<Real> (&total)[N * Count]) {
    constexpr int lanes = kLanes<Real>;
    Packet<Real> sum[Sums][N * Count];
    ELMAN_EACH (s, Sums)
        ELMAN_EACH (n, N)
            ELMAN_EACH (v, Count)
                sum[s][n * Count + v] =
                    Base + s ? broadcast<Real>(Real(0))
                             : load<Real>(p.c.data + n * p.c.stride + (First + v) * lanes);
    const Real* w = p.w + (Base * V + First) * lanes;
    const auto add_term = [&](Packet<Real>(&to)[N * Count], Index k, int s) ELMAN_INLINED {
        Packet<Real> element[N];
        ELMAN_EACH (n, N) element[n] = broadcast<Real>(p.x.data[n * p.x.stride + k]);
        ELMAN_EACH (v, Count) {
            const Packet<Real> weight = load<Real>(w + (s * V + v) * lanes);
            ELMAN_EACH (n, N) to[n * Count + v] = fma(weight, element[n], to[n * Count + v]);
        }
    };
    Index k = Base;
    for (; k + Sums <= p.cols; k += S, w += S * V * lanes) {
        ELMAN_EACH (s, Sums) add_term(sum[s], k + s, s);
    }
    if (Sums == 2 && k < p.cols) add_term(sum[0], k, 0);
    fold<Real>(sum);
    ELMAN_EACH (i, N * Count) total[i] = sum[0][i];
}

// y = affine(c, W, x) for N columns, and for `Count` vectors from `First` on of a panel of V. Half
// of the sums at a time: with two in one pass, weights and elements would be loaded more often (H =
// 64: 78 GFLOP/s instead of 87).
template <class Real, int V, int First, int Count, int N, int S>
ELMAN_INLINE void tile(const Product<Real>& p) {
    constexpr int kHalf = S > 1 ? S / 2 : 1;
    Packet<Real> total[N * Count];
    some_sums<Real, V, First, Count, N, S, 0, kHalf>(p, total);
    if constexpr (S > 1) {
        Packet<Real> other[N * Count];
        some_sums<Real, V, First, Count, N, S, kHalf, kHalf>(p, other);
        ELMAN_EACH (i, N * Count) total[i] = add(total[i], other[i]);
    }
    ELMAN_EACH (n, N)
        ELMAN_EACH (v, Count)
            store<Real>(p.y.data + n * p.y.stride + (First + v) * kLanes<Real>,
                        total[n * Count + v]);
}

// y = affine(c, W, x) for V vectors of rows and `groups` times N columns, with half of the vectors
// at a time if two sums at a time need the room.
template <class Real, int V, int N, int S>
static void many_columns(Product<Real>& p, Index groups) {
    constexpr int kRoom = S == 4 ? kPanel / 2 : kPanel;
    constexpr int kFirst = V < kRoom ? V : kRoom;
    for (; groups > 0; --groups) {
        tile<Real, V, 0, kFirst, N, S>(p);
        if constexpr (kFirst < V) tile<Real, V, kFirst, V - kFirst, N, S>(p);
        p.c.data += N * p.c.stride;
        p.x.data += N * p.x.stride;
        p.y.data += N * p.y.stride;
    }
}

// The instances for panels of V vectors.
template <class Real>
struct PanelFunctions {
    using OneColumn = void (*)(const Real* w, Index cols, int sums, const Real* c, const Real* x,
                               Real* y, Fused f);
    using Cell = void (*)(const PackedMatrix<Real>& W_xh, const PackedMatrix<Real>& W_hh,
                          const Real* bias, const Real* x, const Real* before, Real* after,
                          Fused f);
    using ManyColumns = void (*)(Product<Real>&, Index groups);
    OneColumn one_panel, two_panels;
    Cell cell;
    ManyColumns many_columns[kMaxSumsLog2 + 1][kBlockColumns + 1];
};

template <class Real, int V, int N = kBlockColumns>
constexpr void fill_many_columns(PanelFunctions<Real>& functions) {
    functions.many_columns[0][N] = many_columns<Real, V, N, 1>;
    functions.many_columns[1][N] = many_columns<Real, V, N, 2>;
    functions.many_columns[2][N] = many_columns<Real, V, N, 4>;
    if constexpr (N > 1) fill_many_columns<Real, V, N - 1>(functions);
}

template <class Real, int V>
constexpr PanelFunctions<Real> panel_functions() {
    PanelFunctions<Real> functions{
        one_panel<Real, V>, two_panels<Real, V>, one_panel_cell<Real, V>, {}};
    fill_many_columns<Real, V>(functions);
    return functions;
}

template <class Real>
static constexpr PanelFunctions<Real> kFunctions[kPanel] = {
    panel_functions<Real, 1>(), panel_functions<Real, 2>(), panel_functions<Real, 3>(),
    panel_functions<Real, 4>()};

// One column, from the first panel to the last or backwards. Prefetching the beginning of the next
// panels (1 to 3 KiB each) before the activation changed nothing.
template <class Real>
static void affine_column(const PackedMatrix<Real>& W, const EvenParts& panels, const Real* c,
                          const Real* x, Real* y, Elementwise f, bool backwards) {
    for (Index done = 0; done < panels.count;) {
        Index panel = backwards ? panels.count - 1 - done : done;
        const int size = panels.size(panel);
        const Index neighbour = backwards ? panel - 1 : panel + 1;
        const bool two =
            W.partial_sums == 1 && panels.count - done > 1 && panels.size(neighbour) == size;
        if (two && backwards) panel = neighbour;
        const PanelFunctions<Real>& functions = kFunctions<Real>[size - 1];
        const Index row = panels.begin(panel) * kLanes<Real>;
        (two ? functions.two_panels : functions.one_panel)(
            W.panels + row * W.cols, W.cols, W.partial_sums, c + row, x, y + row, fused(f));
        done += two ? 2 : 1;
    }
    finish<Real>(f, y, W.rows);
}

// Many columns, panel after panel, as many columns at a time as fit the registers; the function
// follows for some of those groups together, while their results are still in the nearest cache.
template <class Real>
static void affine_columns(const PackedMatrix<Real>& W, const EvenParts& panels,
                           Columns<const Real> c, Columns<const Real> x, Columns<Real> y,
                           Index count, Elementwise f) {
    constexpr Index kAtOnce = 8 * kBlockColumns;
    for (Index panel = 0; panel < panels.count; ++panel) {
        const Index row = panels.begin(panel) * kLanes<Real>;
        const auto& functions = kFunctions<Real>[panels.size(panel) - 1];
        Product<Real> p{
            W.panels + row * W.cols, W.cols, {c.data + row, c.stride}, x, {y.data + row, y.stride}};
        for (Index first = 0; first < count; first += kAtOnce) {
            const Index some = count - first < kAtOnce ? count - first : kAtOnce;
            const Columns<Real> results = p.y;
            const EvenParts groups(some, kBlockColumns);
            const auto& of = functions.many_columns[W.partial_sums / 2];
            if (groups.longer > 0) of[groups.base + 1](p, groups.longer);
            of[groups.base](p, groups.count - groups.longer);
            apply<Real>(f, results, panels.size(panel) * kLanes<Real>, some);
        }
    }
}

template <class Real>
static void affine(const PackedMatrix<Real>& W, Columns<const Real> c, Columns<const Real> x,
                   Columns<Real> y, Index count, Elementwise f) {
    const EvenParts panels(vectors<Real>(W.rows), kPanel);
    if (count > 1) return affine_columns(W, panels, c, x, y, count, f);
    affine_column(W, panels, c.data, x.data, y.data, f, false);
}

}  // namespace ELMAN_ISA
}  // namespace elman
