// model.hpp - what a network and a trainer have in common: weights in an arena, and how to use
// them.
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

    explicit Model(const Network<Real>& network)
        : architecture(network.architecture()),
          kernels(network.kernels()),
          layout(network.layout()),
          weights(network.arena()),
          input_scaling(network.input_scaling()),
          output_scaling(network.output_scaling()) {}

    // With the scaling of some parameters, but other weights.
    Model(const Architecture& shape, const Scaling<Real>& scaling, const Kernels<Real>& of,
          const Layout<Real>& order, const Real* arena)
        : architecture(shape),
          kernels(of),
          layout(order),
          weights(arena),
          input_scaling(scaling.input()),
          output_scaling(scaling.output()) {}

    const Real* initial_state() const {  // (S,), or null
        return layout.initial_state() ? weights + *layout.initial_state() : nullptr;
    }
};

}  // namespace elman
