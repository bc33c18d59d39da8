#include "elman/initialization.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "elman/random.hpp"

namespace elman {
namespace {

using Matrix = std::vector<double>;  // row-major

constexpr Index kTile = 4;
constexpr int kSquarings = 24;  // relative error: log(condition) * 2^-kSquarings

double root(Index count) {
    return std::sqrt(static_cast<double>(count));
}

// --- random numbers ---

// Cost of a random number, in multiply-adds: uniform 5 ns, normal 100 ns.
constexpr Index kUniformWork = 64;
constexpr Index kNormalWork = 1024;

// Uniform in [0, 1).
double uniform(Philox& random) {
    return static_cast<double>(random.word() >> 11) * 0x1p-53;
}

// True with probability exp(-p), 0 <= p <= 1: whether the longest run p > u_1 > u_2 > ... of
// uniform random numbers has even length (J. von Neumann, 1951).
bool with_probability_exp_minus(double p, Philox& random) {
    for (bool even = true;; even = !even) {
        const double u = uniform(random);
        if (u >= p) return even;
        p = u;
    }
}

bool all_with_probability_exp_minus(double p, Index count, Philox& random) {
    for (Index i = 0; i < count; ++i)
        if (!with_probability_exp_minus(p, random)) return false;
    return true;
}

// Normal with mean 0 and variance 1 (C. F. F. Karney, "Sampling exactly from the normal
// distribution", ACM TOMS 42, 2016): k + x with density exp(-k^2/2) exp(-x (2k + x) / 2).
double normal(Philox& random) {
    for (;;) {
        Index k = 0;
        while (with_probability_exp_minus(0.5, random)) ++k;
        if (!all_with_probability_exp_minus(0.5, k * (k - 1), random)) continue;
        const double x = uniform(random), twice_k = static_cast<double>(2 * k);
        if (!all_with_probability_exp_minus(x * (twice_k + x) / (twice_k + 2), k + 1, random))
            continue;
        const double size = static_cast<double>(k) + x;
        return random.word() >> 63 ? -size : size;
    }
}

// --- matrices ---

double dot(const double* a, const double* b, Index n) {
    double sums[kTile] = {};
    for (Index i = 0; i < n; ++i) sums[i % kTile] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Makes row `i` of q orthogonal to the rows above it.
void project_out(Matrix& q, Index i, Index n, Pause& pause) {
    double* row = q.data() + i * n;
    for (Index above = 0; above < i && !pause.stopped(); ++above) {
        pause.worked(4 * n);
        const double* other = q.data() + above * n;
        const double share = dot(row, other, n);
        for (Index j = 0; j < n; ++j) row[j] -= share * other[j];
    }
}

// Uniform over the orthogonal matrices: normal rows, orthonormalized by Gram-Schmidt, twice because
// of rounding (F. Mezzadri, Notices of the AMS 54, 2007).
Matrix orthogonal(Index n, Philox& random, Pause& pause) {
    Matrix q(static_cast<std::size_t>(n * n));
    for (double& value : q) {
        if (pause.stopped()) return q;
        value = normal(random);
        pause.worked(kNormalWork);
    }
    for (Index i = 0; i < n && !pause.stopped(); ++i) {
        double* row = q.data() + i * n;
        for (int pass = 0; pass < 2; ++pass) {
            project_out(q, i, n, pause);
            const double length = std::sqrt(dot(row, row, n));
            for (Index j = 0; j < n; ++j) row[j] /= length;
        }
    }
    return q;
}

// Writes a * a to `square`; n is a multiple of kTile.
void multiply_by_itself(const Matrix& a, Index n, Matrix& square, Pause& pause) {
    Matrix columns(static_cast<std::size_t>(n * kTile));
    for (Index j = 0; j < n; j += kTile) {
        for (Index k = 0; k < n; ++k)
            std::copy_n(a.data() + k * n + j, kTile, columns.data() + k * kTile);
        for (Index i = 0; i < n && !pause.stopped(); i += kTile) {
            pause.worked(4 * kTile * kTile * n);
            double sums[kTile][kTile] = {};
            for (Index k = 0; k < n; ++k)
                for (Index r = 0; r < kTile; ++r)
                    for (Index c = 0; c < kTile; ++c)
                        sums[r][c] += a[static_cast<std::size_t>((i + r) * n + k)] *
                                      columns[static_cast<std::size_t>(k * kTile + c)];
            for (Index r = 0; r < kTile; ++r)
                std::copy_n(sums[r], kTile, square.data() + (i + r) * n + j);
        }
    }
}

Matrix reservoir(Index n, const EchoState& settings, Philox& random, Pause& pause) {
    Matrix w(static_cast<std::size_t>(n * n));
    const double rounded = settings.density * static_cast<double>(n) + 0.5;
    const Index connections = std::max<Index>(1, static_cast<Index>(rounded));
    for (Index i = 0; i < n; ++i) {
        Index missing = connections;
        for (Index j = 0; j < n && !pause.stopped(); ++j) {
            pause.worked(kUniformWork);
            if (static_cast<Index>(random.below(static_cast<std::uint64_t>(n - j))) >= missing)
                continue;
            w[static_cast<std::size_t>(i * n + j)] = random.symmetric();
            --missing;
        }
    }
    const double factor = settings.spectral_radius / spectral_radius(w.data(), n, pause);
    for (double& value : w) value *= factor;
    return w;
}

// --- networks ---

// Parameters under construction.
template <class Real>
struct Start {
    Start(Parameters<Real>& of, unsigned long long seed, Pause& asked)
        : parameters(of), random(seed), pause(asked) {
        for (const Tensor& tensor : of.tensors()) tensors.emplace(tensor.name, &tensor);
    }

    Parameters<Real>& parameters;
    Philox random;
    Pause& pause;
    std::unordered_map<std::string, const Tensor*> tensors;  // by name: there may be thousands

    const Architecture& architecture() const { return parameters.architecture(); }

    // Fills the tensor `name`, if there is one, element by element.
    template <class Draw>
    void fill(const std::string& name, Draw draw, Index work = kUniformWork) {
        constexpr Index kAtOnce = 256;
        const auto found = tensors.find(name);
        if (found == tensors.end()) return;
        Real* const values = parameters.data() + found->second->offset;
        const Index size = found->second->size();
        for (Index i = 0; i < size && !pause.stopped();) {
            const Index some = std::min(kAtOnce, size - i);
            for (const Index last = i + some; i < last; ++i) values[i] = static_cast<Real>(draw());
            pause.worked(some * work);
        }
    }
    void fill_within(const std::string& name, double limit) {
        fill(name, [&] { return random.symmetric() * limit; });
    }
    void fill_normal(const std::string& name, double std) {
        fill(name, [&] { return normal(random) * std; }, kNormalWork);
    }
    void fill_zero(const std::string& name) {
        fill(name, [] { return 0.0; });
    }
    void fill_from(const std::string& name, const Matrix& matrix) {
        fill(name, [next = matrix.begin()]() mutable { return *next++; });
    }
};

// Calls draw(prefix of the names, layer) for each half of each layer, from the bottom up.
template <class Draw>
void for_each_half(const Architecture& a, Draw draw) {
    for (std::size_t l = 0; l < a.layers.size(); ++l)
        for (const std::string& prefix : a.prefixes(l)) draw(prefix, l);
}

template <class Real>
void start_readout_uniformly(Start<Real>& to) {
    const double limit = 1.0 / root(to.architecture().layers.back().output_size());
    to.fill_within("readout.W_hy", limit);
    to.fill_within("readout.b_y", limit);
}

template <class Real>
void start_with(Start<Real>& to, const Uniform&) {
    for_each_half(to.architecture(), [&](const std::string& prefix, std::size_t l) {
        const double limit = 1.0 / root(to.architecture().layers[l].hidden_size);
        for (const char* tensor : {"W_xh", "W_hh", "b_h"}) to.fill_within(prefix + tensor, limit);
    });
    start_readout_uniformly(to);
}

template <class Real>
void start_with(Start<Real>& to, const Glorot&) {
    const Architecture& a = to.architecture();
    const auto limit = [](Index rows, Index cols) {
        return std::sqrt(6.0 / static_cast<double>(rows + cols));
    };
    for_each_half(a, [&](const std::string& prefix, std::size_t l) {
        const Index hidden = a.layers[l].hidden_size;
        to.fill_within(prefix + "W_xh", limit(hidden, a.layer_input_size(l)));
        to.fill_from(prefix + "W_hh", orthogonal(hidden, to.random, to.pause));
        to.fill_zero(prefix + "b_h");
    });
    to.fill_within("readout.W_hy", limit(a.output_size(), a.layers.back().output_size()));
    to.fill_zero("readout.b_y");
}

template <class Real>
void start_with(Start<Real>& to, const Identity& settings) {
    for_each_half(to.architecture(), [&](const std::string& prefix, std::size_t l) {
        const Index hidden = to.architecture().layers[l].hidden_size;
        to.fill_normal(prefix + "W_xh", settings.std);
        to.fill(prefix + "W_hh", [&, i = Index{0}]() mutable {
            return i++ % (hidden + 1) == 0 ? settings.scale : 0.0;
        });
        to.fill_zero(prefix + "b_h");
    });
    to.fill_normal("readout.W_hy", settings.std);
    to.fill_zero("readout.b_y");
}

template <class Real>
void start_with(Start<Real>& to, const EchoState& settings) {
    const Architecture& a = to.architecture();
    for_each_half(a, [&](const std::string& prefix, std::size_t l) {
        const double fan_in = l == 0 ? 1.0 : root(a.layer_input_size(l));
        to.fill_within(prefix + "W_xh", settings.input_limit / fan_in);
        to.fill_from(prefix + "W_hh",
                     reservoir(a.layers[l].hidden_size, settings, to.random, to.pause));
        to.fill_within(prefix + "b_h", settings.input_limit);
    });
    start_readout_uniformly(to);
}

void check_start(const Uniform&) {}

void check_start(const Glorot&) {}

void check_start(const Identity& settings) {
    check_not_negative("std", settings.std);
    check_not_negative("scale", settings.scale);
}

void check_start(const EchoState& settings) {
    check_not_negative("spectral_radius", settings.spectral_radius);
    if (!(settings.density > 0 && settings.density <= 1))
        refuse("density", "more than 0 and at most 1", shortest(settings.density));
    check_not_negative("input_limit", settings.input_limit);
}

}  // namespace

double spectral_radius(const double* a, Index n, Pause& pause) {
    const Index padded = (n + kTile - 1) / kTile * kTile;
    Matrix power(static_cast<std::size_t>(padded * padded)), square(power.size());
    for (Index i = 0; i < n; ++i) std::copy_n(a + i * n, n, power.data() + i * padded);
    double radius = 1;
    for (int j = 0; j <= kSquarings && !pause.stopped(); ++j) {
        const double norm = std::sqrt(dot(power.data(), power.data(), padded * padded));
        if (norm == 0) return 0;
        double factor = norm;
        for (int i = 0; i < j; ++i) factor = std::sqrt(factor);
        radius *= factor;
        for (double& value : power) value /= norm;
        multiply_by_itself(power, padded, square, pause);
        power.swap(square);
    }
    return radius;
}

template <class Real>
void initialize(Parameters<Real>& parameters, const Initialization& initialization,
                unsigned long long seed, Pause& pause) {
    std::visit(
        [&](const auto& settings) {
            check_start(settings);
            Start<Real> to(parameters, seed, pause);
            start_with(to, settings);
        },
        initialization);
}

template void initialize(Parameters<float>&, const Initialization&, unsigned long long, Pause&);
template void initialize(Parameters<double>&, const Initialization&, unsigned long long, Pause&);

}  // namespace elman
