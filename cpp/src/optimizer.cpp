#include "elman/optimizer.hpp"

#include <cmath>
#include <utility>

#include "arenas.hpp"
#include "checks.hpp"

namespace elman {
namespace {

constexpr const char* kMethodNames[] = {"sgd", "adam", "adamw", "rmsprop", "adagrad"};

// Tiny values become zero, as for hidden states, so nothing becomes subnormal.
template <class Real>
Real faded(Real v) {
    constexpr Real limit = sizeof(Real) == 4 ? Real(0x1p-100) : Real(0x1p-900);
    return std::abs(v) < limit ? Real(0) : v;
}

// base^exponent by squaring: the same on every platform.
double integer_power(double base, Index exponent) {
    double result = 1;
    for (; exponent > 0; exponent /= 2, base *= base)
        if (exponent % 2) result *= base;
    return result;
}

std::size_t moments_of(const OptimizerSettings& s) {
    switch (s.method) {
        case Method::sgd:
            return s.momentum != 0 ? 1 : 0;
        case Method::rmsprop:
            return 1u + (s.momentum != 0) + s.centered;
        case Method::adagrad:
            return 1;
        default:
            return 2;
    }
}

void check_share(const char* argument, double value) {
    if (!(value >= 0 && value < 1)) refuse(argument, "a number in [0, 1)", shortest(value));
}

}  // namespace

void check(const OptimizerSettings& settings) {
    check_share("momentum", settings.momentum);
    check_share("beta1", settings.beta1);
    check_share("beta2", settings.beta2);
    check_share("alpha", settings.alpha);
    check_not_negative("epsilon", settings.epsilon);
    check_not_negative("weight_decay", settings.weight_decay);
}

Method method_from_name(const std::string& name) {
    for (int i = 0; i < 5; ++i)
        if (name == kMethodNames[i]) return static_cast<Method>(i);
    refuse("optimizer", "sgd, adam, adamw, rmsprop or adagrad", "'" + name + "'");
}

template <class Real>
Optimizer<Real>::Optimizer(OptimizerSettings settings, Index size, Pause& pause)
    : settings_(settings), size_(size) {
    check(settings);
    for (std::size_t i = 0; i < moments_of(settings); ++i)
        moments_.push_back(zeros<Real>(size, pause));
}

template <class Real>
void Optimizer<Real>::restore(std::vector<AlignedVector<Real>> moments, Index updates) noexcept {
    moments_ = std::move(moments);
    updates_ = updates;
}

template <class Real>
void Optimizer<Real>::update(Real* parameters, const Real* gradients, double learning_rate) {
    ++updates_;
    switch (settings_.method) {
        case Method::sgd:
            return sgd(parameters, gradients, static_cast<Real>(learning_rate));
        case Method::rmsprop:
            return rmsprop(parameters, gradients, static_cast<Real>(learning_rate));
        case Method::adagrad:
            return adagrad(parameters, gradients, static_cast<Real>(learning_rate));
        default:
            return adam(parameters, gradients, learning_rate);
    }
}

// b = momentum b + g;  p = p - rate b   (nesterov: p - rate (g + momentum b))
template <class Real>
void Optimizer<Real>::sgd(Real* p, const Real* g, Real rate) {
    const Real decay = static_cast<Real>(settings_.weight_decay);
    const Real momentum = static_cast<Real>(settings_.momentum);
    if (momentum == 0) {
        for (Index i = 0; i < size_; ++i) p[i] -= rate * (g[i] + decay * p[i]);
        return;
    }
    Real* b = moments_[0].data();
    const Real ahead = settings_.nesterov ? momentum : Real(1);
    const Real direct = settings_.nesterov ? Real(1) : Real(0);
    for (Index i = 0; i < size_; ++i) {
        const Real gradient = g[i] + decay * p[i];
        b[i] = faded(momentum * b[i] + gradient);
        p[i] -= rate * (direct * gradient + ahead * b[i]);
    }
}

// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
// p = p - rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)
template <class Real>
void Optimizer<Real>::adam(Real* p, const Real* g, double rate) {
    const bool decoupled = settings_.method == Method::adamw;
    const Real keep = static_cast<Real>(decoupled ? 1 - rate * settings_.weight_decay : 1);
    const Real decay = static_cast<Real>(decoupled ? 0 : settings_.weight_decay);
    const Real b1 = static_cast<Real>(settings_.beta1), c1 = static_cast<Real>(1 - settings_.beta1);
    const Real b2 = static_cast<Real>(settings_.beta2), c2 = static_cast<Real>(1 - settings_.beta2);
    const Real epsilon = static_cast<Real>(settings_.epsilon);
    const Real step = static_cast<Real>(rate / (1 - integer_power(settings_.beta1, updates_)));
    const Real scale =
        static_cast<Real>(1 / std::sqrt(1 - integer_power(settings_.beta2, updates_)));
    Real* m = moments_[0].data();
    Real* v = moments_[1].data();
    for (Index i = 0; i < size_; ++i) {
        const Real gradient = g[i] + decay * p[i];
        m[i] = faded(b1 * m[i] + c1 * gradient);
        v[i] = faded(b2 * v[i] + c2 * gradient * gradient);
        p[i] = keep * p[i] - step * (m[i] / (std::sqrt(v[i]) * scale + epsilon));
    }
}

// v = alpha v + (1 - alpha) g^2;  r = g / (sqrt(v) + epsilon)   (centered: v - mean(g)^2)
// p = p - rate r                   (momentum: b = momentum b + r;  p = p - rate b)
template <class Real>
void Optimizer<Real>::rmsprop(Real* p, const Real* g, Real rate) {
    const Real decay = static_cast<Real>(settings_.weight_decay);
    const Real alpha = static_cast<Real>(settings_.alpha);
    const Real beta = static_cast<Real>(1 - settings_.alpha);
    const Real epsilon = static_cast<Real>(settings_.epsilon);
    const Real momentum = static_cast<Real>(settings_.momentum);
    Real* v = moments_[0].data();
    Real* b = momentum != 0 ? moments_[1].data() : nullptr;
    Real* mean = settings_.centered ? moments_.back().data() : nullptr;
    for (Index i = 0; i < size_; ++i) {
        const Real gradient = g[i] + decay * p[i];
        v[i] = faded(alpha * v[i] + beta * gradient * gradient);
        Real variance = v[i];
        if (mean) {
            mean[i] = faded(alpha * mean[i] + beta * gradient);
            variance -= mean[i] * mean[i];
            if (variance < 0) variance = 0;  // NaN stays NaN
        }
        Real direction = gradient / (std::sqrt(variance) + epsilon);
        if (b) direction = b[i] = faded(momentum * b[i] + direction);
        p[i] -= rate * direction;
    }
}

// s = s + g^2;  p = p - rate g / (sqrt(s) + epsilon)
template <class Real>
void Optimizer<Real>::adagrad(Real* p, const Real* g, Real rate) {
    const Real decay = static_cast<Real>(settings_.weight_decay);
    const Real epsilon = static_cast<Real>(settings_.epsilon);
    Real* s = moments_[0].data();
    for (Index i = 0; i < size_; ++i) {
        const Real gradient = g[i] + decay * p[i];
        s[i] = faded(s[i] + gradient * gradient);
        p[i] -= rate * (gradient / (std::sqrt(s[i]) + epsilon));
    }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace elman
