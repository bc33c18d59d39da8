// baseline.cpp - the same without what not every processor of the kind has: on x86-64 SSE2, where a
// multiplication and an addition are two instructions.
#include "peak.hpp"

namespace peak {

double sse2_float32(long count) {
    return multiply_add<float, 16>(count);
}

}  // namespace peak
