// optimizer.hpp - optimizers, as PyTorch defines them (torch.optim).
#pragma once

#include <string>
#include <vector>

#include "elman/aligned.hpp"
#include "elman/pause.hpp"
#include "elman/types.hpp"

namespace elman {

enum class Method { sgd, adam, adamw, rmsprop, adagrad };

// Throws std::invalid_argument for an unknown name.
Method method_from_name(const std::string& name);

struct OptimizerSettings {
    Method method = Method::adam;
    double momentum = 0;  // sgd, rmsprop
    bool nesterov = false;
    double beta1 = 0.9;  // adam, adamw
    double beta2 = 0.999;
    double alpha = 0.99;  // rmsprop
    bool centered = false;
    double epsilon = 1e-8;
    double weight_decay = 0;  // times the weight, added to the gradient; adamw: decoupled
};

// Throws std::invalid_argument unless the momentum, betas and alpha are in [0, 1) and the others
// finite and not negative.
void check(const OptimizerSettings& settings);

// Updates all elements of an arena. Tiny moments, like tiny hidden states, become zero.
template <class Real>
class Optimizer {
  public:
    // More updates than are ever made, and exact as a double. Not an Index, which may have 32 bits.
    static constexpr long long kMostUpdates = 1LL << 53;

    // Discard the optimizer if the pause was stopped.
    Optimizer(OptimizerSettings settings, Index size, Pause& pause);

    void update(Real* parameters, const Real* gradients, double learning_rate);

    Index updates() const { return updates_; }
    const std::vector<AlignedVector<Real>>& moments() const { return moments_; }

    // Continues from moments of the same sizes after `updates` updates.
    void restore(std::vector<AlignedVector<Real>> moments, Index updates) noexcept;

  private:
    void sgd(Real* p, const Real* g, Real rate);
    void adam(Real* p, const Real* g, double rate);
    void rmsprop(Real* p, const Real* g, Real rate);
    void adagrad(Real* p, const Real* g, Real rate);

    OptimizerSettings settings_;
    Index size_;
    Index updates_ = 0;
    std::vector<AlignedVector<Real>> moments_;
};

extern template class Optimizer<float>;
extern template class Optimizer<double>;

}  // namespace elman
