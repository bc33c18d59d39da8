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
        stride_ = padded_;
        if (network_.readout())
            apply_readout(states, count);
        else
            for (Index n = 0; n < count; ++n) std::copy_n(states.column(n), size_, column(n));
        const OutputScaling<Real> scaling = network_.output_scaling();
        if (!scaling.mean && !scaling.std) return;
        for (Index n = 0; n < count; ++n)
            for (Index i = 0; i < size_; ++i)
                column(n)[i] = scaled_output(scaling, column(n)[i], i);
    }
    // The same for one column.
    void read_out_one(Columns<const Real> state) noexcept {
        if (!product_) return read_out(state, 1);
        product_(network_.W_hy(), {network_.b_y(), 0}, state, {numbers_.data(), 0}, 1,
                 network_.readout()->activation);
    }
    Index size() const noexcept { return static_cast<Index>(numbers_.size()); }  // in numbers
    const Real* output(Index n) const noexcept { return numbers_.data() + n * stride_; }
    void write(Index n, Real* y, Index stride) const noexcept {
        copy_row(output(n), 1, y, stride, size_);
    }

  private:
    Real* column(Index n) noexcept { return numbers_.data() + n * stride_; }

    void apply_readout(Columns<const Real> states, Index count) noexcept {
        const Kernels<Real>& kernels = network_.kernels();
        const Activation& g = network_.readout()->activation;
        const bool elementwise = is_elementwise(g.function), narrow = size_ <= padded_ / 2;
        const bool together = elementwise && narrow && count > 1;
        const Columns<Real> y{numbers_.data(), stride_};
        kernels.product(network_.W_hy(), {network_.b_y(), 0}, states, y, count,
                        elementwise && !together ? g : kIdentity);
        if (together) {
            move_together(count);
            kernels.apply(g, false, {numbers_.data(), 0}, count * stride_, 1);
        } else if (!elementwise) {
            kernels.softmax(g.function, y, size_, count);
        }
    }

    // Moves narrow columns next to each other, so that g takes vectors of several columns (a batch
    // of 4 -> 16 -> 1 takes 0.94 times as long with AVX-512, 0.97 with AVX2).
    void move_together(Index count) noexcept {
        while (size_ <= stride_ / 2) stride_ /= 2;
        for (Index n = 1; n < count; ++n)
            for (Index i = 0; i < size_; ++i)
                column(n)[i] = numbers_[static_cast<std::size_t>(n * padded_ + i)];
    }

    // Whether the outputs are the product alone.
    static bool is_product(const Network<Real>& network) {
        const OutputScaling<Real> scaling = network.output_scaling();
        const Readout* readout = network.readout();
        return readout && is_elementwise(readout->activation.function) && !scaling.mean &&
               !scaling.std;
    }

    const Network<Real>& network_;
    decltype(Kernels<Real>::product) const product_;  // null: read_out
    const Index size_;
    const Index padded_;
    Index stride_;  // of the outputs now: see move_together
    AlignedVector<Real> numbers_;
};

}  // namespace elman
