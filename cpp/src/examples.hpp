// examples.hpp - checks of what the functions of training are given.
#pragma once

#include <vector>

#include "elman/gradient.hpp"

namespace elman {

// Throw std::invalid_argument: the argument, what was expected, what came. Sequences and examples
// are checked as far as they are read: the `count` ones whose indices are given.
void check_at_least(const char* argument, Index least, Index value);
void check_positive(const char* argument, double value);
void check(const Truncation& truncation);
void check_trainable(const Architecture& architecture);
template <class Real>
void check(const Examples<Real>& examples, const Architecture& architecture, const Index* sequences,
           Index count);
template <class Real>
void check(const BackwardTask<Real>& task);

// 0 ... count-1
std::vector<Index> all_sequences(Index count);

}  // namespace elman
