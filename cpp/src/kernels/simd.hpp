// simd.hpp - the vector operations used by the kernels, for the instruction set of this translation
// unit.
//
// The build compiles every kernel once per set, with -DELMAN_SET=avx2 -DELMAN_SET_avx2 (or sse2,
// avx512, neon, scalar) and the compiler's flags for that set. The code then lives in elman::avx2,
// and Eigen in Eigen_avx2, so the linker cannot merge inline functions of different sets.
//
// Only operations fully specified by IEEE 754 or bit logic are offered. The same sequence of them
// gives the same bits on every set with a fused `fma` (kFused); `scalar`, one lane and the C
// library's fma, is the definition that the other sets are compared with. There is no min or max
// except `lesser` (the sets differ for NaN and signed zeros), no rounding, no estimate of a
// reciprocal.
//
// A Packet<Real> has kLanes<Real> elements; a mask is what `less` returns and `select` takes.
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

#if defined(ELMAN_SET_avx2) && !(defined(EIGEN_VECTORIZE_AVX2) && defined(EIGEN_VECTORIZE_FMA))
#error "avx2 needs -mavx2 -mfma"
#endif
#if defined(ELMAN_SET_avx512) && \
    !(defined(EIGEN_VECTORIZE_AVX512DQ) && defined(EIGEN_VECTORIZE_FMA))
#error "avx512 needs -mavx512f -mavx512dq -mavx2 -mfma"
#endif
#if defined(ELMAN_SET_neon) && !(EIGEN_ARCH_ARM64 && defined(EIGEN_VECTORIZE_FMA))
#error "neon needs 64-bit ARM, whose vectors have a fused multiply-add and a true division"
#endif
#if defined(ELMAN_SET_sse2) && defined(EIGEN_VECTORIZE_SSE3)
#error "sse2 is the baseline: it takes no flags"
#endif

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

template <class Real>
using Packet = Real;
template <class Real>
inline constexpr int kLanes = 1;
inline constexpr bool kFused = true;

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

template <class Real>
using Packet = typename Eigen::internal::packet_traits<Real>::type;
template <class Real>
inline constexpr int kLanes = Eigen::internal::packet_traits<Real>::size;

#if defined(ELMAN_SET_sse2)
inline constexpr bool kFused = false;  // `fma` rounds the product, then the sum
#else
inline constexpr bool kFused = true;
#endif

#if defined(ELMAN_SET_avx512)
static_assert(kLanes<float> == 16 && kLanes<double> == 8);
#elif defined(ELMAN_SET_avx2)
static_assert(kLanes<float> == 8 && kLanes<double> == 4);
#else
static_assert(kLanes<float> == 4 && kLanes<double> == 2);
#endif

// p is aligned to the packet.
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
// a * b + c
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

// select(mask, a, b) is mask ? a : b. `less` with a NaN is false, as in C.
#if defined(ELMAN_SET_avx512)
// Eigen keeps masks in vectors: three instructions per comparison here.
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
#else
template <class V>
ELMAN_INLINE V less(V a, V b) {
    return Eigen::internal::pcmp_lt(a, b);
}
template <class V>
ELMAN_INLINE V select(V mask, V a, V b) {
    return Eigen::internal::pselect(mask, a, b);
}
#endif

// a < b ? a : b, also for NaN and zeros: exactly the x86 instruction, provided its operands are not
// exchanged, as Eigen does.
#if defined(ELMAN_SET_avx512)
ELMAN_INLINE __m512 lesser(__m512 a, __m512 b) {
    return _mm512_maskz_min_ps(0xffff, a, b);  // as for shift_left
}
ELMAN_INLINE __m512d lesser(__m512d a, __m512d b) {
    return _mm512_maskz_min_pd(0xff, a, b);
}
#elif defined(ELMAN_SET_avx2)
ELMAN_INLINE __m256 lesser(__m256 a, __m256 b) {
    return _mm256_min_ps(a, b);
}
ELMAN_INLINE __m256d lesser(__m256d a, __m256d b) {
    return _mm256_min_pd(a, b);
}
#elif defined(ELMAN_SET_sse2)
ELMAN_INLINE __m128 lesser(__m128 a, __m128 b) {
    return _mm_min_ps(a, b);
}
ELMAN_INLINE __m128d lesser(__m128d a, __m128d b) {
    return _mm_min_pd(a, b);
}
#else
template <class V>
ELMAN_INLINE V lesser(V a, V b) {
    return select(less(a, b), a, b);
}
#endif

// Shifts the bits of every lane left. Eigen 3.4 has no vectors of 64-bit integers on x86.
#if defined(ELMAN_SET_avx512)
// With a full mask, because GCC 12 warns of an uninitialized value in the plain form.
template <int Bits>
ELMAN_INLINE __m512 shift_left(__m512 v) {
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(v), Bits));
}
template <int Bits>
ELMAN_INLINE __m512d shift_left(__m512d v) {
    return _mm512_castsi512_pd(_mm512_maskz_slli_epi64(0xff, _mm512_castpd_si512(v), Bits));
}
#elif defined(ELMAN_SET_avx2)
template <int Bits>
ELMAN_INLINE __m256 shift_left(__m256 v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), Bits));
}
template <int Bits>
ELMAN_INLINE __m256d shift_left(__m256d v) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(v), Bits));
}
#elif defined(ELMAN_SET_sse2)
template <int Bits>
ELMAN_INLINE __m128 shift_left(__m128 v) {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(v), Bits));
}
template <int Bits>
ELMAN_INLINE __m128d shift_left(__m128d v) {
    return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(v), Bits));
}
#else
template <int Bits>
ELMAN_INLINE float32x4_t shift_left(float32x4_t v) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v), Bits));
}
template <int Bits>
ELMAN_INLINE float64x2_t shift_left(float64x2_t v) {
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(v), Bits));
}
#endif

#endif

// Blocks of 16 bytes, for vectors that hold several columns of few rows, G rows of each; G is a
// number of whole blocks.
//
//   load_blocks<G>(at)   the block at at(n) for column n, in every block of that column
//   load_rows<G>(p)      the G elements at p, aligned, for every column
//   spread(v, each)      each[i]: element i of each block, in the whole block
template <class Real>
inline constexpr int kBlock = 16 / sizeof(Real);
#if defined(ELMAN_SET_avx512)
template <int G, class At>
ELMAN_INLINE __m512 load_blocks(At at, float) {
    __m512 v = _mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(at(0)));
    ELMAN_EACH (n, 16 / G - 1)
        v = _mm512_mask_broadcast_f32x4(v, static_cast<__mmask16>(((1 << G) - 1) << (n + 1) * G),
                                        _mm_loadu_ps(at(n + 1)));
    return v;
}
template <int G, class At>
ELMAN_INLINE __m512d load_blocks(At at, double) {
    __m512d v = _mm512_maskz_broadcast_f64x2(0xff, _mm_loadu_pd(at(0)));
    ELMAN_EACH (n, 8 / G - 1)
        v = _mm512_mask_broadcast_f64x2(v, static_cast<__mmask8>(((1 << G) - 1) << (n + 1) * G),
                                        _mm_loadu_pd(at(n + 1)));
    return v;
}
template <int G>
ELMAN_INLINE __m512 load_rows(const float* p) {
    if constexpr (G == 4)
        return _mm512_maskz_broadcast_f32x4(0xffff, _mm_load_ps(p));
    else
        return _mm512_maskz_broadcast_f32x8(0xffff, _mm256_load_ps(p));
}
template <int G>
ELMAN_INLINE __m512d load_rows(const double* p) {
    if constexpr (G == 2)
        return _mm512_maskz_broadcast_f64x2(0xff, _mm_load_pd(p));
    else
        return _mm512_maskz_broadcast_f64x4(0xff, _mm256_load_pd(p));
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
#elif defined(ELMAN_SET_avx2)
template <int G, class At>
ELMAN_INLINE __m256 load_blocks(At at, float) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at(0))), _mm_loadu_ps(at(1)),
                                1);
}
template <int G, class At>
ELMAN_INLINE __m256d load_blocks(At at, double) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(at(0))), _mm_loadu_pd(at(1)),
                                1);
}
template <int G>
ELMAN_INLINE __m256 load_rows(const float* p) {
    return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
}
template <int G>
ELMAN_INLINE __m256d load_rows(const double* p) {
    return _mm256_broadcast_pd(reinterpret_cast<const __m128d*>(p));
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
#else  // not needed: a vector has no more than one block
template <int G, class At, class Real>
Packet<Real> load_blocks(At at, Real);
template <int G, class Real>
Packet<Real> load_rows(const Real* p);
template <class V, int N>
void spread(V v, V (&each)[N]);
#endif

// each[i] = broadcast(p[i]) for four elements, with one load. kBroadcastsFour: whether one column
// of V vectors with S sums gains by it, which hides the longer latency only if loads are the bound:
// H = 64 with avx2 0.93 times the time of a step, H = 256 0.94, with avx512 0.92; but with S = 4
// there, H = 16, 1.08 times. (Doubles: 1.03 to 0.97 times, sse2: 1.03 to 0.98.)
template <class Real, int V, int S>
inline constexpr bool kBroadcastsFour = false;
#if defined(ELMAN_SET_avx512)
template <int V, int S>
inline constexpr bool kBroadcastsFour<float, V, S> = V >= 4;

ELMAN_INLINE void broadcast_four(const float* p, __m512 (&each)[4]) {
    spread(_mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(p)), each);
}
#elif defined(ELMAN_SET_avx2)
template <int V, int S>
inline constexpr bool kBroadcastsFour<float, V, S> = V >= 4 || S == 4;

ELMAN_INLINE void broadcast_four(const float* p, __m256 (&each)[4]) {
    spread(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)), each);
}
#endif

// mask ? +0 : v
template <class Real, class M>
ELMAN_INLINE Packet<Real> zero_where(M mask, Packet<Real> v) {
#if defined(ELMAN_SET_scalar) || defined(ELMAN_SET_avx512)
    return select(mask, broadcast<Real>(Real(0)), v);
#else
    return Eigen::internal::pandnot(v, mask);
#endif
}

// Registers for accumulators; the rest hold weights and broadcast elements.
#if defined(ELMAN_SET_avx512) || defined(ELMAN_SET_neon)
inline constexpr int kAccumulators = 24;
#elif defined(ELMAN_SET_avx2)
inline constexpr int kAccumulators = 12;
#elif defined(ELMAN_SET_sse2)  // every product needs a register too
inline constexpr int kAccumulators = 8;
#else                          // scalar: the plain loop, one row by one column
inline constexpr int kAccumulators = 1;
#endif
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
