// network.hpp - an Elman network: its parameters and their packed copy.
//
// Immutable, so any number of threads may use a network at the same time.
#pragma once

#include <vector>

#include "elman/isa.hpp"
#include "elman/packed.hpp"
#include "elman/spare.hpp"

namespace elman {

// Scaling of the inputs: x' = (x - mean) * reciprocal_std. Null: not scaled.
template <class Real>
struct InputScaling {
    const Real* mean;
    const Real* reciprocal_std;
};

// Scaling of the outputs: y = y' * std + mean. Null: not scaled.
template <class Real>
struct OutputScaling {
    const Real* mean;
    const Real* std;

    bool given() const { return mean || std; }
};

// The scaling stored in parameters, which must outlive it. 1 / input_std is rounded once, here.
template <class Real>
class Scaling {
  public:
    // Throws std::invalid_argument for a std that is not above 0 or has no finite reciprocal.
    explicit Scaling(const Parameters<Real>& parameters);

    InputScaling<Real> input() const {
        return {input_mean_, reciprocal_stds_.empty() ? nullptr : reciprocal_stds_.data()};
    }
    OutputScaling<Real> output() const { return output_; }

  private:
    const Real* input_mean_;
    std::vector<Real> reciprocal_stds_;
    OutputScaling<Real> output_;
};

template <class Real>
class Block;
template <class Real>
struct Workspace;

template <class Real>
class Network {
  public:
    // The packed weights of half a layer.
    struct Weights {
        PackedMatrix<Real> W_xh;  // (H, I)
        PackedMatrix<Real> W_hh;  // (H, H)
        const Real* b_h;          // (H,), padded
    };

    // Throws IsaError for an instruction set that this build or this processor does not have, and
    // std::invalid_argument as Scaling does.
    explicit Network(Parameters<Real> parameters, Isa isa = elman::isa());
    // Discard the network if the pause was stopped.
    Network(Parameters<Real> parameters, Isa isa, Pause& pause);
    Network(const Network&) = delete;  // the packed matrices point into their own arena
    Network& operator=(const Network&) = delete;
    ~Network();

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
    const PackedMatrix<Real>& W_hy() const { return W_hy_; }      // (O, H), if there is a readout
    const Real* b_y() const { return b_y_; }                      // (O,), padded
    const Real* initial_state() const { return initial_state_; }  // (state_size,) or null
    InputScaling<Real> input_scaling() const { return scaling_.input(); }
    OutputScaling<Real> output_scaling() const { return scaling_.output(); }

    // The bytes of the packed weights.
    Index bytes() const { return static_cast<Index>(arena_.size() * sizeof(Real)); }

    // The working memory of small calls, kept from one to the next.
    Spare<Workspace<Real>>& workspace() const { return workspace_; }

  private:
    Parameters<Real> parameters_;
    Scaling<Real> scaling_;
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
    mutable Spare<Workspace<Real>> workspace_;
};

extern template class Scaling<float>;
extern template class Scaling<double>;
extern template class Network<float>;
extern template class Network<double>;

}  // namespace elman
