// streaming.hpp - what streams and pools share: which networks they take, and samples that are not
// finite where the first layer reads them.
#pragma once

#include <cmath>

#include "checks.hpp"
#include "finite.hpp"
#include "scaling.hpp"

namespace elman {

template <class Real>
const Network<Real>& streamable(const Network<Real>* network) {
    if (!network) refuse("network", "one", "null");
    network->architecture().require_forward("stream", "a stream has no future inputs");
    return *network;
}

// The number of rows of x before the first one, up to `most`, that is not finite after scaling;
// `scratch` holds one row.
template <class Real>
inline Index finite_rows(const Network<Real>& network, const Rows<const Real>& x, Index most,
                         Real* scratch) {
    const InputScaling<Real> scaling = network.input_scaling();
    const Index size = network.input_size();
    const bool as_it_is = reads_as_it_is(scaling, x.stride);
    if (as_it_is && (x.step_stride == size || most == 1) && all_finite(x.data, most * size))
        return most;
    for (Index row = 0; row < most; ++row) {
        const Real* input = as_it_is ? x.row(row) : scratch;
        if (!as_it_is) read_input(scaling, x.row(row), x.stride, scratch, size);
        if (!all_finite(input, size)) return row;
    }
    return most;
}

// The first feature of an input of the first layer that is not finite.
template <class Real>
Index first_nonfinite(const Real* input, Index size) {
    Index feature = 0;
    const Index last = size - 1;  // another thread may have changed the input
    while (feature < last && std::isfinite(input[feature])) ++feature;
    return feature;
}

}  // namespace elman
