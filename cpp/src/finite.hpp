// finite.hpp - whether numbers are finite: a few instructions for each 16 bytes and no call, next
// to a step of a small network.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "elman/types.hpp"

namespace elman {

// The bits of x - x: of a zero or, for NaN and infinities only, of NaN.
template <class Real>
inline auto bits_of_zero(Real x) noexcept {
    std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t> bits;
    const Real zero = x - x;  // NOLINT(misc-redundant-expression)
    static_assert(sizeof bits == sizeof zero);
    std::memcpy(&bits, &zero, sizeof bits);
    return bits;
}

// Tried: sums of values, finite only if all are (a chunk of 16 inputs 2 % faster, but a step of 16
// to 64 inputs 1 to 4 % slower); a kernel of the instruction set (1 ns for the call).
template <class Real>
inline bool all_finite(const Real* values, Index count) noexcept {
    using Bits = decltype(bits_of_zero(Real()));
    constexpr Index kAtOnce = 64 / sizeof(Real);
    Bits found = 0;
    Index i = 0;
    if (count >= kAtOnce) {
        Bits each[kAtOnce] = {};
        for (; i + kAtOnce <= count; i += kAtOnce)
            for (Index k = 0; k < kAtOnce; ++k) each[k] |= bits_of_zero(values[i + k]);
        for (Index k = 0; k < kAtOnce; ++k) found |= each[k];
    }
    for (; i < count; ++i) found |= bits_of_zero(values[i]);
    const Bits without_sign = static_cast<Bits>(found << 1);  // which depends on the rounding mode
    return without_sign == 0;
}

}  // namespace elman
