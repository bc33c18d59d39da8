#include "elman/network.hpp"

#include <utility>

#include "kernel_tables.hpp"

namespace elman {

template <class Real>
Network<Real>::Network(Parameters<Real> parameters, Isa isa)
    : parameters_(std::move(parameters)),
      multiply_adds_(parameters_.architecture().multiply_adds()),
      isa_(isa),
      kernels_(&kernel_table(isa).template kernels<Real>()),
      packed_(parameters_.architecture(), *kernels_),
      input_units_{parameters_.find("input_shift"), parameters_.find("input_scale")},
      output_units_{parameters_.find("output_shift"), parameters_.find("output_scale")} {
    packed_.pack(parameters_);
}

template class Network<float>;
template class Network<double>;

}  // namespace elman
