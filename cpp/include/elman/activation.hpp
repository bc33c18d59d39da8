// activation.hpp - activations by name; alpha and beta as in ONNX.
//
//   relu              v < 0 ? 0 : v               leaky_relu        v < 0 ? alpha v : v
//   elu               v < 0 ? alpha (e^v - 1) : v
//   thresholded_relu  v > alpha ? v : 0           hard_sigmoid      max(0, min(1, alpha v + beta))
//   softsign          v / (1 + |v|)               softplus          log(1 + e^v)
//   scaled_tanh       alpha tanh(beta v)          affine            alpha v + beta
//   identity, tanh, sigmoid; softmax and log_softmax (readout only)
#pragma once

#include <optional>
#include <string>

#include "elman/types.hpp"

namespace elman {

bool operator==(const Activation& a, const Activation& b);
inline bool operator!=(const Activation& a, const Activation& b) {
    return !(a == b);
}

const char* name(Function function) noexcept;
// Whether each value depends on its own argument only: all but softmax and log_softmax.
inline bool is_elementwise(Function function) noexcept {
    return function != Function::softmax && function != Function::log_softmax;
}
bool has_alpha(Function function) noexcept;
bool has_beta(Function function) noexcept;
bool has_clip(const Activation& activation) noexcept;

// Name and parameters, such as "leaky_relu(alpha=0.1)".
std::string text(const Activation& activation);

// Missing parameters get ONNX's defaults. Throws std::invalid_argument for an unknown name, and for
// a parameter that the function does not have, requires or cannot use. The error names the
// activation `argument`, or only the parameter if `argument` is empty.
Activation activation_from_name(const std::string& name, std::optional<double> alpha,
                                std::optional<double> beta, std::optional<double> clip,
                                const std::string& argument);

// Throws std::invalid_argument, naming `argument`, unless the parameters are finite as Real and
// clip is above 0.
template <class Real>
void check_numbers(const Activation& activation, const std::string& argument);

// Bounds of a function's values, possibly infinite.
struct Range {
    double lowest;
    double highest;
};

// The range of an activation, parameters and clip included; of a single output if f is not
// elementwise.
Range range_of(const Activation& f);

// Throws std::invalid_argument where the derivative does not follow from the value: leaky_relu, elu
// and thresholded_relu with a negative alpha.
void check_trainable(const Activation& activation, const std::string& argument);

// y = f(x) for `count` elements, as computed by the kernels in use. Throws std::invalid_argument
// unless f is elementwise.
template <class Real>
void apply_activation(const Activation& f, const Real* x, Real* y, Index count);

}  // namespace elman
