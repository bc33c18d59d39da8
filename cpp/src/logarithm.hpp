// logarithm.hpp - a logarithm with the same bits on every platform, for losses.
#pragma once

#include <cmath>

namespace elman {

// ln x for a normal x > 0, to about 1 ulp: x = 2^e m with m in [sqrt(1/2), sqrt(2)), and
// ln m = 2 (s + s^3/3 + s^5/5 + ...), s = (m - 1) / (m + 1), whose terms are below 2^-56 from s^23.
inline double logarithm(double x) {
    int exponent;
    double m = std::frexp(x, &exponent);  // exact
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2;
        --exponent;
    }
    const double s = (m - 1) / (m + 1);
    const double z = s * s;
    double sum = 0;
    for (int k = 21; k >= 3; k -= 2) sum = sum * z + 1.0 / k;
    const double e = exponent;
    constexpr double ln2_high = 0x1.62e42fefa38p-1;
    constexpr double ln2_low = 0x1.ef35793c7673p-45;
    return e * ln2_high + (2 * s + (2 * s * z * sum + e * ln2_low));
}

}  // namespace elman
