// activation.hpp - the activation functions with their derivatives, and the functions under them.
//
//   relu(v) = v < 0 ? 0 : v                      -0 stays -0
//   tanh(v), sigmoid(v) = 1 / (1 + e^-v)
//   exp(v), expm1(v) = e^v - 1                   for v <= 0
//   log1p(v) = log(1 + v)                        for 0 <= v <= 1
//   softplus(v) = log(1 + e^v)
//   softsign(v) = v / (1 + |v|)
//   fade(h) = |h| is tiny ? +0 : h               for hidden states and errors
//
// All return NaN for NaN. tanh and sigmoid are as accurate in both tails and for subnormals as
// elsewhere, are monotone, and stay inside [-1, 1] and [0, 1]; tanh is odd. Largest errors in ulp:
// float over all arguments (checked by cpp/tests/activation_sweep.cpp), double over 10^7 arguments,
// many of them near the joins (tests/test_activations.py):
//
//              float, fused   float, sse2   double, fused   double, sse2
//   tanh       1.17           1.22          1.30            1.54
//   sigmoid    1.70           1.75          1.75            1.75
//   exp        1.05           1.02          1.05            1.01
//   expm1      1.23           1.26          1.11            1.11
//   softplus   2.06           2.06          1.74            1.74
//   softsign   1.50           1.50          1.49            1.49
//
// (the last three of double over 4 x 10^5). These are odd where the function is, but not always
// monotone, by one ulp. alpha adds a rounding, so elu is within 2.4 ulp and scaled_tanh within 2.9;
// alpha v + beta is rounded once, on sse2 twice. log_softmax of (0, v), which is -softplus of v and
// -v, is within 1.97 ulp (float, every 61st argument) and 1.70 (double, 2 x 10^5), on every set.
//
// The coefficients are minimax (Remez), rounded one by one from the lowest, with the rest refitted
// each time. Errors of approximation are relative to the final function (tanh, or e^r). The code
// aims at a short chain of dependent operations, because a step of a small network is one chain:
// about 45 cycles for tanh<float> on Zen 4. Both branches are always computed.
#pragma once

#include <float.h>
#include <math.h>

#include <type_traits>

#include "elman/types.hpp"
#include "simd.hpp"

namespace elman::ELMAN_SET {

// c[0] + c[1] x + ... with N terms, in independent groups of two (of four if N > 6).
template <int N, class Real>
ELMAN_INLINE Packet<Real> polynomial(Packet<Real> x, const Real* c) {
    constexpr int kGroup = N > 6 ? 4 : 2;
    const Packet<Real> x2 = mul(x, x);
    const auto pair = [&](int k) {
        const Packet<Real> low = broadcast<Real>(c[k]);
        return k + 1 < N ? fma(broadcast<Real>(c[k + 1]), x, low) : low;
    };
    const auto group = [&](int k) {
        return kGroup == 4 && k + 2 < N ? fma(pair(k + 2), x2, pair(k)) : pair(k);
    };
    const Packet<Real> power = kGroup == 4 ? mul(x2, x2) : x2;
    Packet<Real> sum = group((N - 1) / kGroup * kGroup);
    for (int k = (N - 1) / kGroup * kGroup - kGroup; k >= 0; k -= kGroup)
        sum = fma(sum, power, group(k));
    return sum;
}

// The same in one chain of N - 1 dependent operations: one operation fewer.
template <int N, class Real>
ELMAN_INLINE Packet<Real> horner(Packet<Real> x, const Real* c) {
    Packet<Real> sum = broadcast<Real>(c[N - 1]);
    for (int k = N - 2; k >= 0; --k) sum = fma(sum, x, broadcast<Real>(c[k]));
    return sum;
}

template <class Real>
ELMAN_INLINE Packet<Real> negative(Packet<Real> v) {
    return bit_xor(v, broadcast<Real>(Real(-0.0)));
}

template <class Real>
struct Constants;

template <>
struct Constants<float> {
    // Adding 1.5 x 2^23 rounds to an integer, stored in the lowest bits.
    static constexpr float round = 0x1.8p23f;
    static constexpr int mantissa_bits = 23;
    static constexpr int exponent_bias = 127;

    static constexpr float log2_e = 0x1.715476p0f;
    // ln 2 rounded, and split in two so that n * ln2_high is exact for |n| < 2^9.
    static constexpr float ln2 = 0x1.62e430p-1f;
    static constexpr float ln2_high = 0x1.62e400p-1f;
    static constexpr float ln2_low = 0x1.7f7d1cp-20f;

    // (e^r - 1) / r for |r| <= 0.50002 ln 2: error 2^-28.2.
    static constexpr int expm1_terms = 6;
    static constexpr float expm1[expm1_terms] = {1.0f,           0x1.fffffcp-2f, 0x1.55548cp-3f,
                                                 0x1.555858p-5f, 0x1.123de0p-7f, 0x1.6ac74cp-10f};

    // tanh(x) = x + x s R(s), s = x^2, for |x| <= 0.625: error 2^-27.7. (With one more term and
    // 0.75, tanh was not monotone, at one pair of floats.)
    static constexpr float tanh_join = 0.625f;
    static constexpr int tanh_terms = 5;
    static constexpr float tanh_small[tanh_terms] = {
        -0x1.555532p-2f, 0x1.1106f6p-3f, -0x1.b835a4p-5f, 0x1.51f8cep-6f, -0x1.750ce4p-8f};
    static constexpr float tanh_one = 9.125f;  // from here tanh is 1; from twice this sigmoid is

    // Values scaled by 2^lift have a normal exponent wherever e^v or e^-v matters.
    static constexpr int lift = 64;
    static constexpr float down = 0x1p-64f;
    static constexpr float exp_zero = -104.0f;  // e^v rounds to 0 below this

    // 2 artanh(s) = 2 s + s^3 P(s^2) for 0 <= s <= 1/3: error 2^-27.7 of the result.
    static constexpr int log1p_terms = 4;
    static constexpr float log1p[log1p_terms] = {0x1.555502p-1f, 0x1.99d1ccp-2f, 0x1.1ec03ep-2f,
                                                 0x1.1eca32p-2f};
    static constexpr float huge = 0x1p60f;
    static constexpr float infinity = HUGE_VALF;
    static constexpr float tiny_state = 0x1p-100f;
};

template <>
struct Constants<double> {
    static constexpr double round = 0x1.8p52;
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;

    static constexpr double log2_e = 0x1.71547652b82fep0;
    // n * ln2_high is exact for |n| < 2^11.
    static constexpr double ln2 = 0x1.62e42fefa39efp-1;
    static constexpr double ln2_high = 0x1.62e42fefa38p-1;
    static constexpr double ln2_low = 0x1.ef35793c7673p-45;

    // Error 2^-56.8.
    static constexpr int expm1_terms = 11;
    static constexpr double expm1[expm1_terms] = {
        1.0,
        0x1.000000000000ap-1,
        0x1.55555555554c0p-3,
        0x1.55555555504bfp-5,
        0x1.111111111ec54p-7,
        0x1.6c16c185a51f3p-10,
        0x1.a01a01b7f7c33p-13,
        0x1.a0199475d848dp-16,
        0x1.71dd46b50e9d5p-19,
        0x1.28b3baa1f07e8p-22,
        0x1.b1455d476f435p-26,
    };

    // Error 2^-61.2.
    static constexpr double tanh_join = 0.625;
    static constexpr int tanh_terms = 12;
    static constexpr double tanh_small[tanh_terms] = {
        -0x1.5555555555552p-2,  0x1.1111111110c52p-3,   -0x1.ba1ba1b9d195ep-5,
        0x1.664f4870c2fd7p-6,   -0x1.226e32cf9407fp-7,  0x1.d6d35a3788985p-9,
        -0x1.7d9c3304f3bd4p-10, 0x1.350b8714c3c9cp-11,  -0x1.f11347920f34cp-13,
        0x1.801b71c6406bdp-14,  -0x1.fac52daab6828p-16, 0x1.9604bb511d4bfp-18,
    };
    static constexpr double tanh_one = 19.25;

    static constexpr int lift = 512;
    static constexpr double down = 0x1p-512;
    static constexpr double exp_zero = -746.0;

    // Error 2^-59.4.
    static constexpr int log1p_terms = 10;
    static constexpr double log1p[log1p_terms] = {
        0x1.5555555555535p-1, 0x1.99999999a074ep-2, 0x1.249249208c74bp-2, 0x1.c71c741c62ee3p-3,
        0x1.745cb402a8524p-3, 0x1.3b1ddb36a9b04p-3, 0x1.1067c842e0ce7p-3, 0x1.efd819c62ff64p-4,
        0x1.55b1ddcd0cd89p-4, 0x1.5c7837e66bf61p-3,
    };
    static constexpr double huge = 0x1p60;
    static constexpr double infinity = HUGE_VAL;
    static constexpr double tiny_state = 0x1p-900;
};

// The result of reduce: power = 2^(n + Lift), exact, and r, where kTimes v = n ln 2 + r and |r| <=
// ln 2 / 2.
template <class Real>
struct Reduced {
    Packet<Real> power, r;
};

// kTimes is 1 or -1. The error of r does not grow with n.
template <int kTimes, int Lift, class Real>
ELMAN_INLINE Reduced<Real> reduce(Packet<Real> v) {
    using K = Constants<Real>;
    constexpr Real shift = K::round + Real(K::exponent_bias + Lift);
    const Packet<Real> shifted =
        fma(v, broadcast<Real>(kTimes * K::log2_e), broadcast<Real>(shift));
    const Packet<Real> power = shift_left<K::mantissa_bits>(shifted);
    const Packet<Real> n = sub(shifted, broadcast<Real>(shift));
    const Packet<Real> y = mul(v, broadcast<Real>(kTimes));
    const Packet<Real> r = fma(n, broadcast<Real>(-K::ln2_high), y);
    return {power, fma(n, broadcast<Real>(-K::ln2_low), r)};
}

// 2v = n ln 2 + r: returns power = 2^n and r / 2 in place of r, in fewer operations.
template <class Real>
ELMAN_INLINE Reduced<Real> reduce_twice(Packet<Real> v) {
    using K = Constants<Real>;
    constexpr Real shift = K::round + Real(K::exponent_bias);
    const Packet<Real> shifted = fma(v, broadcast<Real>(2 * K::log2_e), broadcast<Real>(shift));
    const Packet<Real> n = sub(shifted, broadcast<Real>(shift));
    return {shift_left<K::mantissa_bits>(shifted), fma(n, broadcast<Real>(-K::ln2 / 2), v)};
}

// power (e^r - 1) + extra, summed as (power r + extra) + power r^2 (1/2 + r/6 + ...).
template <class Real>
ELMAN_INLINE Packet<Real> scaled_expm1(Reduced<Real> y, Packet<Real> extra) {
    using K = Constants<Real>;
    const Packet<Real> linear = mul(y.power, y.r);
    const Packet<Real> curve = polynomial<K::expm1_terms - 1, Real>(y.r, K::expm1 + 1);
    return fma(mul(linear, y.r), curve, add(linear, extra));
}

// For v <= 0. Computed 2^lift too large: only the last product may round to a subnormal.
template <class Real>
ELMAN_INLINE Packet<Real> exp(Packet<Real> v) {
    using K = Constants<Real>;
    const Packet<Real> zero = broadcast<Real>(0);
    const auto y = reduce<1, K::lift, Real>(v);
    const Packet<Real> lifted = add(y.power, scaled_expm1(y, zero));
    const auto vanishes = less(v, broadcast<Real>(K::exp_zero));
    return mul(select(vanishes, zero, lifted), broadcast<Real>(K::down));
}

// For v <= 0. Tiny arguments are returned unchanged. Below -2 tanh_one it is -1.
template <class Real>
ELMAN_INLINE Packet<Real> expm1(Packet<Real> v) {
    using K = Constants<Real>;
    const Packet<Real> lowest = broadcast<Real>(-2 * K::tanh_one);
    const auto y = reduce<1, 0, Real>(select(less(v, lowest), lowest, v));
    return scaled_expm1(y, sub(y.power, broadcast<Real>(1)));
}

// log(1 + v) = 2 artanh(s), s = v / (2 + v), as v - s (v - r), r = s^2 P(s^2).
template <class Real>
ELMAN_INLINE Packet<Real> log1p(Packet<Real> v) {
    using K = Constants<Real>;
    const Packet<Real> s = div(v, add(broadcast<Real>(2), v));
    const Packet<Real> w = mul(s, s);
    const Packet<Real> r = mul(w, polynomial<K::log1p_terms, Real>(w, K::log1p));
    return sub(v, mul(s, sub(v, r)));
}

// h, or +0 where |size| is below the limit.
template <class Real>
ELMAN_INLINE Packet<Real> fade(Packet<Real> h, Packet<Real> size, Packet<Real> limit) {
    return zero_where<Real>(less(abs(size), limit), h);
}
// The limit if faded, else 0: nothing fades.
template <class Real>
ELMAN_INLINE Packet<Real> fade_limit(bool faded) {
    // Read from memory: a branch would make the compiler duplicate the code after it.
    static constexpr Real limits[] = {0, Constants<Real>::tiny_state};
    return broadcast<Real>(limits[faded]);
}

// v in [-limit, limit]
template <class Real>
ELMAN_INLINE Packet<Real> clip(Packet<Real> v, Packet<Real> limit) {
    const Packet<Real> lowest = negative<Real>(limit);
    const Packet<Real> lower = lesser(limit, v);
    return select(less(lower, lowest), lowest, lower);
}

// Whether f is one of the four functions that products apply in registers: without parameters or
// clip.
ELMAN_INLINE bool is_plain(const Activation& f) {
    return f.clip > DBL_MAX && (f.function == Function::tanh || f.function == Function::sigmoid ||
                                f.function == Function::relu || f.function == Function::identity);
}

// 2^(k+1) c[k]: the coefficients of 2 p(2x).
template <class Real, int N>
struct Doubled {
    Real c[N];
    constexpr explicit Doubled(const Real (&from)[N]) : c{} {
        Real power = 2;
        for (int k = 0; k < N; ++k, power *= 2) c[k] = power * from[k];
    }
};

// The activations: each has value(v) = f(v) and backward(e, y) = e f'(v), in terms of y = f(v).
template <class Real>
struct Functions {
    using P = Packet<Real>;
    using K = Constants<Real>;

    // Small |v|: the polynomial. Large: 1 - 2 / (e^(2|v|) + 1), where the error of r hardly
    // matters, with r / 2 = |v| - n ln 2 / 2; scaling by powers of two changes no bit.
    struct Tanh {
        static constexpr Doubled<Real, K::expm1_terms> doubled_expm1{K::expm1};

        ELMAN_INLINE P value(P v) {
            const P size = abs(v), one = broadcast<Real>(1);
            const P sign = bit_and(v, broadcast<Real>(Real(-0.0)));

            const P s = mul(v, v);
            const P bend = horner<K::tanh_terms, Real>(s, K::tanh_small);
            const P small = fma(mul(size, s), bend, size);

            // Clamped: tanh is 1 long before 2^n overflows; NaN stays NaN.
            const auto y = reduce_twice<Real>(lesser(broadcast<Real>(2 * K::tanh_one), size));
            // ratio = 2 (e^r - 1) / r with y.r = r / 2,
            // so sum = 2^n (e^r - 1) + 2^n + 1 = e^(2|v|) + 1.
            const P ratio = polynomial<K::expm1_terms, Real>(y.r, doubled_expm1.c);
            const P sum = fma(mul(y.power, y.r), ratio, add(y.power, one));
            const P large = sub(one, div(broadcast<Real>(2), sum));

            const auto is_small = less(size, broadcast<Real>(K::tanh_join));
            return bit_or(sign, select(is_small, small, large));
        }
        ELMAN_INLINE P backward(P e, P y) {  // 1 - y^2
            return mul(e, fma(negative<Real>(y), y, broadcast<Real>(1)));
        }
    };

    // 1 / (1 + e^-v), numerator and denominator times 2^-lift: only the division may round to a
    // subnormal. Unlike the equivalent form for negative v, this one is monotone: only the sum
    // depends on v, and it is rounded once.
    struct Sigmoid {
        ELMAN_INLINE P value(P v) {
            const P zero = broadcast<Real>(0), unit = broadcast<Real>(K::down);

            const auto y = reduce<-1, -K::lift, Real>(v);
            const P sum = add(y.power, unit);
            // The error of that sum, or 0 if power is below half an ulp of unit.
            const P lost = sub(unit, sub(sum, y.power));
            // The denominator is 2^-lift (1 + e^-v) = (power + unit) + power (e^r - 1).
            const P middle = div(unit, add(sum, scaled_expm1(y, lost)));

            constexpr Real lowest = K::exp_zero, highest = 2 * K::tanh_one;
            const P off_center = abs(sub(v, broadcast<Real>((lowest + highest) / 2)));
            const auto saturated = less(broadcast<Real>((highest - lowest) / 2), off_center);
            const P end = select(less(v, zero), zero, broadcast<Real>(1));
            return select(saturated, end, middle);
        }
        ELMAN_INLINE P backward(P e, P y) {  // y - y^2
            return mul(e, fma(negative<Real>(y), y, y));
        }
    };

    struct Relu {
        ELMAN_INLINE P value(P v) {
            const P zero = broadcast<Real>(0);
            return select(less(v, zero), zero, v);
        }
        // If y is not above 0 it is zero, which is also the derivative, or NaN, which stays NaN.
        ELMAN_INLINE P backward(P e, P y) { return select(less(broadcast<Real>(0), y), e, y); }
    };

    struct Identity {
        ELMAN_INLINE P value(P v) { return v; }
        ELMAN_INLINE P backward(P e, P) { return e; }
    };

    struct LeakyRelu {
        P alpha;
        ELMAN_INLINED P value(P v) const {
            return select(less(v, broadcast<Real>(0)), mul(alpha, v), v);
        }
        ELMAN_INLINED P backward(P e, P y) const {
            return select(less(broadcast<Real>(0), y), e, mul(e, alpha));
        }
    };

    struct Elu {
        P alpha;
        ELMAN_INLINED P value(P v) const {
            return select(less(v, broadcast<Real>(0)), mul(alpha, expm1<Real>(v)), v);
        }
        ELMAN_INLINED P backward(P e, P y) const {  // alpha e^v
            return select(less(broadcast<Real>(0), y), e, mul(e, add(y, alpha)));
        }
    };

    // 0 unless v > alpha; NaN stays NaN. The derivative is that of relu.
    struct ThresholdedRelu {
        P alpha;
        ELMAN_INLINED P value(P v) const {
            const P infinity = broadcast<Real>(K::infinity);
            return select(less(alpha, v), v, select(less(v, infinity), broadcast<Real>(0), v));
        }
        ELMAN_INLINE P backward(P e, P y) { return Relu::backward(e, y); }
    };

    struct HardSigmoid {
        P alpha, beta;
        ELMAN_INLINED P value(P v) const {
            const P zero = broadcast<Real>(0), line = fma(alpha, v, beta);
            return select(less(line, zero), zero, lesser(broadcast<Real>(1), line));
        }
        ELMAN_INLINED P backward(P e, P y) const {
            const P zero = broadcast<Real>(0);
            const P below_one = select(less(y, broadcast<Real>(1)), mul(e, alpha), zero);
            return select(less(zero, y), below_one, zero);
        }
    };

    // max(v, 0) + log(1 + e^-|v|)
    struct Softplus {
        ELMAN_INLINE P value(P v) {
            const P below_zero = bit_or(v, broadcast<Real>(Real(-0.0)));
            return add(Relu::value(v), log1p<Real>(exp<Real>(below_zero)));
        }
        ELMAN_INLINE P backward(P e, P y) {  // 1 - e^-y
            return mul(negative<Real>(e), expm1<Real>(negative<Real>(y)));
        }
    };

    // 1 for large values, infinity included, where the quotient would be NaN.
    struct Softsign {
        ELMAN_INLINE P value(P v) {
            const P size = lesser(broadcast<Real>(K::huge), abs(v));
            const P sign = bit_and(v, broadcast<Real>(Real(-0.0)));
            return bit_or(sign, div(size, add(broadcast<Real>(1), size)));
        }
        ELMAN_INLINE P backward(P e, P y) {  // (1 - |y|)^2
            const P rest = sub(broadcast<Real>(1), abs(y));
            return mul(e, mul(rest, rest));
        }
    };

    struct ScaledTanh {
        P alpha, beta;
        ELMAN_INLINED P value(P v) const { return mul(alpha, Tanh::value(mul(beta, v))); }
        ELMAN_INLINED P backward(P e, P y) const {  // alpha beta (1 - (y / alpha)^2)
            const P zero = broadcast<Real>(0), one = broadcast<Real>(1);
            const P divisor = select(less(zero, abs(alpha)), alpha, one);  // 0 / 0 would be NaN
            return Tanh::backward(mul(e, mul(alpha, beta)), div(y, divisor));
        }
    };

    struct Affine {
        P alpha, beta;
        ELMAN_INLINED P value(P v) const { return fma(alpha, v, beta); }
        ELMAN_INLINED P backward(P e, P) const { return mul(e, alpha); }
    };

    // g.value(v), faded. tanh and relu test v, which is available earlier: tanh is tiny exactly
    // where v is (test_contract_rounding.py); so is relu, or it is +0.
    template <class G>
    ELMAN_INLINE P faded(G g, P v, P limit) {
        constexpr bool early = std::is_same_v<G, Tanh> || std::is_same_v<G, Relu>;
        const P y = g.value(v);
        return fade<Real>(y, early ? v : y, limit);
    }

    // Calls each(g), where g is the plain function f.
    template <class Each>
    ELMAN_INLINE void with_plain(Function f, Each each) {
        switch (f) {
            case Function::tanh:
                return each(Tanh());
            case Function::sigmoid:
                return each(Sigmoid());
            case Function::relu:
                return each(Relu());
            default:
                return each(Identity());
        }
    }

    // The same for any elementwise f, with its parameters. The caller applies the clip.
    template <class Each>
    ELMAN_INLINE void with_function(const Activation& f, Each each) {
        const P alpha = broadcast<Real>(static_cast<Real>(f.alpha));
        const P beta = broadcast<Real>(static_cast<Real>(f.beta));
        switch (f.function) {
            case Function::leaky_relu:
                return each(LeakyRelu{alpha});
            case Function::elu:
                return each(Elu{alpha});
            case Function::thresholded_relu:
                return each(ThresholdedRelu{alpha});
            case Function::hard_sigmoid:
                return each(HardSigmoid{alpha, beta});
            case Function::softplus:
                return each(Softplus());
            case Function::softsign:
                return each(Softsign());
            case Function::scaled_tanh:
                return each(ScaledTanh{alpha, beta});
            case Function::affine:
                return each(Affine{alpha, beta});
            default:
                return with_plain(f.function, each);
        }
    }
};

}  // namespace elman::ELMAN_SET
