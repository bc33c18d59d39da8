// activation.hpp - the activations by name, with their numbers as ONNX defines them.
//
//   relu              v < 0 ? 0 : v               leaky_relu        v < 0 ? alpha v : v
//   elu               v < 0 ? alpha (e^v - 1) : v
//   thresholded_relu  v > alpha ? v : 0           hard_sigmoid      max(0, min(1, alpha v + beta))
//   softsign          v / (1 + |v|)               softplus          log(1 + e^v)
//   scaled_tanh       alpha tanh(beta v)          affine            alpha v + beta
//   identity, tanh, sigmoid; softmax, for outputs
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
bool has_alpha(Function function) noexcept;
bool has_beta(Function function) noexcept;
bool has_clip(const Activation& activation) noexcept;

// Its name and numbers, such as "leaky_relu(alpha=0.1)".
std::string text(const Activation& activation);

// With ONNX's defaults for what is not given. Throws std::invalid_argument for a name that is none
// of them, a number that the function does not have, lacks or cannot use; the error calls the
// activation by `argument`, or names the number alone if that is empty.
Activation activation_from_name(const std::string& name, std::optional<double> alpha,
                                std::optional<double> beta, std::optional<double> clip,
                                const std::string& argument);

// Throws std::invalid_argument, naming `argument`, unless the numbers are finite as Real, and clip
// above 0.
template <class Real>
void check_numbers(const Activation& activation, const std::string& argument);

// The numbers between which all values of a function lie, perhaps infinite.
struct Range {
    double lowest;
    double highest;
};

// That of an activation with its numbers and its clip; of softmax, that of a single output.
Range range_of(const Activation& f);

// Throws std::invalid_argument where the value does not tell the derivative: leaky_relu, elu and
// thresholded_relu of a negative alpha.
void check_trainable(const Activation& activation, const std::string& argument);

// y = f(x), `count` numbers each, as the kernels in use compute it. Throws std::invalid_argument
// for softmax, which is a function of all numbers at once.
template <class Real>
void apply_activation(const Activation& f, const Real* x, Real* y, Index count);

}  // namespace elman
