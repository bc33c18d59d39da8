// examples.hpp - checks of what the functions of training are given.
#pragma once

#include <vector>

#include "elman/gradient.hpp"

namespace elman {

// Sequences and examples are checked as far as they are read: the `count` ones whose indices are
// given, all if there are none. Returns early if the pause is stopped.
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
