#include "elman/activation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "checks.hpp"
#include "elman/aligned.hpp"
#include "kernel_tables.hpp"

namespace elman {
namespace {

constexpr double kNone = 0, kNeeded = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct About {
    const char* name;
    bool has_alpha, has_beta;
    double alpha, beta;  // by default
};

constexpr About kAbout[] = {
    // in the order of Function
    {"identity", false, false, kNone, kNone},      {"relu", false, false, kNone, kNone},
    {"tanh", false, false, kNone, kNone},          {"sigmoid", false, false, kNone, kNone},
    {"leaky_relu", true, false, 0.01, kNone},      {"elu", true, false, 1, kNone},
    {"thresholded_relu", true, false, 1, kNone},   {"hard_sigmoid", true, true, 0.2, 0.5},
    {"softsign", false, false, kNone, kNone},      {"softplus", false, false, kNone, kNone},
    {"scaled_tanh", true, true, kNeeded, kNeeded}, {"affine", true, true, kNeeded, kNeeded},
    {"softmax", false, false, kNone, kNone},       {"log_softmax", false, false, kNone, kNone},
};
constexpr int kFunctions = sizeof kAbout / sizeof kAbout[0];

const About& about(Function function) {
    return kAbout[static_cast<int>(function)];
}

// Lower case, without word separators.
std::string plain(const std::string& name) {
    std::string plain;
    for (const char c : name)
        if (c != '_' && c != '-' && c != ' ')
            plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return plain;
}

// The remedy for a name used by other libraries, for the end of an error; empty if unknown.
std::string remedy(const std::string& name) {
    const std::string other = plain(name);
    const char* meant = other == "linear" || other == "none" ? "identity"
                        : other == "logistic"                ? "sigmoid"
                                                             : nullptr;
    for (const About& f : kAbout)
        if (other == plain(f.name)) meant = f.name;
    return meant ? std::string(": use '") + meant + "'" : "";
}

// "alpha", or "activation of layer 0, alpha".
std::string number_of(const std::string& argument, const char* number) {
    return argument.empty() ? number : argument + ", " + number;
}

// The given parameter, or the default.
double number(std::optional<double> given, bool has, double otherwise, const std::string& name,
              const std::string& argument, const char* which) {
    if (!has && given) refuse(number_of(argument, which), "none for " + name, shortest(*given));
    if (has && !given && std::isnan(otherwise))
        refuse(number_of(argument, which), "a number for " + name, "none");
    if (given && !std::isfinite(*given))
        refuse(number_of(argument, which), "a finite number", shortest(*given));
    return given ? *given : otherwise;
}

// a * v, where v may be infinite: 0 times anything is 0.
double times(double a, double v) {
    return a == 0 ? 0 : a * v;
}

// f(v) without its clip, where v may be infinite.
double value(const Activation& f, double v) {
    switch (f.function) {
        case Function::identity:
            return v;
        case Function::relu:
            return std::max(0.0, v);
        case Function::tanh:
            return std::tanh(v);
        case Function::sigmoid:
            return 1 / (1 + std::exp(-v));
        case Function::leaky_relu:
            return v < 0 ? times(f.alpha, v) : v;
        case Function::elu:
            return v < 0 ? f.alpha * std::expm1(v) : v;
        case Function::thresholded_relu:
            return v > f.alpha ? v : 0;
        case Function::hard_sigmoid:
            return std::clamp(times(f.alpha, v) + f.beta, 0.0, 1.0);
        case Function::softsign:
            return std::isinf(v) ? std::copysign(1.0, v) : v / (1 + std::abs(v));
        case Function::softplus:
            return v > 0 ? v + std::log1p(std::exp(-v)) : std::log1p(std::exp(v));
        case Function::scaled_tanh:
            return f.alpha * std::tanh(times(f.beta, v));
        case Function::affine:
            return times(f.alpha, v) + f.beta;
        case Function::softmax:
            return v > 0 ? 1 : 0;
        case Function::log_softmax:
            return std::min(v, 0.0);
    }
    return v;
}

}  // namespace

Activation::Activation(Function of)
    : function(of), alpha(about(of).alpha), beta(about(of).beta), clip(kInfinity) {}

bool operator==(const Activation& a, const Activation& b) {
    return a.function == b.function && a.alpha == b.alpha && a.beta == b.beta && a.clip == b.clip;
}

const char* name(Function function) noexcept {
    return about(function).name;
}

bool has_alpha(Function function) noexcept {
    return about(function).has_alpha;
}

bool has_beta(Function function) noexcept {
    return about(function).has_beta;
}

bool has_clip(const Activation& activation) noexcept {
    return activation.clip != kInfinity;
}

std::string text(const Activation& a) {
    std::string numbers;
    const auto add = [&](bool has, const char* which, double value) {
        if (has) numbers += (numbers.empty() ? "" : ", ") + std::string(which) + shortest(value);
    };
    add(has_alpha(a.function), "alpha=", a.alpha);
    add(has_beta(a.function), "beta=", a.beta);
    add(has_clip(a), "clip=", a.clip);
    return numbers.empty() ? name(a.function) : name(a.function) + ("(" + numbers + ")");
}

Activation activation_from_name(const std::string& name, std::optional<double> alpha,
                                std::optional<double> beta, std::optional<double> clip,
                                const std::string& argument) {
    std::string names;
    for (int i = 0; i < kFunctions; ++i) {
        names += std::string(i == 0 ? "" : i == kFunctions - 1 ? " or " : ", ") + kAbout[i].name;
        if (name != kAbout[i].name) continue;
        const About& f = kAbout[i];
        Activation activation = static_cast<Function>(i);
        activation.alpha = number(alpha, f.has_alpha, f.alpha, name, argument, "alpha");
        activation.beta = number(beta, f.has_beta, f.beta, name, argument, "beta");
        activation.clip =
            number(clip, is_elementwise(activation.function), kInfinity, name, argument, "clip");
        if (!(activation.clip > 0))
            refuse(number_of(argument, "clip"), "a number above 0", shortest(activation.clip));
        return activation;
    }
    refuse(argument.empty() ? "name" : argument, names, "'" + name + "'" + remedy(name));
}

// All activations are monotone, except three that bend or jump at 0 for a negative alpha: so the
// ends and 0 give the range.
Range range_of(const Activation& f) {
    const double ends[] = {value(f, -f.clip), value(f, 0), value(f, f.clip)};
    return {*std::min_element(ends, ends + 3), *std::max_element(ends, ends + 3)};
}

template <class Real>
void check_numbers(const Activation& a, const std::string& argument) {
    const auto finite = [&](const char* which, double value) {
        if (!std::isfinite(static_cast<Real>(value)))
            refuse(number_of(argument, which), "a finite number in the network's dtype",
                   shortest(value));
    };
    finite("alpha", a.alpha);
    finite("beta", a.beta);
    if (!has_clip(a)) return;
    finite("clip", a.clip);
    if (!(static_cast<Real>(a.clip) > 0))
        refuse(number_of(argument, "clip"), "a number above 0 in the network's dtype",
               shortest(a.clip));
}

void check_trainable(const Activation& a, const std::string& argument) {
    const bool bent = a.function == Function::leaky_relu || a.function == Function::elu ||
                      a.function == Function::thresholded_relu;
    if (bent && a.alpha < 0)
        refuse(number_of(argument, "alpha"), "a number of at least 0 for training",
               shortest(a.alpha) + ": the derivative of " + name(a.function) +
                   " does not follow from its value");
}

template <class Real>
void apply_activation(const Activation& f, const Real* x, Real* y, Index count) {
    if (!is_elementwise(f.function))
        refuse("activation", "an elementwise function", std::string("'") + name(f.function) + "'");
    check_at_least("count", 0, count);
    AlignedVector<Real> values(static_cast<std::size_t>(padded<Real>(count)));
    std::copy_n(x, count, values.begin());
    kernel_table(isa()).kernels<Real>().apply(f, false, {values.data(), 0}, count, 1);
    std::copy_n(values.begin(), count, y);
}

template void check_numbers<float>(const Activation&, const std::string&);
template void check_numbers<double>(const Activation&, const std::string&);
template void apply_activation(const Activation&, const float*, float*, Index);
template void apply_activation(const Activation&, const double*, double*, Index);

}  // namespace elman
