// examples.hpp - argument checks of the training functions.
#pragma once

#include <vector>

#include "elman/gradient.hpp"

namespace elman {

// Only the parts that are read are checked: the `count` sequences with the given indices, all if
// there are none. Returns early if the pause is stopped.
void check(const Truncation& truncation);
void check_trainable(const Architecture& architecture);
template <class Real>
void check(const Examples<Real>& examples, const Architecture& architecture, const Index* sequences,
           Index count, Pause& pause);
template <class Real>
void check(const BackwardTask<Real>& task, Pause& pause);

// 0 ... count-1
std::vector<Index> all_sequences(Index count);

}  // namespace elman
