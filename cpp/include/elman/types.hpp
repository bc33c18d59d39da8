// types.hpp - plain data types shared by the core and its kernels.
#pragma once

#include <float.h>
#include <math.h>

#include <cstddef>

namespace elman {

using Index = std::ptrdiff_t;

// Definitions: activation.hpp.
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
    softmax,      // readout only
    log_softmax,  // readout only
};

// A function with its parameters: f(v), with v first clipped to [-clip, clip]. Kernels round the
// parameters to the type they compute in.
struct Activation {
    Function function;
    double alpha;  // ONNX's default; NaN if required without a default, 0 if unused
    double beta;
    double clip;  // infinite: no clipping

    Activation(Function of = Function::identity);  // NOLINT: a function is an activation
    constexpr Activation(Function of, double a, double b, double limit)
        : function(of), alpha(a), beta(b), clip(limit) {}
};

// Not inline: the linker must not merge symbols of different instruction sets, not even a constant.
constexpr Activation kIdentity{Function::identity, 0, 0, HUGE_VAL};

// A matrix of weights, packed for the kernels of one instruction set: src/kernels/pack.hpp.
template <class Real>
struct PackedMatrix {
    const Real* panels;
    Index rows;
    Index cols;
    int partial_sums;  // S of table.hpp, set by packed_matrix() only
};

}  // namespace elman
