// arenas.hpp - large vectors, filled in pieces. If the pause is stopped, the result is shorter:
// discard it.
#pragma once

#include "elman/aligned.hpp"
#include "elman/pause.hpp"

namespace elman {

template <class Real>
AlignedVector<Real> zeros(Index count, Poll poll) {
    AlignedVector<Real> numbers;
    numbers.reserve(static_cast<std::size_t>(count));
    in_pieces(count, kNumberWork, poll,
              [&](Index, Index last) { numbers.resize(static_cast<std::size_t>(last)); });
    return numbers;
}

template <class Real>
AlignedVector<Real> copy_of(const Real* from, Index count, Poll poll) {
    AlignedVector<Real> numbers;
    numbers.reserve(static_cast<std::size_t>(count));
    in_pieces(count, kNumberWork, poll, [&](Index first, Index last) {
        numbers.insert(numbers.end(), from + first, from + last);
    });
    return numbers;
}

}  // namespace elman
