// readout.hpp - from the states of the top layer to scaled outputs.
//
//   y = g(W_hy h + b_y) * output_std + output_mean
#pragma once

#include <algorithm>

#include "elman/activation.hpp"
#include "kernels/table.hpp"
#include "scaling.hpp"

namespace elman {

// The outputs of several columns.
template <class Real>
class OutputColumns {
  public:
    OutputColumns(const Network<Real>& network, Index columns)
        : network_(network),
          product_(is_product(network) ? network.kernels().product : nullptr),
          size_(network.output_size()),
          padded_(padded<Real>(size_)),
          stride_(padded_),
          numbers_(static_cast<std::size_t>(columns * padded_)) {}

    // Without a readout the outputs are the states.
    void read_out(Columns<const Real> states, Index count) noexcept {
        stride_ = product_ && count > 1 ? network_.kernels().close_stride(size_) : padded_;
        apply_readout(states, count, 0);
    }
    // The same for one column.
    void read_out_one(Columns<const Real> state) noexcept {
        if (!product_) return read_out(state, 1);
        product_(network_.W_hy(), {network_.b_y(), 0}, state, {numbers_.data(), 0}, 1,
                 activation());
    }
    // A part of the outputs, from `first` on.
    void read_out_part(Columns<const Real> states, Index count, Index first) noexcept {
        stride_ = padded_;
        apply_readout(states, count, first);
    }
    // Copies `count` outputs that another thread has read out as a part, to those from `first` on.
    void copy_part(Index first, const OutputColumns& from, Index count) noexcept {
        std::copy_n(from.output(0), count * stride_, column(first));
    }
    Index size() const noexcept { return static_cast<Index>(numbers_.size()); }  // in numbers
    const Real* output(Index n) const noexcept { return numbers_.data() + n * stride_; }
    void write(Index n, Real* y, Index stride) const noexcept {
        copy_row(output(n), 1, y, stride, size_);
    }

  private:
    Real* column(Index n) noexcept { return numbers_.data() + n * stride_; }

    const Activation& activation() const noexcept {
        return network_.readout() ? network_.readout()->activation : kIdentity;
    }

    void apply_readout(Columns<const Real> states, Index count, Index first) noexcept {
        const Kernels<Real>& kernels = network_.kernels();
        const Activation& g = activation();
        const Columns<Real> y{column(first), stride_};
        if (!network_.readout()) {
            for (Index n = 0; n < count; ++n) std::copy_n(states.column(n), size_, y.column(n));
        } else {
            const bool elementwise = is_elementwise(g.function);
            kernels.product(network_.W_hy(), {network_.b_y(), 0}, states, y, count,
                            elementwise ? g : kIdentity);
            if (!elementwise) kernels.softmax(g.function, y, size_, count);
        }
        const OutputScaling<Real> scaling = network_.output_scaling();
        if (!scaling.given()) return;
        for (Index n = 0; n < count; ++n)
            for (Index i = 0; i < size_; ++i)
                y.column(n)[i] = scaled_output(scaling, y.column(n)[i], i);
    }

    // Whether one call of the kernel `product` gives the outputs.
    static bool is_product(const Network<Real>& network) {
        const OutputScaling<Real> scaling = network.output_scaling();
        const Readout* readout = network.readout();
        return readout && is_elementwise(readout->activation.function) && !scaling.given();
    }

    const Network<Real>& network_;
    decltype(Kernels<Real>::product) const product_;  // null if is_product() is false
    const Index size_;
    const Index padded_;
    Index stride_;  // of the outputs now: padded, or closer
    AlignedVector<Real> numbers_;
};

}  // namespace elman
