// network.hpp - an Elman network that does not change any more: its parameters and their packed
// copy.
//
// Immutable, so that any number of threads may use one network at the same time.
#pragma once

#include <vector>

#include "elman/isa.hpp"
#include "elman/packed.hpp"

namespace elman {

template <class Real>
class Network {
  public:
    using Layer = typename PackedParameters<Real>::Layer;
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

    const PackedParameters<Real>& packed() const { return packed_; }
    const std::vector<Layer>& layers() const { return packed_.layers(); }
    const Layer* readout() const { return packed_.readout(); }
    const Real* initial_state() const { return packed_.initial_state(); }  // (state_size,) or null
    Units input_units() const { return input_units_; }
    Units output_units() const { return output_units_; }

  private:
    Parameters<Real> parameters_;
    Index multiply_adds_;
    Isa isa_;
    const Kernels<Real>* kernels_;
    PackedParameters<Real> packed_;
    Units input_units_{};
    Units output_units_{};
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace elman
