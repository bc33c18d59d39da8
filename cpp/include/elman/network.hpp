// network.hpp - an Elman network that does not change any more: its parameters and their packed
// copy.
//
// Immutable, so that any number of threads may use one network at the same time.
#pragma once

#include <vector>

#include "elman/isa.hpp"
#include "elman/parameters.hpp"

namespace elman {

template <class Real>
struct Kernels;  // the functions of one instruction set: src/kernels/table.hpp

template <class Real>
class Network {
  public:
    struct Layer {
        PackedMatrix<Real> input;      // W_xh
        PackedMatrix<Real> recurrent;  // W_hh
        const Real* bias;              // b_h, padded with zeros; zeros where there is none
        Activation activation;
    };
    struct Units {  // null where there is none
        const Real* shift;
        const Real* scale;
    };

    explicit Network(Parameters<Real> parameters, Isa isa = elman::isa());
    Network(const Network&) = delete;  // the packed matrices point into their own arena
    Network& operator=(const Network&) = delete;

    const Parameters<Real>& parameters() const { return parameters_; }
    const Architecture& architecture() const { return parameters_.architecture(); }
    Index multiply_adds() const { return multiply_adds_; }  // of one step
    Isa isa() const { return isa_; }
    const Kernels<Real>& kernels() const { return *kernels_; }

    const std::vector<Layer>& layers() const { return layers_; }
    const Layer* readout() const { return has_readout_ ? &readout_ : nullptr; }  // W_hy is `input`
    const Real* initial_state() const { return initial_state_; }  // (state_size,) or null
    Units input_units() const { return input_units_; }
    Units output_units() const { return output_units_; }

  private:
    const Real* pad(const Real* values, Index count);
    PackedMatrix<Real> pack(const Real* matrix, Index rows, Index cols);

    Parameters<Real> parameters_;
    Index multiply_adds_;
    Isa isa_;
    const Kernels<Real>* kernels_;
    AlignedVector<Real> packed_;
    Index packed_size_ = 0;
    std::vector<Layer> layers_;
    Layer readout_{};
    bool has_readout_ = false;
    const Real* initial_state_ = nullptr;
    Units input_units_{};
    Units output_units_{};
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace elman
