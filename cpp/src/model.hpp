// model.hpp - weights in an arena, and how to use them: shared by networks and trainers.
#pragma once

#include "elman/network.hpp"
#include "kernels/table.hpp"

namespace elman {

template <class Real>
struct Model {
    const Architecture& architecture;
    const Kernels<Real>& kernels;
    const Layout<Real>& layout;
    const Real* weights;  // in the order of the layout
    InputScaling<Real> input_scaling;
    OutputScaling<Real> output_scaling;

    // Uses the network for everything but the weights.
    Model(const Network<Real>& network, const Real* arena)
        : architecture(network.architecture()),
          kernels(network.kernels()),
          layout(network.layout()),
          weights(arena),
          input_scaling(network.input_scaling()),
          output_scaling(network.output_scaling()) {}
    explicit Model(const Network<Real>& network) : Model(network, network.arena()) {}

    const Real* initial_state() const {  // (S,), or null
        return layout.initial_state() ? weights + *layout.initial_state() : nullptr;
    }
};

}  // namespace elman
