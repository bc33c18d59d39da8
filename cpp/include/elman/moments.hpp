// moments.hpp - the sums behind the mean and the standard deviation of each column of data.
#pragma once

#include "elman/types.hpp"

namespace elman {

// sums (2, size) += the sums of x - shift and of (x - shift)^2 over the rows of x (count, size),
// which are contiguous. shift (size,); NaN and infinities propagate.
template <class Real>
void add_moments(const Real* x, Index count, Index size, const double* shift, double* sums);

}  // namespace elman
