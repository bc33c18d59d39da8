// peak.cpp - the widest fused multiply-add of this machine, and that of AVX2.
#include "peak.hpp"

namespace peak {

double fused_float32(long count) {
    return multiply_add<float, kBytes>(count);
}

double fused_float64(long count) {
    return multiply_add<double, kBytes>(count);
}

double avx2_float32(long count) {
    return multiply_add<float, (kBytes < 32 ? kBytes : 32)>(count);
}

}  // namespace peak
