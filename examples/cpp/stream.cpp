// stream.cpp - a small Elman network that answers each sample, in C++ only.
#include "elman/stream.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <utility>

// The weights of a model file, in the order of the file.
constexpr float kWeights[] = {
    0.5f,  -0.3f, 0.8f,  0.1f,  -0.6f, 0.4f,                     // W_xh (3, 2)
    0.2f,  0.7f,  -0.1f, -0.5f, 0.3f,  0.9f, 0.6f, -0.4f, 0.1f,  // W_hh (3, 3)
    0.05f, -0.1f, 0.15f,                                         // b_h (3,)
    1.5f,  -2.0f, 0.75f,                                         // W_hy (1, 3)
    0.25f,                                                       // b_y (1,)
};

constexpr float kSamples[][2] = {{0.1f, 1.0f}, {-0.7f, 0.4f}, {0.9f, -0.2f}, {0.0f, 0.0f}};

int main() {
    elman::Architecture shape;
    shape.input_size = 2;
    shape.layers = {{3, elman::Function::tanh}};
    shape.readout = elman::ReadoutShape{1, elman::Function::sigmoid};

    elman::Parameters<float> parameters(shape);
    std::copy(std::begin(kWeights), std::end(kWeights), parameters.data());
    elman::Stream<float> stream(
        std::make_shared<const elman::Network<float>>(std::move(parameters)));

    for (const auto& x : kSamples) {
        float y;
        if (!stream.step(x, &y)) continue;  // not finite; does not allocate or throw
        std::printf("%.9g\n", static_cast<double>(y));
    }
}
