// checks.hpp - argument checks: a std::invalid_argument that names the argument, what was expected
// and what was given.
#pragma once

#include <algorithm>
#include <limits>
#include <string>

#include "elman/views.hpp"

namespace elman {

[[noreturn]] void refuse(const std::string& argument, const std::string& expected,
                         const std::string& found);

// The shortest decimal that reads back as the same value.
std::string shortest(double value);

[[noreturn]] void refuse_outside(const char* argument, Index least, Index most, Index value);

inline void check_at_least(const char* argument, Index least, Index value) {
    if (value < least) refuse(argument, "at least " + std::to_string(least), std::to_string(value));
}
inline void check_within(const char* argument, Index least, Index most, Index value) {
    if (value < least || value > most) refuse_outside(argument, least, most, value);
}
void check_equal(const char* argument, Index expected, Index value);

// Both require a finite value.
void check_positive(const char* argument, double value);
void check_not_negative(const char* argument, double value);

// The batch axes must hold `sequences` sequences; data is required if any of it is used.
template <class Real>
void check_view(const char* argument, const SequencesView<Real>& view, Index sequences, bool used) {
    if (view.shape.size() != view.strides.size())
        refuse(argument, "a stride for each of " + std::to_string(view.shape.size()) + " axes",
               std::to_string(view.strides.size()));
    Index count = 1;
    for (Index size : view.shape) {
        const Index most = std::numeric_limits<Index>::max() / std::max<Index>(1, count);
        check_within(argument, 0, most, size);
        count *= size;
    }
    if (count != sequences)
        refuse(argument, "batch axes of " + std::to_string(sequences) + " sequences",
               std::to_string(count));
    if (used && sequences > 0 && !view.data) refuse(argument, "an array", "none");
}

}  // namespace elman
