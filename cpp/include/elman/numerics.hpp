// numerics.hpp - the version of the numerical contract.
#pragma once

namespace elman {

// Changes when the bits of any result change.
inline constexpr int kNumerics = 3;

}  // namespace elman
