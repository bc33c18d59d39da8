// types.hpp - the words that the core and its kernels share; plain data, no templates of others.
#pragma once

#include <float.h>
#include <math.h>

#include <cstddef>

namespace elman {

using Index = std::ptrdiff_t;

// What each computes, in terms of alpha and beta as ONNX has them: activation.hpp.
enum class Function {
    identity,
    relu,
    tanh,
    sigmoid,
    leaky_relu,
    elu,
    thresholded_relu,
    hard_sigmoid,
    softsign,
    softplus,
    scaled_tanh,
    affine,
    softmax,  // for outputs
};

// A function with its numbers: f(v) with v clipped to [-clip, clip] before. Kernels round the
// numbers to the type that they compute in.
struct Activation {
    Function function;
    double alpha;  // ONNX's defaults; NaN where there is none and one is needed, else 0
    double beta;
    double clip;  // infinite: nothing is clipped

    Activation(Function of = Function::identity);  // NOLINT: a function is an activation
    constexpr Activation(Function of, double a, double b, double limit)
        : function(of), alpha(a), beta(b), clip(limit) {}
};

// Not inline: kernels of one set must not stand in for those of another, not even in a constant.
constexpr Activation kIdentity{Function::identity, 0, 0, HUGE_VAL};

// A matrix of weights, packed for the kernels of one instruction set: src/kernels/pack.hpp.
template <class Real>
struct PackedMatrix {
    const Real* panels;
    Index rows;
    Index cols;
    int partial_sums;  // how many interleaved sums make up one element of a product
};

}  // namespace elman
