// peak.hpp - the peak rate of multiply-adds on one core.
#pragma once

#if defined(__aarch64__)
#define REGISTER "+w"
#else
#define REGISTER "+x"
#endif

namespace peak {

// The width of the widest vector of the compiled instruction set.
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

// One link of a chain; the asm keeps it in a register and unoptimized.
template <class Vector>
inline __attribute__((always_inline)) void link(Vector& z, const Vector& a, const Vector& b) {
    z = z * a + b;
    asm volatile("" : REGISTER(z));
}

template <class Vector, class... Chain>
inline __attribute__((always_inline)) void links(const Vector& a, const Vector& b, Chain&... z) {
    (link(z, a, b), ...);
}

// Run `count` rounds of z = a z + b on vectors of `Bytes`, in 14 independent chains, enough to hide
// the latency of a multiply-add; return the floating-point operations per round.
template <class Real, int Bytes>
double multiply_add(long count) {
    typedef Real Vector __attribute__((vector_size(Bytes)));
    volatile Real half = Real(0.5);
    const Vector a = half - Vector{}, b = a;
    Vector z0 = a, z1 = a, z2 = a, z3 = a, z4 = a, z5 = a;
    Vector z6 = a, z7 = a, z8 = a, z9 = a, z10 = a, z11 = a, z12 = a, z13 = a;
    for (long i = 0; i < count; ++i)
        links(a, b, z0, z1, z2, z3, z4, z5, z6, z7, z8, z9, z10, z11, z12, z13);
    return 2.0 * 14 * (Bytes / sizeof(Real));
}

double fused_float32(long count);
double fused_float64(long count);
double avx2_float32(long count);
double sse2_float32(long count);

}  // namespace peak
