// loss.cpp - the losses of one step: exact where the values are exact, else compared with long
// double; their errors are the derivatives, and NaN propagates.
#include "../src/loss.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"

using elman::Index;

namespace {

constexpr Index kStride = 3;  // of targets

template <class Real>
using Numbers = std::vector<Real>;

// 0, 1, -1, 2, -2 ... times a factor.
template <class Real>
Numbers<Real> numbers(Index size, double factor, Index stride = 1) {
    Numbers<Real> v(static_cast<std::size_t>(size * stride));
    for (Index i = 0; i < size; ++i)
        v[static_cast<std::size_t>(i * stride)] =
            static_cast<Real>(factor * static_cast<double>(i % 2 ? (i + 1) / 2 : -i / 2));
    return v;
}

template <class Real>
bool near(double value, long double expected, double ulps) {
    const long double scale = std::max(std::abs(expected), 1.0L);  // y is also rounded
    return std::abs(value - expected) <=
           ulps * static_cast<long double>(std::numeric_limits<Real>::epsilon()) * scale;
}

template <class Real>
struct Step {
    Numbers<Real> error;
    double loss;
};

template <class Real>
Step<Real> mse(const Numbers<Real>& y, const Numbers<Real>& target, Index stride, double share,
               elman::OutputScaling<Real> scaling = {nullptr, nullptr}) {
    Step<Real> step{Numbers<Real>(y.size()), 0};
    step.loss = elman::squared_error(y.data(), scaling, target.data(), stride,
                                     static_cast<Index>(y.size()), share, step.error.data());
    return step;
}

// Integers, and sizes and shares that are powers of two: every operation is exact.
template <class Real>
void test_a_squared_error_is_exact() {
    for (Index size : {1, 2, 4, 8, 16, 32}) {
        const Numbers<Real> y = numbers<Real>(size, 3);
        for (Index stride : {Index(1), kStride}) {
            const Step<Real> step = mse(y, numbers<Real>(size, 1, stride), stride, 0.5);
            double sum = 0;
            for (std::size_t i = 0; i < y.size(); ++i) {
                const double difference = 2 * static_cast<double>(y[i]) / 3;
                sum += difference * difference;
                check(step.error[i] == difference / static_cast<double>(size),
                      "error of the squared error");
            }
            check(step.loss == sum / (2 * static_cast<double>(size)), "squared error");
        }
    }
}

template <class Real>
void test_scaling_is_part_of_a_squared_error() {
    const Numbers<Real> y{1, -2}, target{4, 5}, mean{1, 2}, std{4, 8};
    const Step<Real> both = mse<Real>(y, target, 1, 1, {mean.data(), std.data()});
    // 4 * 1 + 1 - 4 = 1 and 8 * -2 + 2 - 5 = -19
    check(both.loss == (1 + 361) / 2.0, "loss of scaled outputs");
    check(both.error[0] == 4 && both.error[1] == -19 * 8, "error of scaled outputs");
    const Step<Real> moved = mse<Real>(y, target, 1, 1, {mean.data(), nullptr});
    check(moved.loss == (4 + 25) / 2.0, "loss of shifted outputs");
    check(moved.error[0] == -2 && moved.error[1] == -5, "error of shifted outputs");
}

template <class Real>
void test_a_binary_cross_entropy_is_accurate() {
    for (Index size = 1; size < 20; ++size)
        for (double factor : {0.01, 1.0, 9.0}) {
            const Numbers<Real> z = numbers<Real>(size, factor);
            Numbers<Real> y, target(z.size() * kStride), error(z.size());
            long double sum = 0;
            for (std::size_t i = 0; i < z.size(); ++i) {
                const long double logit = z[i];
                y.push_back(static_cast<Real>(1 / (1 + std::exp(-logit))));
                const Real t = static_cast<Real>(i % 3) / 2;
                target[i * kStride] = t;
                sum += std::max(logit, 0.0L) + std::log1p(std::exp(-std::abs(logit))) - t * logit;
            }
            const double loss = elman::binary_cross_entropy(y.data(), z.data(), target.data(),
                                                            kStride, size, 0.25, error.data());
            const auto count = static_cast<long double>(size);
            check(near<Real>(loss, sum / (4 * count), 4), "binary cross-entropy");
            for (std::size_t i = 0; i < z.size(); ++i)
                check(near<Real>(
                          error[i],
                          (static_cast<long double>(y[i]) - target[i * kStride]) / (4 * count), 2),
                      "error of the binary cross-entropy");
        }
}

template <class Real>
void test_a_cross_entropy_is_accurate() {
    for (Index size = 1; size < 20; ++size)
        for (Index target = 0; target < size; ++target) {
            const Numbers<Real> z = numbers<Real>(size, 3);
            Numbers<Real> y, error(z.size());
            long double sum = 0;
            for (Real logit : z) sum += std::exp(static_cast<long double>(logit));
            for (Real logit : z)
                y.push_back(static_cast<Real>(std::exp(static_cast<long double>(logit)) / sum));
            const double loss =
                elman::cross_entropy(y.data(), z.data(), target, size, 0.5, error.data());
            check(near<Real>(loss, (std::log(sum) - z[static_cast<std::size_t>(target)]) / 2, 4),
                  "cross-entropy");
            for (std::size_t i = 0; i < y.size(); ++i)
                check(error[i] == (y[i] - Real(i == static_cast<std::size_t>(target))) / 2,
                      "error of the cross-entropy");
        }
}

template <class Real>
void test_nan_goes_through() {
    const Real nan = std::numeric_limits<Real>::quiet_NaN();
    for (std::size_t at = 0; at < 6; ++at) {
        Numbers<Real> y(6, Real(0.5)), z(6, Real(0)), target(6, Real(1)), error(6);
        y[at] = nan;
        const Step<Real> step = mse<Real>(y, target, 1, 1);
        check(std::isnan(step.loss) && std::isnan(step.error[at]), "NaN in a squared error");
        z[at] = nan;
        const double bce =
            elman::binary_cross_entropy(y.data(), z.data(), target.data(), 1, 6, 1.0, error.data());
        check(std::isnan(bce) && std::isnan(error[at]), "NaN in a binary cross-entropy");
        y.assign(6, nan);  // as returned by softmax
        const double entropy = elman::cross_entropy(y.data(), z.data(), 2, 6, 1.0, error.data());
        check(std::isnan(entropy) && std::isnan(error[at]), "NaN in a cross-entropy");
    }
}

void test_the_logarithm_is_accurate() {
    for (int exponent = -1022; exponent < 1024; exponent += 3)
        for (int i = 0; i < 64; ++i) {
            const double x = std::ldexp(1 + i / 64.0 + i * 1e-7, exponent);
            const long double expected = std::log(static_cast<long double>(x));
            const double value = elman::logarithm(x);
            const double ulp = std::nextafter(std::abs(value), HUGE_VAL) - std::abs(value);
            check(std::abs(value - expected) <= 2 * static_cast<long double>(ulp),
                  "logarithm of " + std::to_string(x));
        }
    check(elman::logarithm(1) == 0, "logarithm of 1");
}

template <class Real>
void test_all() {
    test_a_squared_error_is_exact<Real>();
    test_scaling_is_part_of_a_squared_error<Real>();
    test_a_binary_cross_entropy_is_accurate<Real>();
    test_a_cross_entropy_is_accurate<Real>();
    test_nan_goes_through<Real>();
}

}  // namespace

int main() {
    test_all<float>();
    test_all<double>();
    test_the_logarithm_is_accurate();
    return failures != 0;
}
