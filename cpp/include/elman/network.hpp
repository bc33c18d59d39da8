// network.hpp - an Elman network that does not change any more: its parameters and their packed
// copy.
//
// Immutable, so that any number of threads may use one network at the same time.
#pragma once

#include <vector>

#include "elman/isa.hpp"
#include "elman/packed.hpp"

namespace elman {

// Numbers of a network's own scale and the user's: null where there is none.
template <class Real>
struct Scaling {
    const Real* shift;
    const Real* scale;
};

template <class Real>
class Network {
  public:
    // A half of a layer, ready for the kernels.
    struct Weights {
        PackedMatrix<Real> W_xh;  // (H, I)
        PackedMatrix<Real> W_hh;  // (H, H)
        const Real* b_h;          // (H,), padded
    };

    // Throws IsaError for an instruction set that this build or this processor does not have.
    explicit Network(Parameters<Real> parameters, Isa isa = elman::isa());
    // The same, to be thrown away if the pause was stopped.
    Network(Parameters<Real> parameters, Isa isa, Pause& pause);
    Network(const Network&) = delete;  // the packed matrices point into their own arena
    Network& operator=(const Network&) = delete;

    const Parameters<Real>& parameters() const { return parameters_; }
    const Architecture& architecture() const { return parameters_.architecture(); }
    Index input_size() const { return input_size_; }
    Index output_size() const { return output_size_; }
    Index state_size() const { return state_size_; }
    Index multiply_adds() const { return multiply_adds_; }  // of one step
    Isa isa() const { return isa_; }
    const Kernels<Real>& kernels() const { return *kernels_; }

    const Layout<Real>& layout() const { return layout_; }
    const Real* arena() const { return arena_.data(); }
    const std::vector<Half>& halves() const { return layout_.halves(); }
    const Weights& weights(std::size_t half) const { return weights_[half]; }
    const Readout* readout() const { return layout_.readout(); }
    const PackedMatrix<Real>& W_hy() const { return W_hy_; }  // (O, H), where there is a readout
    const Real* b_y() const { return b_y_; }                  // (O,), padded
    const Real* initial_state() const { return initial_state_; }  // (state_size,) or null
    Scaling<Real> input_scaling() const { return input_scaling_; }
    Scaling<Real> output_scaling() const { return output_scaling_; }

  private:
    Parameters<Real> parameters_;
    Index input_size_, output_size_, state_size_;
    Index multiply_adds_;
    Isa isa_;
    const Kernels<Real>* kernels_;
    Layout<Real> layout_;
    AlignedVector<Real> arena_;
    std::vector<Weights> weights_;
    PackedMatrix<Real> W_hy_{};
    const Real* b_y_ = nullptr;
    const Real* initial_state_ = nullptr;
    Scaling<Real> input_scaling_;
    Scaling<Real> output_scaling_;
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace elman
