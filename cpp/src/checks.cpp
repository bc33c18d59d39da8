#include "checks.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace elman {

void refuse(const std::string& argument, const std::string& expected, const std::string& found) {
    throw std::invalid_argument(argument + ": expected " + expected + ", got " + found);
}

std::string shortest(double value) {
    char digits[32];
    for (int precision = 1; precision <= 17; ++precision) {
        std::snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (std::strtod(digits, nullptr) == value) break;
    }
    return digits;
}

void refuse_outside(const char* argument, Index least, Index most, Index value) {
    refuse(argument, std::to_string(least) + " to " + std::to_string(most), std::to_string(value));
}

void check_equal(const char* argument, Index expected, Index value) {
    if (value != expected) refuse(argument, std::to_string(expected), std::to_string(value));
}

void check_positive(const char* argument, double value) {
    if (!(value > 0) || !std::isfinite(value))
        refuse(argument, "a finite number above 0", shortest(value));
}

void check_not_negative(const char* argument, double value) {
    if (!(value >= 0) || !std::isfinite(value))
        refuse(argument, "a finite number of at least 0", shortest(value));
}

}  // namespace elman
