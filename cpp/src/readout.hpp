// readout.hpp - from the states of the top layer to scaled outputs.
//
//   y = g(W_hy h + b_y) * output_std + output_mean
#pragma once

#include <algorithm>

#include "elman/activation.hpp"
#include "kernels/table.hpp"
#include "scaling.hpp"

namespace elman {

// `outputs` are padded. Without a readout they equal the states.
template <class Real>
void read_out(const Network<Real>& network, Columns<const Real> states, Columns<Real> outputs,
              Index count) noexcept {
    const Index size = network.output_size();
    if (const Readout* readout = network.readout()) {
        const Activation& g = readout->activation;
        const bool elementwise = is_elementwise(g.function);
        network.kernels().product(network.W_hy(), {network.b_y(), 0}, states, outputs, count,
                                  elementwise ? g : kIdentity);
        if (!elementwise) network.kernels().softmax(g.function, outputs, size, count);
    } else {
        for (Index n = 0; n < count; ++n) std::copy_n(states.column(n), size, outputs.column(n));
    }
    const OutputScaling<Real> scaling = network.output_scaling();
    if (!scaling.mean && !scaling.std) return;
    for (Index n = 0; n < count; ++n)
        for (Index i = 0; i < size; ++i)
            outputs.column(n)[i] = scaled_output(scaling, outputs.column(n)[i], i);
}

// Memory for the outputs of several columns.
template <class Real>
class OutputColumns {
  public:
    OutputColumns(const Network<Real>& network, Index columns)
        : network_(network),
          size_(network.output_size()),
          stride_(padded<Real>(size_)),
          numbers_(static_cast<std::size_t>(columns * stride_)) {}

    // Into the outputs from `first` on.
    void read_out(Columns<const Real> states, Index count, Index first = 0) noexcept {
        elman::read_out<Real>(network_, states, {numbers_.data() + first * stride_, stride_},
                              count);
    }
    // Takes over the first `count` outputs of other memory, as those from `first` on.
    void take(Index first, const OutputColumns& from, Index count) noexcept {
        std::copy_n(from.output(0), count * stride_, numbers_.data() + first * stride_);
    }
    Index size() const noexcept { return static_cast<Index>(numbers_.size()); }  // in numbers
    const Real* output(Index n) const noexcept { return numbers_.data() + n * stride_; }
    void write(Index n, Real* y, Index stride) const noexcept {
        copy_row(output(n), 1, y, stride, size_);
    }

  private:
    const Network<Real>& network_;
    const Index size_;
    const Index stride_;
    AlignedVector<Real> numbers_;
};

}  // namespace elman
