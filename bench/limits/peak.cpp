// peak.cpp - the widest fused multiply-add of this machine.
#include "peak.hpp"

namespace peak {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

double fused_float32(long count) {
    return multiply_add<float, kBytes>(count);
}

double fused_float64(long count) {
    return multiply_add<double, kBytes>(count);
}

}  // namespace peak
