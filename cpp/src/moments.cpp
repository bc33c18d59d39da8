#include "elman/moments.hpp"

#include <algorithm>
#include <vector>

namespace elman {

template <class Real>
void add_moments(const Real* x, Index count, Index size, const double* shift, double* sums) {
    // Several rows at a time: few columns would wait for the sum of the row before.
    constexpr Index kRows = 16;
    const Index width = kRows * size, total = count * size;
    const auto numbers = static_cast<std::size_t>(width);
    std::vector<double> shifts(numbers), sum(numbers), squares(numbers);
    for (Index k = 0; k < width; k += size) std::copy_n(shift, size, shifts.data() + k);
    for (Index first = 0; first < total; first += width) {
        const Index some = std::min(width, total - first);
        const Real* from = x + first;
        for (Index k = 0; k < some; ++k) {
            const double v = from[k] - shifts.data()[k];
            sum.data()[k] += v;
            squares.data()[k] += v * v;
        }
    }
    for (Index k = 0; k < width; ++k) {
        sums[k % size] += sum.data()[k];
        sums[size + k % size] += squares.data()[k];
    }
}

template void add_moments(const float*, Index, Index, const double*, double*);
template void add_moments(const double*, Index, Index, const double*, double*);

}  // namespace elman
