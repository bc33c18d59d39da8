// packed.hpp - all weights of a network, packed for the kernels of one instruction set.
//
// One arena, each piece a whole number of cache lines: the matrices in panels, the vectors padded
// with zeros. Gradients and an optimizer's moments lie in arenas of the same order, so that what is
// done to each number needs no names; padding stays zero under it.
#pragma once

#include <optional>
#include <vector>

#include "elman/parameters.hpp"

namespace elman {

template <class Real>
struct Kernels;  // the functions of one instruction set: src/kernels/table.hpp

template <class Real>
class PackedParameters {
  public:
    struct Layer {
        PackedMatrix<Real> input;      // W_xh; W_hy of the readout
        PackedMatrix<Real> recurrent;  // W_hh; none in the readout
        const Real* bias;              // b_h, padded with zeros; zeros where there is none
        bool has_bias;
        Activation activation;
    };

    PackedParameters(const Architecture& architecture, const Kernels<Real>& kernels);  // zeros
    PackedParameters(const PackedParameters&) = delete;  // its pieces point into its arena
    PackedParameters& operator=(const PackedParameters&) = delete;

    void pack(const Parameters<Real>& parameters);

    // From `arena`, which is this one or one of the same order. Units are left as they are.
    void unpack(const Real* arena, Parameters<Real>& parameters) const;

    const std::vector<Layer>& layers() const { return layers_; }
    const Layer* reverse(std::size_t layer) const {  // the second half of a bidirectional layer
        return reverses_[layer] ? &*reverses_[layer] : nullptr;
    }
    const Layer* readout() const { return readout_ ? &*readout_ : nullptr; }
    const Real* initial_state() const { return initial_state_; }  // (state_size,) or null

    Index size() const { return static_cast<Index>(arena_.size()); }
    Real* data() { return arena_.data(); }
    const Real* data() const { return arena_.data(); }
    Index offset(const Real* piece) const { return piece - arena_.data(); }

  private:
    template <class MatrixWork, class VectorWork>
    void for_each_tensor(const Parameters<Real>& parameters, MatrixWork matrix,
                         VectorWork vector) const;

    void lay_out(const Architecture& architecture);

    const Kernels<Real>& kernels_;
    AlignedVector<Real> arena_;
    Index laid_out_ = 0;  // so many numbers of it
    std::vector<Layer> layers_;
    std::vector<std::optional<Layer>> reverses_;
    std::optional<Layer> readout_;
    const Real* initial_state_ = nullptr;
};

extern template class PackedParameters<float>;
extern template class PackedParameters<double>;

}  // namespace elman
