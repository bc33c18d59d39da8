// start_state.hpp - where a sequence begins.
#pragma once

#include <algorithm>

#include "elman/packed.hpp"

namespace elman {

// to = `size` numbers, from `first`, of the state that a sequence begins with: the given one, else
// the network's initial one, else zeros; null where there is none.
template <class Real>
void start_state(const Real* given, const Real* initial, Index first, Index size, Real* to) {
    const Real* state = given ? given : initial;
    if (state)
        std::copy_n(state + first, size, to);
    else
        std::fill_n(to, size, Real(0));
}

// Those of one half of a layer.
template <class Real>
void start_state(const Real* given, const Real* initial, const Half& half, Real* to) {
    start_state(given, initial, half.state, half.hidden_size, to);
}

}  // namespace elman
