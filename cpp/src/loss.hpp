// loss.hpp - the losses of one step and their derivatives.
//
//   mse             l = sum (y_i - t_i)^2 / O                 dl/dy_i = 2 (y_i - t_i) / O
//   bce             l = sum (softplus(z_i) - t_i z_i) / O     dl/dz_i = (y_i - t_i) / O
//   cross_entropy   l = log(sum exp(z_i)) - z_c               dl/dz_i = y_i - [i = c]
//
// for O outputs y = g(z), targets t and a class c; g is sigmoid for bce and softmax for
// cross_entropy, also if the readout's is log_softmax. Each function returns share * l, computed in
// double, and writes share * dl as the error; share is the weight of the step in the loss of a
// batch.
//
// Sums over outputs use four partial sums by index mod 4, added as (0 + 1) + (2 + 3).
#pragma once

#include <algorithm>
#include <type_traits>

#include "elman/views.hpp"
#include "logarithm.hpp"
#include "scaling.hpp"

namespace elman {

// The sum of (y - target)^2; error = factor (y - target). `error` may be `y`.
template <class Real, class Target>  // target(i)
double add_squares(const Real* y, Target target, Index size, Real factor, Real* error) {
    constexpr Index kSums = 4;
    const auto square = [](double v) { return v * v; };
    double sum[kSums] = {};
    Index i = 0;
    for (; i + kSums <= size; i += kSums) {
        Real difference[kSums];
        for (Index k = 0; k < kSums; ++k) difference[k] = y[i + k] - target(i + k);
        for (Index k = 0; k < kSums; ++k) sum[k] += square(difference[k]);
        for (Index k = 0; k < kSums; ++k) error[i + k] = factor * difference[k];
    }
    for (Index k = 0; k < kSums - 1; ++k) {
        if (i + k >= size) continue;
        const Real difference = y[i + k] - target(i + k);
        sum[k] += square(difference);
        error[i + k] = factor * difference;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Squared errors of `steps` steps of one sequence, in the scale of the targets: y (O,) and error
// (O,) of each step, which may be the same columns, the rows of targets from `target`, and a loss
// at the stride.
template <class Real>
void squared_errors(Columns<const Real> y, const Real* target, const Rows<const Real>& targets,
                    Columns<Real> error, Index size, double share, double* losses,
                    Index loss_stride, Index steps) {
    const double each = share / static_cast<double>(size);
    const Real factor = static_cast<Real>(2 * each);
    const auto for_each = [&](auto stride) {
        for (Index t = 0; t < steps; ++t) {
            const Real* row = target + t * targets.step_stride;
            losses[t * loss_stride] =
                each * add_squares(
                           y.column(t), [=](Index i) { return row[i * stride]; }, size, factor,
                           error.column(t));
        }
    };
    if (targets.stride == 1)  // so that this case is vectorized
        for_each(std::integral_constant<Index, 1>());
    else
        for_each(targets.stride);
}

// y (O,) before scaling, target (O,) in the user's scale; the error is dl/dy.
template <class Real>
double squared_error(const Real* y, const OutputScaling<Real>& scaling, const Real* target,
                     Index target_stride, Index size, double share, Real* error) {
    if (scaling.given()) {
        for (Index i = 0; i < size; ++i) error[i] = scaled_output(scaling, y[i], i);
        y = error;
    }
    double loss = 0;
    squared_errors<Real>({y, 0}, target, {target, 0, target_stride}, {error, 0}, size, share, &loss,
                         0, 1);
    if (scaling.std)
        for (Index i = 0; i < size; ++i) error[i] *= scaling.std[i];
    return loss;
}

// y = sigmoid(z), (O,) each, target (O,) from 0 to 1; the error is dl/dz.
//
// softplus(z) is max(z, 0) - log(max(y, 1 - y)), which is accurate for any z.
template <class Real>
double binary_cross_entropy(const Real* y, const Real* z, const Real* target, Index target_stride,
                            Index size, double share, Real* error) {
    const double each = share / static_cast<double>(size);
    const Real factor = static_cast<Real>(each);
    double sum[4] = {};
    for (Index i = 0; i < size; ++i) {
        const double z_i = z[i], t = target[i * target_stride], p = y[i];
        sum[i % 4] += std::max(z_i, 0.0) - t * z_i - logarithm(std::max(p, 1 - p));
        error[i] = factor * (y[i] - target[i * target_stride]);
    }
    return each * ((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// y = softmax(z), (O,) each, and a class 0 ... O-1; the error is dl/dz.
//
// log(sum exp(z_i)) is the largest z minus the log of its y.
template <class Real>
double cross_entropy(const Real* y, const Real* z, Index target, Index size, double share,
                     Real* error) {
    const double largest = *std::max_element(z, z + size);
    const double gap = largest - static_cast<double>(z[target]);
    const Real factor = static_cast<Real>(share);
    for (Index i = 0; i < size; ++i) error[i] = factor * (y[i] - Real(i == target));
    return share * (gap - logarithm(*std::max_element(y, y + size)));
}

}  // namespace elman
