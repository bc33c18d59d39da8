// columns.hpp - activations over columns: apply and differentiate, softmax and log_softmax.
#pragma once

#include <float.h>

#include "activation.hpp"
#include "table.hpp"

namespace elman::ELMAN_SET {

// values = function(values) for `rows` of each column, vector by vector. Several at a time, in
// lockstep or unrolled, were not faster: the processor overlaps them.
template <class Real, class F>
ELMAN_INLINE void map(F function, Columns<Real> values, Index rows, Index count) {
    for (Index n = 0; n < count; ++n)
        for (Index i = 0; i < rows; i += kLanes<Real>) {
            Real* v = values.column(n) + i;
            store<Real>(v, function(load<Real>(v)));
        }
}

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

// e = e f'(v), faded, from y = f(v). Where f is clipped the derivative is 0; where y is NaN so is
// the error, except for an identity without clip, which never reads y.
template <class Real>
static void differentiate_columns(const Activation& f, Columns<const Real> y, Columns<Real> e,
                                  Index rows, Index count) {
    using P = Packet<Real>;
    const P limit = fade_limit<Real>(true), zero = broadcast<Real>(0);
    const auto over_columns = [&](auto backward) ELMAN_INLINED {
        for (Index n = 0; n < count; ++n)
            for (Index i = 0; i < rows; i += kLanes<Real>) {
                Real* at = e.column(n) + i;
                const P d = backward(load<Real>(at), load<Real>(y.column(n) + i));
                store<Real>(at, fade<Real>(d, d, limit));
            }
    };
    if (is_plain(f))
        return Functions<Real>::with_plain(f.function, [&](auto g) ELMAN_INLINED {
            over_columns([=](P error, P value) ELMAN_INLINED { return g.backward(error, value); });
        });

    const P infinity = broadcast<Real>(Constants<Real>::infinity);
    const Ends<Real> ends(f);
    const P lower = broadcast<Real>(ends.lower), upper = broadcast<Real>(ends.upper);
    const bool clipped = f.clip <= DBL_MAX;
    Functions<Real>::with_function(f, [&](auto g) ELMAN_INLINED {
        over_columns([&](P error, P value) ELMAN_INLINED {
            P d = g.backward(error, value);
            if (clipped) d = select(less(lower, value), select(less(value, upper), d, zero), zero);
            // A NaN fails both comparisons and replaces d; an infinity passes one and keeps d.
            const P not_above = select(less(negative<Real>(infinity), value), d, value);
            return select(less(value, infinity), d, not_above);
        });
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
    if (f.function == Function::softmax)
        softmax_backward<Real>(y, e, rows, count);
    else if (f.function == Function::log_softmax)
        log_softmax_backward<Real>(y, e, rows, count);
    else
        differentiate_columns<Real>(f, y, e, rows, count);
}

}  // namespace elman::ELMAN_SET
