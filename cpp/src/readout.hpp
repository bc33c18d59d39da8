// readout.hpp - from the states of the top layer to outputs in the user's units.
//
//   y = g(W_hy h + b_y) * output_scale + output_shift
#pragma once

#include <algorithm>

#include "kernels/table.hpp"
#include "units.hpp"

namespace elman {

// `outputs` are padded. Without a readout they are the states.
template <class Real>
void read_out(const Network<Real>& network, Columns<const Real> states, Columns<Real> outputs,
              Index count) noexcept {
    const Index size = network.architecture().output_size();
    if (const auto* readout = network.readout()) {
        const Kernels<Real>& kernels = network.kernels();
        const bool softmax = readout->activation.function == Function::softmax;
        const Elementwise g = softmax ? Elementwise{Function::identity, false}
                                      : elementwise(readout->activation, false);
        kernels.affine(readout->input, {readout->bias, 0}, states, outputs, count, g);
        if (softmax) kernels.softmax(outputs, size, count);
    } else {
        for (Index n = 0; n < count; ++n)
            std::copy_n(states.data + n * states.stride, size, outputs.data + n * outputs.stride);
    }
    const auto units = network.output_units();
    if (!units.shift && !units.scale) return;
    for (Index n = 0; n < count; ++n) {
        Real* y = outputs.data + n * outputs.stride;
        for (Index i = 0; i < size; ++i) y[i] = in_output_units<Real>(units, y[i], i);
    }
}

}  // namespace elman
