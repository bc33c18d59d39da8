// initialization.hpp - initial parameters of a new network.
//
// The same seed gives the same parameters on every platform and version: they are computed from
// Philox words (random.hpp) with only + - * / and square roots, which IEEE 754 fixes, in double
// precision and in the order of the file, and are rounded once to the network's type.
#pragma once

#include <variant>

#include "elman/parameters.hpp"
#include "elman/pause.hpp"

namespace elman {

// All weights and biases uniform in [-1/sqrt(H), 1/sqrt(H)), H the size of the layer (for the
// readout: of the top layer), as in torch.nn.RNN and torch.nn.Linear.
struct Uniform {};

// W_xh and W_hy uniform in [-g, g), g = sqrt(6 / (rows + columns)) (X. Glorot, Y. Bengio, AISTATS
// 2010), W_hh a random orthogonal matrix, zero biases: the default of Keras.
struct Glorot {};

// W_hh = scale * I, the other weights normal with mean 0, zero biases (Q. V. Le, N. Jaitly, G. E.
// Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015).
struct Identity {
    double std = 1e-3;
    double scale = 1;
};

// A reservoir (H. Jaeger, GMD report 148, 2001): each unit reads max(1, round(density * H)) random
// units of its layer with uniform weights, and W_hh is scaled to the spectral radius. b_h and W_xh
// of the first layer are uniform in [-input_limit, input_limit); in W_xh of a higher layer the
// limit is divided by the square root of its input size. The readout, which is to be fitted, is
// initialized as in Uniform.
struct EchoState {
    double spectral_radius = 0.9;
    double density = 0.1;
    double input_limit = 0.5;
};

using Initialization = std::variant<Uniform, Glorot, Identity, EchoState>;

// Sets the weights and biases of the layers and the readout, and no other tensor. Returns early,
// with unspecified values, if the pause is stopped. Throws std::invalid_argument for a setting that
// is negative or not finite, or a density outside (0, 1].
template <class Real>
void initialize(Parameters<Real>& parameters, const Initialization& initialization,
                unsigned long long seed, Pause& pause);

extern template void initialize(Parameters<float>&, const Initialization&, unsigned long long,
                                Pause&);
extern template void initialize(Parameters<double>&, const Initialization&, unsigned long long,
                                Pause&);

// The largest modulus of the eigenvalues of a (n, n), to about six digits: the limit of
// |a^(2^j)|^(2^-j) (I. Gelfand, 1941), from 24 squarings: 48 n^3 operations, 7 s for n = 1000.
double spectral_radius(const double* a, Index n, Pause& pause);

}  // namespace elman
