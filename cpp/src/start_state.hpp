// start_state.hpp - the state a sequence starts from.
#pragma once

#include <algorithm>

#include "elman/packed.hpp"

namespace elman {

// to = `size` elements, from `first`, of the start state: the given one if not null, else the
// network's initial state, else zeros.
template <class Real>
void start_state(const Real* given, const Real* initial, Index first, Index size, Real* to) {
    const Real* state = given ? given : initial;
    if (state)
        std::copy_n(state + first, size, to);
    else
        std::fill_n(to, size, Real(0));
}

// The elements of one half.
template <class Real>
void start_state(const Real* given, const Real* initial, const Half& half, Real* to) {
    start_state(given, initial, half.state, half.hidden_size, to);
}

}  // namespace elman
