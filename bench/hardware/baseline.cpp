// baseline.cpp - the same on the baseline of the architecture: SSE2 on x86-64, where a multiply-add
// is two instructions.
#include "peak.hpp"

namespace peak {

double sse2_float32(long count) {
    return multiply_add<float, 16>(count);
}

}  // namespace peak
