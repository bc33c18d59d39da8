// columns.hpp - activations over columns: apply and differentiate, softmax and log_softmax.
#pragma once

#include <float.h>

#include "activation.hpp"
#include "table.hpp"

namespace elman::ELMAN_SET {

// values = function(values) for `rows` of each column, vector by vector.
template <class Real, class F>
ELMAN_INLINE void map(F function, Columns<Real> values, Index rows, Index count) {
    for (Index n = 0; n < count; ++n)
        for (Index i = 0; i < rows; i += kLanes<Real>) {
            Real* v = values.column(n) + i;
            store<Real>(v, function(load<Real>(v)));
        }
}
// (Several at a time, in lockstep or unrolled, were not faster: the processor overlaps them.)

// values = f(values), faded or not.
template <class Real>
static void apply(const Activation& f, bool faded, Columns<Real> values, Index rows, Index count) {
    if (f.clip <= DBL_MAX) {
        const Packet<Real> limit = broadcast<Real>(static_cast<Real>(f.clip));
        map<Real>([=](Packet<Real> v) ELMAN_INLINED { return clip<Real>(v, limit); }, values, rows,
                  count);
    }
    Functions<Real>::with_function(f, [&](auto g) ELMAN_INLINED {
        if (f.function == Function::identity && !faded) return;
        const Packet<Real> limit = fade_limit<Real>(faded);
        map<Real>([=](Packet<Real> v) ELMAN_INLINED { return Functions<Real>::faded(g, v, limit); },
                  values, rows, count);
    });
}

// v = f(v), faded or not (limit 0), for N vectors in registers; f is plain.
template <class Real, int N>
ELMAN_INLINE void apply_plain(Function f, bool faded, Packet<Real> (&v)[N]) {
    Functions<Real>::with_plain(f, [&](auto g) ELMAN_INLINED {
        if (f == Function::identity && !faded) return;
        const Packet<Real> limit = fade_limit<Real>(faded);
        ELMAN_EACH (i, N) v[i] = Functions<Real>::faded(g, v[i], limit);
    });
}

// e = f'(v) e, faded, from y = f(v), for N vectors in registers; f is plain.
template <class Real, int N>
ELMAN_INLINE void differentiate_plain(Function f, const Packet<Real> (&y)[N],
                                      Packet<Real> (&e)[N]) {
    Functions<Real>::with_plain(f, [&](auto g) ELMAN_INLINED {
        ELMAN_EACH (i, N) e[i] = g.backward(e[i], y[i]);
    });
    ELMAN_EACH (i, N) e[i] = fade<Real>(e[i], e[i], fade_limit<Real>(true));
}

// e = g.backward(e, y), faded, for `rows` of each column, vector by vector.
template <class Real, class G>
ELMAN_INLINE void map_errors(G g, Columns<const Real> y, Columns<Real> e, Index rows, Index count) {
    const Packet<Real> limit = fade_limit<Real>(true);
    for (Index n = 0; n < count; ++n)
        for (Index i = 0; i < rows; i += kLanes<Real>) {
            Real* at = e.column(n) + i;
            const Packet<Real> d = g.backward(load<Real>(at), load<Real>(y.column(n) + i));
            store<Real>(at, fade<Real>(d, d, limit));
        }
}

// e = f'(v) e, faded, from y = f(v); f is plain.
template <class Real>
ELMAN_APART void differentiate_columns(Function f, Columns<const Real> y, Columns<Real> e,
                                       Index rows, Index count) {
    Functions<Real>::with_plain(
        f, [&](auto g) ELMAN_INLINED { map_errors<Real>(g, y, e, rows, count); });
}

// f(-clip) and f(clip), sorted. A trainable f is monotone: a clipped value equals one of them, and
// a value strictly between them was not clipped.
template <class Real>
struct Ends {
    Real lower = -Constants<Real>::infinity, upper = Constants<Real>::infinity;

    explicit Ends(const Activation& f) {
        if (f.clip > DBL_MAX) return;
        const Real limit = static_cast<Real>(f.clip);
        alignas(64) Real y[64 / sizeof(Real)] = {-limit, limit};
        apply<Real>(f, false, {y, 0}, 2, 1);
        lower = y[1] < y[0] ? y[1] : y[0];
        upper = y[1] < y[0] ? y[0] : y[1];
    }
};

// g with the derivative 0 where f is clipped, and a NaN for a NaN.
template <class Real, class G>
struct Guarded {
    G g;
    bool clipped;
    Packet<Real> lower, upper;  // where f is clipped: Ends

    ELMAN_INLINED Packet<Real> backward(Packet<Real> e, Packet<Real> y) const {
        const Packet<Real> zero = broadcast<Real>(0);
        const Packet<Real> infinity = broadcast<Real>(Constants<Real>::infinity);
        Packet<Real> d = g.backward(e, y);
        if (clipped) d = select(less(lower, y), select(less(y, upper), d, zero), zero);
        // A NaN fails both comparisons and replaces d; an infinity passes one and keeps d.
        const Packet<Real> not_above = select(less(negative<Real>(infinity), y), d, y);
        return select(less(y, infinity), d, not_above);
    }
};

// differentiate_columns for any elementwise f.
template <class Real>
static void differentiate_general(const Activation& f, Columns<const Real> y, Columns<Real> e,
                                  Index rows, Index count) {
    const Ends<Real> ends(f);
    const Packet<Real> lower = broadcast<Real>(ends.lower), upper = broadcast<Real>(ends.upper);
    Functions<Real>::with_function(f, [&](auto g) ELMAN_INLINED {
        const Guarded<Real, decltype(g)> guarded{g, f.clip <= DBL_MAX, lower, upper};
        map_errors<Real>(guarded, y, e, rows, count);
    });
}

constexpr Index kSums = 16;

// sum[0] + ... + sum[15] as a binary tree.
template <class Real>
ELMAN_INLINE Real sum_of_sums(Real* sum) {
    for (Index width = 1; width < kSums; width *= 2)
        for (Index i = 0; i < kSums; i += 2 * width) sum[i] += sum[i + width];
    return sum[0];
}

// values[0] + ... + values[rows-1], in 16 partial sums by index mod 16, combined as a binary tree.
template <class Real>
ELMAN_INLINE Real sum_of_rows(const Real* values, Index rows) {
    Real sum[kSums] = {};
    for (Index i = 0; i < rows; ++i) sum[i % kSums] += values[i];
    return sum_of_sums(sum);
}

// e = exp(z - shift) for `rows` elements with z <= shift, vector by vector; e may be z.
template <class Real>
ELMAN_APART void shifted_exp(const Real* z, Real shift, Real* e, Index rows) {
    for (Index i = 0; i < rows; i += kLanes<Real>)
        store<Real>(e + i, exp<Real>(sub(load<Real>(z + i), broadcast<Real>(shift))));
}

// log(1 + v) for v >= 0, as 1 + v = 2^n (1 + w) with 0 <= w < 1. v - 1 is exact for v below 2^24
// (float).
template <class Real>
ELMAN_INLINE Packet<Real> log_of_sum(Real v) {
    using K = Constants<Real>;
    Real n = 0;
    for (; v >= 1; v = (v - 1) / 2) ++n;
    const Packet<Real> exponent = broadcast<Real>(n), w = log1p<Real>(broadcast<Real>(v));
    return fma(exponent, broadcast<Real>(K::ln2_high),
               fma(exponent, broadcast<Real>(K::ln2_low), w));
}

// y = (y - largest) - log(1 + rest), where the rest is the sum of exp(y - largest) without the 1 of
// the first of the largest. So every y has a small relative error, also the one near 0.
template <class Real>
static void log_softmax(Real* y, Real largest, Index rows) {
    Index at = 0;
    while (at < rows && y[at] < largest) ++at;  // at a NaN all results are NaN
    Real sum[kSums] = {};
    for (Index i = 0; i < rows; i += kSums) {
        const Index block = rows - i < kSums ? rows - i : kSums;
        alignas(64) Real e[kSums];
        shifted_exp<Real>(y + i, largest, e, block);
        if (i <= at && at < i + block) e[at - i] -= 1;  // 0, or NaN
        for (Index k = 0; k < block; ++k) sum[k] += e[k];
    }
    const Packet<Real> shift = broadcast<Real>(largest), log = log_of_sum<Real>(sum_of_sums(sum));
    map<Real>([=](Packet<Real> v) ELMAN_INLINED { return sub(sub(v, shift), log); }, {y, 0}, rows,
              1);
}

// softmax: y = exp(y - max) / sum(exp(y - max)). Elements beyond `rows` are overwritten but never
// used: exp and div process whole vectors, the maximum and the sum only `rows` elements.
template <class Real>
static void softmax(Function f, Columns<Real> y, Index rows, Index count) {
    for (Index n = 0; n < count; ++n) {
        Real* z = y.column(n);
        Real largest = z[0];
        for (Index i = 1; i < rows; ++i) largest = largest < z[i] ? z[i] : largest;
        if (f == Function::log_softmax) {
            log_softmax<Real>(z, largest, rows);
            continue;
        }
        shifted_exp<Real>(z, largest, z, rows);
        const Packet<Real> total = broadcast<Real>(sum_of_rows(z, rows));
        map<Real>([total](Packet<Real> v) ELMAN_INLINED { return div(v, total); }, {z, 0}, rows, 1);
    }
}

// e = y (e - sum(e y)) over `rows` elements; padding is unchanged.
template <class Real>
static void softmax_backward(Columns<const Real> y, Columns<Real> e, Index rows, Index count) {
    for (Index n = 0; n < count; ++n) {
        const Real* p = y.column(n);
        Real* d = e.column(n);
        for (Index i = 0; i < rows; ++i) d[i] *= p[i];
        const Real total = sum_of_rows(d, rows);
        for (Index i = 0; i < rows; ++i) d[i] -= p[i] * total;
    }
}

// e = e - exp(y) sum(e), likewise.
template <class Real>
static void log_softmax_backward(Columns<const Real> y, Columns<Real> e, Index rows, Index count) {
    for (Index n = 0; n < count; ++n) {
        Real* d = e.column(n);
        const Real total = sum_of_rows(d, rows);
        for (Index i = 0; i < rows; i += kSums) {
            const Index block = rows - i < kSums ? rows - i : kSums;
            alignas(64) Real p[kSums];
            shifted_exp<Real>(y.column(n) + i, 0, p, block);
            for (Index k = 0; k < block; ++k) d[i + k] -= p[k] * total;
        }
    }
}

template <class Real>
ELMAN_APART void differentiate(const Activation& f, Columns<const Real> y, Columns<Real> e,
                               Index rows, Index count) {
    if (is_plain(f))
        differentiate_columns<Real>(f.function, y, e, rows, count);
    else if (f.function == Function::softmax)
        softmax_backward<Real>(y, e, rows, count);
    else if (f.function == Function::log_softmax)
        log_softmax_backward<Real>(y, e, rows, count);
    else
        differentiate_general<Real>(f, y, e, rows, count);
}

}  // namespace elman::ELMAN_SET
