#include "elman/network.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "kernel_tables.hpp"

namespace elman {
namespace {

// Everything packed stands in one arena, each piece a whole number of cache lines.
template <class Real>
Index packed_arena_size(const Architecture& a, const Kernels<Real>& kernels) {
    Index size = 0;
    const auto matrix = [&](Index rows, Index cols) {
        size += padded<Real>(kernels.packed_size(rows, cols));
    };
    const auto vector = [&](Index rows) { size += padded<Real>(rows); };
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const Index rows = a.layers[l].hidden_size;
        matrix(rows, a.layer_input_size(l));
        matrix(rows, rows);
        vector(rows);
    }
    if (a.readout) {
        matrix(a.readout->output_size, a.layers.back().hidden_size);
        vector(a.readout->output_size);
    }
    return size;
}

}  // namespace

template <class Real>
Network<Real>::Network(Parameters<Real> parameters, Isa isa)
    : parameters_(std::move(parameters)),
      multiply_adds_(parameters_.architecture().multiply_adds()),
      isa_(isa),
      kernels_(&kernel_table(isa).template kernels<Real>()) {
    const Architecture& a = architecture();
    // On huge pages: no difference (H = 512: 14.3 us a step, H = 1024: 62 us).
    packed_.resize(static_cast<std::size_t>(packed_arena_size(a, *kernels_)));
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const std::string prefix = "layers." + std::to_string(l) + ".";
        const Index rows = a.layers[l].hidden_size;
        layers_.push_back({pack(parameters_.find(prefix + "W_xh"), rows, a.layer_input_size(l)),
                           pack(parameters_.find(prefix + "W_hh"), rows, rows),
                           pad(parameters_.find(prefix + "b_h"), rows), a.layers[l].activation});
    }
    has_readout_ = a.readout.has_value();
    if (has_readout_) {
        const Index rows = a.readout->output_size;
        readout_ = {pack(parameters_.find("readout.W_hy"), rows, a.layers.back().hidden_size),
                    {},
                    pad(parameters_.find("readout.b_y"), rows),
                    a.readout->activation};
    }
    initial_state_ = parameters_.find("initial_state");
    input_units_ = {parameters_.find("input_shift"), parameters_.find("input_scale")};
    output_units_ = {parameters_.find("output_shift"), parameters_.find("output_scale")};
}

template <class Real>
PackedMatrix<Real> Network<Real>::pack(const Real* matrix, Index rows, Index cols) {
    Real* panels = packed_.data() + packed_size_;
    kernels_->pack(matrix, rows, cols, panels);
    packed_size_ += padded<Real>(kernels_->packed_size(rows, cols));
    return {panels, rows, cols, partial_sums(rows, cols)};
}

template <class Real>
const Real* Network<Real>::pad(const Real* values, Index count) {
    Real* copy = packed_.data() + packed_size_;
    if (values) std::copy_n(values, count, copy);
    packed_size_ += padded<Real>(count);
    return copy;
}

template class Network<float>;
template class Network<double>;

}  // namespace elman
