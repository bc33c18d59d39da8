// simd.hpp - the vector operations used by the kernels, for the instruction set of this translation
// unit.
//
// To read the kernels, this comment is enough, with the macros below it (ELMAN_EACH, ELMAN_APART,
// ELMAN_INLINED) and the end of the file: the sizes of tiles and `with_constant`. Between them is
// one block of code for each set; what all sets but `scalar` take from Eigen precedes theirs.
//
// The build compiles every kernel once per set, with -DELMAN_SET=avx2 -DELMAN_SET_avx2 (or sse2,
// avx512, neon, scalar) and the compiler's flags for that set. The code then lives in elman::avx2,
// and Eigen in Eigen_avx2, so the linker cannot merge inline functions of different sets.
//
// A Packet<Real> has kLanes<Real> elements; a mask is what `less` returns and `select` takes.
//
//   load<Real>(p), store<Real>(p, v)    at p, aligned to the packet
//   load<Real>(p, v), store<Real>(p, v) the same for an array v, one packet after the other
//   broadcast<Real>(value)              the value in every lane
//   add, sub, mul, div, abs, bit_and, bit_or, bit_xor
//   fma(a, b, c)                        a b + c, rounded once if kFused, else twice
//   less(a, b)                          a < b: false for a NaN, as in C
//   select(mask, a, b)                  mask ? a : b
//   zero_where<Real>(mask, v)           mask ? +0 : v
//   lesser(a, b)                        a < b ? a : b, also for NaN and zeros
//   shift_left<Bits>(v)                 the bits of every lane, shifted
//
// Only for vectors of several blocks: a block has 16 bytes, kBlock<Real> elements. Such a vector
// can hold several columns of few rows, G rows of each; G is a number of whole blocks.
//
//   load_rows<Real, G>(p)               the G elements at p, for every column
//   load_blocks<Real, G>(at)            the block at at(n) for column n, in each of its blocks
//   spread(v, each)                     each[i]: element i of each block, in the whole block
//   broadcast_four(p, each)             each[i] = broadcast(p[i]) for four floats, with one load
//
// Only operations fully specified by IEEE 754 or bit logic are offered. The same sequence of them
// gives the same bits on every set with a fused `fma`; `scalar`, one lane and the C library's fma,
// is the definition that the other sets are compared with. There is no min or max except `lesser`
// (the sets differ for NaN and signed zeros), no rounding, no estimate of a reciprocal.
#pragma once

#if !defined(ELMAN_SET)
#error "compile the kernels with -DELMAN_SET=<set> -DELMAN_SET_<set>"
#endif

#if defined(ELMAN_SET_scalar)
#include <math.h>
#include <stdint.h>
#include <string.h>
#else
#define ELMAN_JOIN_AGAIN(a, b) a##b
#define ELMAN_JOIN(a, b) ELMAN_JOIN_AGAIN(a, b)
#define Eigen ELMAN_JOIN(Eigen_, ELMAN_SET)
#define EIGEN_NO_IO
#define eigen_assert(condition)
#include <Eigen/Core>
#endif

#define ELMAN_INLINED __attribute__((always_inline))  // for lambdas and member functions
#define ELMAN_INLINE static inline ELMAN_INLINED
#define ELMAN_APART static __attribute__((noinline))

// for (int i = 0; i < count; ++i), unrolled, so that indexed arrays stay in registers. count <= 24.
#if defined(__clang__)
#define ELMAN_EACH(i, count) _Pragma("unroll") for (int i = 0; i < (count); ++i)
#else
#define ELMAN_EACH(i, count) _Pragma("GCC unroll 24") for (int i = 0; i < (count); ++i)
#endif

namespace elman::ELMAN_SET {

#if defined(ELMAN_SET_scalar)

// --- scalar

template <class Real>
using Packet = Real;
template <class Real>
inline constexpr int kLanes = 1;
inline constexpr bool kFused = true;
inline constexpr int kAccumulators = 1;  // the plain loop, one row by one column

template <class Real>
ELMAN_INLINE Real load(const Real* p) {
    return *p;
}
template <class Real>
ELMAN_INLINE void store(Real* p, Real v) {
    *p = v;
}
template <class Real>
ELMAN_INLINE Real broadcast(Real value) {
    return value;
}

template <class Real>
ELMAN_INLINE Real add(Real a, Real b) {
    return a + b;
}
template <class Real>
ELMAN_INLINE Real sub(Real a, Real b) {
    return a - b;
}
template <class Real>
ELMAN_INLINE Real mul(Real a, Real b) {
    return a * b;
}
template <class Real>
ELMAN_INLINE Real div(Real a, Real b) {
    return a / b;
}

// The C functions, not their inline overloads in namespace std.
ELMAN_INLINE float fma(float a, float b, float c) {
    return ::fmaf(a, b, c);
}
ELMAN_INLINE double fma(double a, double b, double c) {
    return ::fma(a, b, c);
}
ELMAN_INLINE float abs(float v) {
    return ::fabsf(v);
}
ELMAN_INLINE double abs(double v) {
    return ::fabs(v);
}

template <class Real>
ELMAN_INLINE bool less(Real a, Real b) {
    return a < b;
}
template <class Real>
ELMAN_INLINE Real select(bool mask, Real a, Real b) {
    return mask ? a : b;
}
template <class Real>
ELMAN_INLINE Real zero_where(bool mask, Real v) {
    return mask ? Real(0) : v;
}
template <class Real>
ELMAN_INLINE Real lesser(Real a, Real b) {
    return a < b ? a : b;
}

ELMAN_INLINE uint32_t to_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
ELMAN_INLINE uint64_t to_bits(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
ELMAN_INLINE float from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
ELMAN_INLINE double from_bits(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

template <class Real>
ELMAN_INLINE Real bit_and(Real a, Real b) {
    return from_bits(to_bits(a) & to_bits(b));
}
template <class Real>
ELMAN_INLINE Real bit_or(Real a, Real b) {
    return from_bits(to_bits(a) | to_bits(b));
}
template <class Real>
ELMAN_INLINE Real bit_xor(Real a, Real b) {
    return from_bits(to_bits(a) ^ to_bits(b));
}
template <int Bits, class Real>
ELMAN_INLINE Real shift_left(Real v) {
    return from_bits(to_bits(v) << Bits);
}

#else

// --- all other sets: what Eigen offers. The functions of a set take precedence over these
// templates.

template <class Real>
using Packet = typename Eigen::internal::packet_traits<Real>::type;
template <class Real>
inline constexpr int kLanes = Eigen::internal::packet_traits<Real>::size;

template <class Real>
ELMAN_INLINE Packet<Real> load(const Real* p) {
    return Eigen::internal::pload<Packet<Real> >(p);
}
template <class Real>
ELMAN_INLINE void store(Real* p, Packet<Real> v) {
    Eigen::internal::pstore(p, v);
}
template <class Real>
ELMAN_INLINE Packet<Real> broadcast(Real value) {
    return Eigen::internal::pset1<Packet<Real> >(value);
}

// From here on V is Packet<float> or Packet<double>.
template <class V>
ELMAN_INLINE V add(V a, V b) {
    return Eigen::internal::padd(a, b);
}
template <class V>
ELMAN_INLINE V sub(V a, V b) {
    return Eigen::internal::psub(a, b);
}
template <class V>
ELMAN_INLINE V mul(V a, V b) {
    return Eigen::internal::pmul(a, b);
}
template <class V>
ELMAN_INLINE V div(V a, V b) {
    return Eigen::internal::pdiv(a, b);
}
template <class V>
ELMAN_INLINE V fma(V a, V b, V c) {
    return Eigen::internal::pmadd(a, b, c);
}
template <class V>
ELMAN_INLINE V abs(V v) {
    return Eigen::internal::pabs(v);
}
template <class V>
ELMAN_INLINE V bit_and(V a, V b) {
    return Eigen::internal::pand(a, b);
}
template <class V>
ELMAN_INLINE V bit_or(V a, V b) {
    return Eigen::internal::por(a, b);
}
template <class V>
ELMAN_INLINE V bit_xor(V a, V b) {
    return Eigen::internal::pxor(a, b);
}

// A mask is a vector: all bits of a lane or none.
template <class V>
ELMAN_INLINE V less(V a, V b) {
    return Eigen::internal::pcmp_lt(a, b);
}
template <class V>
ELMAN_INLINE V select(V mask, V a, V b) {
    return Eigen::internal::pselect(mask, a, b);
}
template <class Real>
ELMAN_INLINE Packet<Real> zero_where(Packet<Real> mask, Packet<Real> v) {
    return Eigen::internal::pandnot(v, mask);
}
template <class V>
ELMAN_INLINE V lesser(V a, V b) {
    return select(less(a, b), a, b);
}

#endif

// --- all sets

// A set with vectors of several blocks defines `spread` and these, of which load_rows, load_blocks
// and broadcast_four are made at the end of this file:
//
//   load_block(p)                       the block at p, in every block
//   load_two_blocks(p)                  two blocks alternately; only for vectors of four
//   put_block(v, first, lanes, p)       v with the block at p in `lanes` lanes from `first`
template <class Real>
inline constexpr int kBlock = 16 / sizeof(Real);

// Whether one column of V vectors with S sums gains by broadcast_four, which hides its longer
// latency only if loads are the bound. Not with doubles, nor with sse2: steps took 1.03 to 0.97 and
// 1.03 to 0.98 times as long.
template <class Real, int V, int S>
inline constexpr bool kBroadcastsFour = false;

#if defined(ELMAN_SET_sse2)

// --- sse2

#if defined(EIGEN_VECTORIZE_SSE3)
#error "sse2 is the baseline: it takes no flags"
#endif
static_assert(kLanes<float> == 4 && kLanes<double> == 2);
inline constexpr bool kFused = false;
inline constexpr int kAccumulators = 8;  // of 16 registers: every product needs one too

// The x86 instruction is exactly `lesser`; Eigen exchanges its operands.
ELMAN_INLINE __m128 lesser(__m128 a, __m128 b) {
    return _mm_min_ps(a, b);
}
ELMAN_INLINE __m128d lesser(__m128d a, __m128d b) {
    return _mm_min_pd(a, b);
}

template <int Bits>
ELMAN_INLINE __m128 shift_left(__m128 v) {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(v), Bits));
}
template <int Bits>
ELMAN_INLINE __m128d shift_left(__m128d v) {
    return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(v), Bits));
}

#elif defined(ELMAN_SET_avx2)

// --- avx2

#if !(defined(EIGEN_VECTORIZE_AVX2) && defined(EIGEN_VECTORIZE_FMA))
#error "avx2 needs -mavx2 -mfma"
#endif
static_assert(kLanes<float> == 8 && kLanes<double> == 4);
inline constexpr bool kFused = true;
inline constexpr int kAccumulators = 12;  // of 16 registers

ELMAN_INLINE __m256 lesser(__m256 a, __m256 b) {
    return _mm256_min_ps(a, b);
}
ELMAN_INLINE __m256d lesser(__m256d a, __m256d b) {
    return _mm256_min_pd(a, b);
}

template <int Bits>
ELMAN_INLINE __m256 shift_left(__m256 v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), Bits));
}
template <int Bits>
ELMAN_INLINE __m256d shift_left(__m256d v) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(v), Bits));
}

ELMAN_INLINE __m256 load_block(const float* p) {
    return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
}
ELMAN_INLINE __m256d load_block(const double* p) {
    return _mm256_broadcast_pd(reinterpret_cast<const __m128d*>(p));
}
ELMAN_INLINE __m256 put_block(__m256 v, int /*first*/, int /*lanes*/, const float* p) {
    return _mm256_insertf128_ps(v, _mm_loadu_ps(p), 1);
}
ELMAN_INLINE __m256d put_block(__m256d v, int /*first*/, int /*lanes*/, const double* p) {
    return _mm256_insertf128_pd(v, _mm_loadu_pd(p), 1);
}
ELMAN_INLINE void spread(__m256 v, __m256 (&each)[4]) {
    each[0] = _mm256_permute_ps(v, 0x00);
    each[1] = _mm256_permute_ps(v, 0x55);
    each[2] = _mm256_permute_ps(v, 0xaa);
    each[3] = _mm256_permute_ps(v, 0xff);
}
ELMAN_INLINE void spread(__m256d v, __m256d (&each)[2]) {
    each[0] = _mm256_permute_pd(v, 0x0);
    each[1] = _mm256_permute_pd(v, 0xf);
}

template <int V, int S>  // a step takes 0.93 times as long at H = 64, 0.94 at H = 256
inline constexpr bool kBroadcastsFour<float, V, S> = V >= 4 || S == 4;

#elif defined(ELMAN_SET_avx512)

// --- avx512 (a full mask: in the plain form, GCC 12 warns of an uninitialized value)

#if !(defined(EIGEN_VECTORIZE_AVX512DQ) && defined(EIGEN_VECTORIZE_FMA))
#error "avx512 needs -mavx512f -mavx512dq -mavx2 -mfma"
#endif
static_assert(kLanes<float> == 16 && kLanes<double> == 8);
inline constexpr bool kFused = true;
inline constexpr int kAccumulators = 24;  // of 32 registers

// Masks in registers of their own. Eigen keeps them in vectors: three instructions per comparison.
ELMAN_INLINE __mmask16 less(__m512 a, __m512 b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
ELMAN_INLINE __mmask8 less(__m512d a, __m512d b) {
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
}
ELMAN_INLINE __m512 select(__mmask16 mask, __m512 a, __m512 b) {
    return _mm512_mask_blend_ps(mask, b, a);
}
ELMAN_INLINE __m512d select(__mmask8 mask, __m512d a, __m512d b) {
    return _mm512_mask_blend_pd(mask, b, a);
}
template <class Real, class Mask>
ELMAN_INLINE Packet<Real> zero_where(Mask mask, Packet<Real> v) {
    return select(mask, broadcast<Real>(Real(0)), v);
}
ELMAN_INLINE __m512 lesser(__m512 a, __m512 b) {
    return _mm512_maskz_min_ps(0xffff, a, b);
}
ELMAN_INLINE __m512d lesser(__m512d a, __m512d b) {
    return _mm512_maskz_min_pd(0xff, a, b);
}

template <int Bits>
ELMAN_INLINE __m512 shift_left(__m512 v) {
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(v), Bits));
}
template <int Bits>
ELMAN_INLINE __m512d shift_left(__m512d v) {
    return _mm512_castsi512_pd(_mm512_maskz_slli_epi64(0xff, _mm512_castpd_si512(v), Bits));
}

ELMAN_INLINE __m512 load_block(const float* p) {
    return _mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(p));
}
ELMAN_INLINE __m512d load_block(const double* p) {
    return _mm512_maskz_broadcast_f64x2(0xff, _mm_loadu_pd(p));
}
ELMAN_INLINE __m512 load_two_blocks(const float* p) {
    return _mm512_maskz_broadcast_f32x8(0xffff, _mm256_loadu_ps(p));
}
ELMAN_INLINE __m512d load_two_blocks(const double* p) {
    return _mm512_maskz_broadcast_f64x4(0xff, _mm256_loadu_pd(p));
}
ELMAN_INLINE __m512 put_block(__m512 v, int first, int lanes, const float* p) {
    const auto mask = static_cast<__mmask16>(((1 << lanes) - 1) << first);
    return _mm512_mask_broadcast_f32x4(v, mask, _mm_loadu_ps(p));
}
ELMAN_INLINE __m512d put_block(__m512d v, int first, int lanes, const double* p) {
    const auto mask = static_cast<__mmask8>(((1 << lanes) - 1) << first);
    return _mm512_mask_broadcast_f64x2(v, mask, _mm_loadu_pd(p));
}
ELMAN_INLINE void spread(__m512 v, __m512 (&each)[4]) {
    each[0] = _mm512_maskz_permute_ps(0xffff, v, 0x00);
    each[1] = _mm512_maskz_permute_ps(0xffff, v, 0x55);
    each[2] = _mm512_maskz_permute_ps(0xffff, v, 0xaa);
    each[3] = _mm512_maskz_permute_ps(0xffff, v, 0xff);
}
ELMAN_INLINE void spread(__m512d v, __m512d (&each)[2]) {
    each[0] = _mm512_maskz_permute_pd(0xff, v, 0x00);
    each[1] = _mm512_maskz_permute_pd(0xff, v, 0xff);
}

template <int V, int S>  // 0.92 times as long at H = 256; with S == 4 too, 1.08 at H = 16
inline constexpr bool kBroadcastsFour<float, V, S> = V >= 4;

#elif defined(ELMAN_SET_neon)

// --- neon

#if !(EIGEN_ARCH_ARM64 && defined(EIGEN_VECTORIZE_FMA))
#error "neon needs 64-bit ARM, whose vectors have a fused multiply-add and a true division"
#endif
static_assert(kLanes<float> == 4 && kLanes<double> == 2);
inline constexpr bool kFused = true;
inline constexpr int kAccumulators = 24;  // of 32 registers

template <int Bits>
ELMAN_INLINE float32x4_t shift_left(float32x4_t v) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v), Bits));
}
template <int Bits>
ELMAN_INLINE float64x2_t shift_left(float64x2_t v) {
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(v), Bits));
}

#endif

// --- all sets: the operations on blocks, and sizes

template <class Real, int G>
ELMAN_INLINE Packet<Real> load_rows(const Real* p) {
    if constexpr (G == kBlock<Real>)
        return load_block(p);
    else
        return load_two_blocks(p);
}
template <class Real, int G, class At>
ELMAN_INLINE Packet<Real> load_blocks(At at) {
    Packet<Real> v = load_block(at(0));
    ELMAN_EACH (n, kLanes<Real> / G - 1) v = put_block(v, (n + 1) * G, G, at(n + 1));
    return v;
}
template <class Real, class V>
ELMAN_INLINE void broadcast_four(const Real* p, V (&each)[4]) {
    spread(load_block(p), each);
}

template <class Real, int N>
ELMAN_INLINE void load(const Real* p, Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) v[n] = load<Real>(p + n * kLanes<Real>);
}
template <class Real, int N>
ELMAN_INLINE void store(Real* p, const Packet<Real> (&v)[N]) {
    ELMAN_EACH (n, N) store<Real>(p + n * kLanes<Real>, v[n]);
}

// kAccumulators: registers for accumulators; the rest hold weights and broadcast elements.
static_assert(kAccumulators <= 24, "ELMAN_EACH unrolls at most 24 times");
// Vectors per panel, at most. With 2, sse2 compiles in 5.1 s instead of 7.0 and is 5 to 18 %
// slower.
inline constexpr int kPanel = kAccumulators == 1 ? 1 : 4;
inline constexpr int kLowTile = kAccumulators == 1 ? 1 : 2;  // the same for a tile with two sums

// Calls each(Constant<n>) for n in First ... Last.
template <int N>
struct Constant {
    static constexpr int value = N;
};
template <int First, int Last, class Each>
ELMAN_INLINE void with_constant(int n, Each each) {
    if constexpr (First == Last) {
        each(Constant<First>());
    } else {
        if (n == First)
            each(Constant<First>());
        else
            with_constant<First + 1, Last>(n, each);
    }
}

}  // namespace elman::ELMAN_SET
