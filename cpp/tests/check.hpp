// check.hpp - a test is a program: check() prints failed claims, and main returns failures != 0.
#pragma once

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "elman/initialization.hpp"
#include "elman/network.hpp"

inline std::atomic<int> failures = 0;

inline void check(bool ok, const std::string& claim) {
    if (ok) return;
    std::printf("FAILED: %s\n", claim.c_str());
    ++failures;
}

// A pause that never stops.
inline elman::Pause& never() {
    static elman::Pause pause;
    return pause;
}

template <class Real>
std::string dtype() {
    return sizeof(Real) == 4 ? "float32" : "float64";
}

// Sets a tensor's elements: value(row, column).
template <class Real, class Value>
void fill(elman::Parameters<Real>& parameters, const std::string& name, Value value) {
    for (const elman::Tensor& tensor : parameters.tensors()) {
        if (tensor.name != name) continue;
        Real* numbers = parameters.data() + tensor.offset;
        for (elman::Index i = 0; i < tensor.size(); ++i)
            numbers[i] = static_cast<Real>(value(i / tensor.cols, i % tensor.cols));
    }
}

// An architecture with every feature: two layers, scaling, an initial state and a softmax.
inline elman::Architecture everything() {
    elman::Architecture shape;
    shape.input_size = 3;
    shape.layers = {{9, elman::Function::tanh}, {5, elman::Function::sigmoid}};
    shape.readout = elman::ReadoutShape{2, elman::Function::softmax};
    shape.initial_state = true;
    shape.input_mean = shape.input_std = shape.output_mean = shape.output_std = true;
    return shape;
}

// Random weights; the optional vectors are 0.5.
template <class Real>
std::shared_ptr<const elman::Network<Real>> random_network(const elman::Architecture& shape,
                                                           elman::Isa isa) {
    elman::Parameters<Real> parameters(shape);
    initialize(parameters, elman::Uniform{}, 1990, never());
    for (const char* name :
         {"initial_state", "input_mean", "input_std", "output_mean", "output_std"})
        fill(parameters, name, [](elman::Index, elman::Index) { return 0.5; });
    return std::make_shared<const elman::Network<Real>>(std::move(parameters), isa);
}

// Calls test(isa, Real()) for every instruction set of this processor and both types.
template <class Test>
void for_each_isa_and_dtype(Test test) {
    for (elman::Isa isa : elman::available_isas()) {
        test(isa, float());
        test(isa, double());
    }
}
