#include "elman/network.hpp"

#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "arenas.hpp"
#include "checks.hpp"
#include "kernel_tables.hpp"
#include "workspace.hpp"

namespace elman {
namespace {

// Zeros for the packed weights. Panels are whole vectors, so a matrix with few rows takes up to 16
// times the memory of its elements: a small file must not require a large machine. docs/files.md
// promises these limits.
template <class Real>
AlignedVector<Real> arena_of(const Layout<Real>& layout, const Parameters<Real>& parameters,
                             Pause& pause) {
    constexpr Index numbers_of_64_MiB = (Index(1) << 26) / Index(sizeof(Real));
    if (layout.size() > numbers_of_64_MiB && layout.size() / 4 > parameters.size())
        throw std::length_error(
            "network: expected packed weights of at most 4 times the bytes of its parameters, "
            "got " +
            std::to_string(layout.size() * Index(sizeof(Real))) + " bytes for " +
            std::to_string(parameters.size()) + " parameters in matrices with few rows");
    return zeros<Real>(layout.size(), pause);
}

// std above 0, with a finite reciprocal.
template <class Real>
void check_std(const Parameters<Real>& parameters, const std::string& name, Index size) {
    const Real* stds = parameters.find(name);
    for (Index i = 0; stds && i < size; ++i) {
        const Real value = stds[i];
        if (value > 0 && std::isfinite(value) && std::isfinite(1 / value)) continue;
        const bool small = value >= 0 && value < 1;
        refuse(name + "[" + std::to_string(i) + "]",
               !std::isfinite(value) ? "a finite number above 0"
               : small && value > 0  ? "a number with a finite reciprocal"
                                     : "a number above 0",
               shortest(value) + (small ? "; use 1 for a constant column" : ""));
    }
}

}  // namespace

template <class Real>
Scaling<Real>::Scaling(const Parameters<Real>& parameters)
    : input_mean_(parameters.find("input_mean")),
      output_{parameters.find("output_mean"), parameters.find("output_std")} {
    const Architecture& a = parameters.architecture();
    check_std(parameters, "input_std", a.input_size);
    check_std(parameters, "output_std", a.output_size());
    if (const Real* stds = parameters.find("input_std"))
        for (Index i = 0; i < a.input_size; ++i) reciprocal_stds_.push_back(1 / stds[i]);
}

template <class Real>
Network<Real>::Network(Parameters<Real> parameters, Isa isa)
    : Network(std::move(parameters), isa, *std::make_unique<Pause>()) {}

template <class Real>
Network<Real>::Network(Parameters<Real> parameters, Isa isa, Pause& pause)
    : parameters_(std::move(parameters)),
      scaling_(parameters_),
      input_size_(parameters_.architecture().input_size),
      output_size_(parameters_.architecture().output_size()),
      state_size_(parameters_.architecture().state_size()),
      multiply_adds_(parameters_.architecture().multiply_adds()),
      isa_(isa),
      kernels_(&kernel_table(isa).template kernels<Real>()),
      layout_(parameters_.architecture(), *kernels_),
      // On huge pages: no difference (H = 512: 14.3 us a step, H = 1024: 62 us).
      arena_(arena_of(layout_, parameters_, pause)) {
    layout_.pack(parameters_, arena_.data(), pause);
    for (const Half& half : layout_.halves())
        weights_.push_back(
            {layout_.W_xh(half, arena()), layout_.W_hh(half, arena()), arena() + half.b_h});
    if (const Readout* readout = layout_.readout()) {
        W_hy_ = layout_.W_hy(arena());
        b_y_ = arena() + readout->b_y;
    }
    if (layout_.initial_state()) initial_state_ = arena() + *layout_.initial_state();
}

template <class Real>
Network<Real>::~Network() = default;

template class Scaling<float>;
template class Scaling<double>;
template class Network<float>;
template class Network<double>;

}  // namespace elman
