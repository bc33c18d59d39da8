// arenas.hpp - large vectors, filled in pieces. If the pause is stopped, the result is shorter:
// discard it.
#pragma once

#include <algorithm>

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

// Appends zeros up to `count` elements; changes nothing if the pause is stopped.
template <class Real>
void grow(AlignedVector<Real>& numbers, Index count, Poll poll) {
    const auto size = static_cast<Index>(numbers.size());
    if (size >= count) return;
    AlignedVector<Real> larger;
    larger.reserve(static_cast<std::size_t>(count));
    in_pieces(count, kNumberWork, poll, [&](Index first, Index last) {
        if (first < size)
            larger.insert(larger.end(), numbers.data() + first,
                          numbers.data() + std::min(last, size));
        larger.resize(static_cast<std::size_t>(last));
    });
    if (poll.go_on(0)) numbers.swap(larger);
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
