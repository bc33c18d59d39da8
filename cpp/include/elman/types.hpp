// types.hpp - the words that the core and its kernels share; plain data, no templates of others.
#pragma once

#include <cstddef>

namespace elman {

using Index = std::ptrdiff_t;

enum class Activation { identity, relu, tanh, sigmoid, softmax };

// A matrix of weights, packed for the kernels of one instruction set.
template <class Real>
struct PackedMatrix {
    const Real* panels;
    Index rows;
    Index cols;
    int partial_sums;  // how many interleaved sums make up one element of a product
};

}  // namespace elman
