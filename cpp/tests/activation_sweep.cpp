// activation_sweep.cpp - checks activation functions over all floats.
//
//   activation_sweep <function> <stride> <instruction set> ...
//
// Checks every activation, fade, exp and the softmax and log_softmax of (0, x), which are the
// sigmoid of x and its logarithm. Functions with parameters are swept with selected values, and
// clip with the simplest function. exp is tested through the softmax of (0, x) where that equals
// exp(x), x <= -18: every argument of its polynomial occurs there. A stride of k takes every k-th
// float. The exit code is 1 if any check fails.
//
// On the first of the sets with a fused multiply-add, and on every set without: the largest error
// in ulp; the range; monotonicity from one float to the next; oddness; NaN for NaN and for nothing
// else. On the other sets with a fused multiply-add: the bits of the first, for every argument,
// from which the rest follows. On all sets: the special values.
//
// Errors are in units of the spacing of floats at the exact value, subnormals included. The exact
// value is that of the C library in double, once for all sets: within 2^-27 ulp of a float.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "elman/isa.hpp"
#include "kernel_tables.hpp"

namespace {

using elman::Function;
using elman::Index;
using elman::Isa;
using Kernels = elman::Kernels<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Index kBlock = 2048;

struct alignas(64) Block {
    float values[kBlock];
};

enum class Shape { any, increasing, odd };  // odd: also increasing

struct Range {
    float low, high;
};

struct Case {
    std::string name;
    std::function<void(const Kernels&, Block&)> apply;
    double (*exact)(double);
    double worst_ulp;  // allowed; relative to the largest term if the function is a sum
    Range range;
    Shape shape;
    std::vector<std::pair<float, float>> special;
    double (*largest_term)(double) = nullptr;
};

struct Report {
    double worst_ulp = 0;
    float worst_at = 0;
    std::int64_t decreases = 0, out_of_range = 0, not_odd = 0, wrong_nan = 0, wrong_special = 0;
    std::int64_t other_bits = 0;  // than on the set that this one is compared with

    void add(const Report& other) {
        if (other.worst_ulp > worst_ulp) {
            worst_ulp = other.worst_ulp;
            worst_at = other.worst_at;
        }
        decreases += other.decreases;
        out_of_range += other.out_of_range;
        not_odd += other.not_odd;
        wrong_nan += other.wrong_nan;
        wrong_special += other.wrong_special;
        other_bits += other.other_bits;
    }
};

// The results of a set for a block of arguments x and for -x, and what was found so far.
struct Results {
    Block up, down;
    float above = NAN, below = NAN;  // the last ones of the block before; NaN: none yet
    Report report;
};

// The same for the exact values.
struct Exact {
    double up[kBlock], down[kBlock];
};

std::uint32_t to_bits(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// The spacing of floats in the binade of a value.
double ulp(double value) {
    constexpr double smallest_normal = 0x1p-126;
    const double size = std::fabs(value) < smallest_normal ? smallest_normal : std::fabs(value);
    std::uint64_t bits;
    std::memcpy(&bits, &size, sizeof bits);
    bits = (bits >> 52 << 52) - (std::uint64_t{23} << 52);
    double spacing;
    std::memcpy(&spacing, &bits, sizeof spacing);
    return spacing;
}

void check_value(const Case& f, float x, float y, double exact, Report& report) {
    if (std::isnan(exact) || std::isnan(y)) {
        report.wrong_nan += std::isnan(exact) != std::isnan(y);
        return;
    }
    report.out_of_range += !(f.range.low <= y && y <= f.range.high);
    const double size = f.largest_term ? std::max(f.largest_term(x), std::fabs(exact)) : exact;
    const bool overflows = std::isinf(y) && y == static_cast<float>(exact);
    const double error = y == exact || overflows ? 0 : std::fabs(y - exact) / ulp(size);
    if (error > report.worst_ulp) {
        report.worst_ulp = error;
        report.worst_at = x;
    }
}

void judge(const Case& f, const Block& arguments, const Exact& exact, Index count, Results& r) {
    for (Index i = 0; i < count; ++i) {
        const float x = arguments.values[i], up = r.up.values[i], down = r.down.values[i];
        check_value(f, x, up, exact.up[i], r.report);
        check_value(f, -x, down, exact.down[i], r.report);
        r.report.decreases +=
            f.shape != Shape::any && (up < r.above || down > r.below || up < down);
        r.report.not_odd +=
            f.shape == Shape::odd && !std::isnan(x) && to_bits(up) != to_bits(-down);
        r.above = up;
        r.below = down;
    }
}

// The set that a set is compared with: the first with a fused multiply-add, or else itself.
std::size_t model_of(const std::vector<Isa>& sets, std::size_t s) {
    if (!fused(sets[s])) return s;
    return static_cast<std::size_t>(std::find_if(sets.begin(), sets.end(), elman::fused) -
                                    sets.begin());
}

// All NaNs count as the same value.
std::int64_t differences(const Block& a, const Block& b, Index count) {
    std::int64_t different = 0;
    for (Index i = 0; i < count; ++i) {
        const float x = a.values[i], y = b.values[i];
        different += to_bits(x) != to_bits(y) && !(std::isnan(x) && std::isnan(y));
    }
    return different;
}

// A block of positive arguments and their negatives, on all sets.
void sweep_block(const Case& f, const std::vector<Isa>& sets, const Block& x, Index count,
                 std::vector<Results>& results) {
    Block minus_x;
    Exact exact;
    for (Index i = 0; i < kBlock; ++i) minus_x.values[i] = -x.values[i];
    for (Index i = 0; i < count; ++i) {
        exact.up[i] = f.exact(x.values[i]);
        exact.down[i] = f.exact(minus_x.values[i]);
    }
    for (std::size_t s = 0; s < sets.size(); ++s) {
        Results& r = results[s];
        const Kernels& kernels = elman::kernel_table(sets[s]).float32;
        r.up = x;
        r.down = minus_x;
        f.apply(kernels, r.up);
        f.apply(kernels, r.down);
        const Results& model = results[model_of(sets, s)];
        if (&model == &r) {
            judge(f, x, exact, count, r);
        } else {
            r.report.other_bits += differences(r.up, model.up, count);
            r.report.other_bits += differences(r.down, model.down, count);
        }
    }
}

// The floats with the bits first, first + stride, ... up to last, and their negatives.
std::vector<Results> sweep(const Case& f, const std::vector<Isa>& sets, std::uint32_t first,
                           std::uint32_t last, std::uint32_t stride) {
    std::vector<Results> results(sets.size());
    Block x;
    for (std::uint64_t start = first; start <= last; start += kBlock * stride) {
        for (Index i = 0; i < kBlock; ++i) {
            x.values[i] = from_bits(
                static_cast<std::uint32_t>(start + static_cast<std::uint64_t>(i) * stride));
        }
        const auto left = static_cast<Index>((last - start) / stride + 1);
        sweep_block(f, sets, x, std::min(kBlock, left), results);
    }
    return results;
}

std::int64_t wrong_special_values(const Case& f, const Kernels& kernels) {
    std::int64_t wrong = 0;
    for (const auto& [x, y] : f.special) {
        Block block = {};
        block.values[0] = x;
        f.apply(kernels, block);
        wrong += to_bits(block.values[0]) != to_bits(y);
    }
    return wrong;
}

// Two threads, half of the bit patterns each; the pattern where the halves meet is in both.
std::vector<Report> sweep_all(const Case& f, const std::vector<Isa>& sets, std::uint32_t stride) {
    constexpr std::uint32_t last = 0x7fffffff;
    const std::uint32_t middle = last / 2 / stride * stride;
    std::vector<Results> lower, upper;
    std::thread thread([&] { upper = sweep(f, sets, middle, last, stride); });
    lower = sweep(f, sets, 0, middle, stride);
    thread.join();
    std::vector<Report> reports;
    for (std::size_t s = 0; s < sets.size(); ++s) {
        Report& report = reports.emplace_back(lower[s].report);
        report.add(upper[s].report);
        report.wrong_special = wrong_special_values(f, elman::kernel_table(sets[s]).float32);
    }
    return reports;
}

double exact_tanh(double x) {
    return std::tanh(x);
}

double exact_relu(double x) {
    return x < 0 ? 0 : x;
}

double exact_fade(double x) {
    return std::fabs(x) < 0x1p-100 ? 0 : x;
}

// e^-|x|. Beyond 700 it is below 2^-800 ulp of a float, and an underflow would take long.
double decay(double x) {
    return std::exp(-std::min(std::fabs(x), 700.0));
}

double exact_sigmoid(double x) {
    const double e = decay(x);
    return std::isnan(x) ? x : (x < 0 ? e : 1) / (1 + e);
}

constexpr float kExpHighest = -18;  // 1 + exp(-18) is 1

double exact_exp(double x) {
    return std::exp(x > kExpHighest ? kExpHighest : x);
}

double exact_softmax(double x) {
    return std::isinf(x) && x > 0 ? NAN : exact_sigmoid(x);
}

// The parameters of the activations, as rounded by the kernels.
constexpr float kLeak = 0.01f, kElu = 1.75f, kThreshold = 1, kSlope = 0.2f, kMiddle = 0.5f;
constexpr float kTanhSize = 1.7159f, kTanhSlope = 2.0f / 3, kGain = -1.5f, kOffset = 0.7f;
constexpr float kClip = 0.75f;

double exact_leaky_relu(double x) {
    return x < 0 ? kLeak * x : x;
}

double exact_expm1(double x) {
    return x < 0 ? std::expm1(x) : x;
}

double exact_elu(double x) {
    return x < 0 ? kElu * std::expm1(x) : x;
}

double exact_thresholded_relu(double x) {
    return x <= kThreshold ? 0 : x;
}

double exact_hard_sigmoid(double x) {
    const double line = double{kSlope} * x + kMiddle;
    return line < 0 ? 0 : line > 1 ? 1 : line;
}

double slope_term(double x) {
    return std::fabs(x) < 10 ? kSlope * std::fabs(x) : 0;
}

double exact_softsign(double x) {
    return std::isinf(x) ? std::copysign(1, x) : x / (1 + std::fabs(x));
}

double exact_softplus(double x) {
    return (x > 0 ? x : 0) + std::log1p(decay(x));
}

double exact_log_softmax(double x) {
    return std::isinf(x) && x > 0 ? NAN : -exact_softplus(-x);
}

double exact_scaled_tanh(double x) {
    return kTanhSize * std::tanh(kTanhSlope * x);
}

double exact_affine(double x) {
    return double{kGain} * x + kOffset;
}

double gain_term(double x) {
    return std::fabs(kGain * x);
}

double exact_clip(double x) {
    return x < -kClip ? -kClip : x > kClip ? kClip : x;
}

std::vector<Case> cases() {
    const auto elementwise = [](Function function, bool faded = false) {
        return [function, faded](const Kernels& kernels, Block& block) {
            kernels.apply(function, faded, {block.values, 0}, kBlock, 1);
        };
    };
    const auto general = [](Function function, double alpha = 0, double beta = 0,
                            double clip = INFINITY) {
        elman::Activation activation = function;
        activation.alpha = alpha;
        activation.beta = beta;
        activation.clip = clip;
        return [activation](const Kernels& kernels, Block& block) {
            kernels.apply(activation, false, {block.values, 0}, kBlock, 1);
        };
    };
    const auto with_zero = [](Function function, const Kernels& kernels, Block& block) {
        constexpr Index stride = 16;
        static thread_local Block columns[stride];
        float* data = columns[0].values;
        for (Index i = 0; i < kBlock; ++i) {
            data[i * stride] = 0;
            data[i * stride + 1] = block.values[i];
        }
        kernels.softmax(function, {data, stride}, 2, kBlock);
        for (Index i = 0; i < kBlock; ++i) block.values[i] = data[i * stride + 1];
    };
    const auto exp = [with_zero](const Kernels& kernels, Block& block) {
        for (float& x : block.values) x = x > kExpHighest ? kExpHighest : x;
        with_zero(Function::softmax, kernels, block);
    };
    const float inf = kInfinity;
    return {
        {"tanh",
         elementwise(Function::tanh),
         exact_tanh,
         1.25,
         {-1, 1},
         Shape::odd,
         {{0.0f, 0.0f}, {-0.0f, -0.0f}, {inf, 1.0f}, {-inf, -1.0f}}},
        {"sigmoid",
         elementwise(Function::sigmoid),
         exact_sigmoid,
         1.75,
         {0, 1},
         Shape::increasing,
         {{0.0f, 0.5f}, {-0.0f, 0.5f}, {inf, 1.0f}, {-inf, 0.0f}}},
        {"relu",
         elementwise(Function::relu),
         exact_relu,
         0,
         {0, inf},
         Shape::increasing,
         {{0.0f, 0.0f}, {-0.0f, -0.0f}, {inf, inf}, {-inf, 0.0f}}},
        {"fade",
         elementwise(Function::identity, true),
         exact_fade,
         0,
         {-inf, inf},
         Shape::increasing,
         {{-0.0f, 0.0f}, {0x1p-100f, 0x1p-100f}, {-0x1.fffffep-101f, 0.0f}}},
        {"leaky_relu",
         general(Function::leaky_relu, kLeak),
         exact_leaky_relu,
         0.5,
         {-inf, inf},
         Shape::increasing,
         {{-0.0f, -0.0f}, {inf, inf}, {-inf, -inf}}},
        {"expm1",
         general(Function::elu, 1),
         exact_expm1,
         1.3,
         {-1, inf},
         Shape::any,
         {{-0.0f, -0.0f}, {inf, inf}, {-inf, -1.0f}}},
        {"elu",
         general(Function::elu, kElu),
         exact_elu,
         2.5,
         {-kElu, inf},
         Shape::any,
         {{-0.0f, -0.0f}, {inf, inf}, {-inf, -kElu}}},
        {"thresholded_relu",
         general(Function::thresholded_relu, kThreshold),
         exact_thresholded_relu,
         0,
         {0, inf},
         Shape::increasing,
         {{-0.0f, 0.0f}, {1.0f, 0.0f}, {0x1.000002p0f, 0x1.000002p0f}, {inf, inf}, {-inf, 0.0f}}},
        {"hard_sigmoid",
         general(Function::hard_sigmoid, kSlope, kMiddle),
         exact_hard_sigmoid,
         1,
         {0, 1},
         Shape::increasing,
         {{0.0f, 0.5f}, {-0.0f, 0.5f}, {inf, 1.0f}, {-inf, 0.0f}},
         slope_term},
        {"softsign",
         general(Function::softsign),
         exact_softsign,
         1.5,
         {-1, 1},
         Shape::any,
         {{0.0f, 0.0f}, {-0.0f, -0.0f}, {inf, 1.0f}, {-inf, -1.0f}}},
        {"softplus",
         general(Function::softplus),
         exact_softplus,
         2.25,
         {0, inf},
         Shape::any,
         {{inf, inf}, {-inf, 0.0f}}},
        {"scaled_tanh",
         general(Function::scaled_tanh, kTanhSize, kTanhSlope),
         exact_scaled_tanh,
         3,
         {-kTanhSize, kTanhSize},
         Shape::odd,
         {{0.0f, 0.0f}, {-0.0f, -0.0f}, {inf, kTanhSize}, {-inf, -kTanhSize}}},
        {"affine",
         general(Function::affine, kGain, kOffset),
         exact_affine,
         1,
         {-inf, inf},
         Shape::any,
         {{0.0f, kOffset}, {inf, -inf}, {-inf, inf}},
         gain_term},
        {"clip",
         general(Function::identity, 0, 0, kClip),
         exact_clip,
         0,
         {-kClip, kClip},
         Shape::increasing,
         {{-0.0f, -0.0f}, {inf, kClip}, {-inf, -kClip}}},
        {"exp", exp, exact_exp, 1.1, {0, 1}, Shape::increasing, {{-inf, 0.0f}}},
        {"softmax",
         [with_zero](const Kernels& kernels, Block& block) {
             with_zero(Function::softmax, kernels, block);
         },
         exact_softmax,
         3,
         {0, 1},
         Shape::any,
         {{0.0f, 0.5f}, {-0.0f, 0.5f}, {-inf, 0.0f}}},
        {"log_softmax",
         [with_zero](const Kernels& kernels, Block& block) {
             with_zero(Function::log_softmax, kernels, block);
         },
         exact_log_softmax,
         2.25,
         {-inf, 0},
         Shape::any,
         {{0.0f, -0x1.62e430p-1f}, {-0.0f, -0x1.62e430p-1f}, {-inf, -inf}}},
    };
}

bool passes(const Case& f, const Report& r) {
    return r.worst_ulp <= f.worst_ulp && r.decreases == 0 && r.out_of_range == 0 &&
           r.not_odd == 0 && r.wrong_nan == 0 && r.wrong_special == 0 && r.other_bits == 0;
}

void print(const Case& f, const std::vector<Isa>& sets, std::size_t s, const Report& r) {
    const std::size_t model = model_of(sets, s);
    std::printf("%-8s %-8s wrong special values %" PRId64 "; ", name(sets[s]), f.name.c_str(),
                r.wrong_special);
    if (model != s) {
        std::printf("other bits than %s %" PRId64 "\n", name(sets[model]), r.other_bits);
        return;
    }
    std::printf("worst %.4f ulp (allowed %.4f) at %a; decreases %" PRId64 ", out of range %" PRId64
                ", not odd %" PRId64 ", wrong NaN %" PRId64 "\n",
                r.worst_ulp, f.worst_ulp, static_cast<double>(r.worst_at), r.decreases,
                r.out_of_range, r.not_odd, r.wrong_nan);
}

}  // namespace

int main(int argc, char** argv) {
    const int stride = argc > 3 ? std::atoi(argv[2]) : 0;
    if (stride < 1) {
        std::fprintf(stderr, "usage: %s <function> <stride> <instruction set> ...\n", argv[0]);
        return 2;
    }
    const std::string wanted = argv[1];
    std::vector<Isa> sets;
    for (int i = 3; i < argc; ++i) sets.push_back(elman::isa_from_name(argv[i]));
    for (const Case& f : cases()) {
        if (f.name != wanted) continue;
        const std::vector<Report> reports = sweep_all(f, sets, static_cast<std::uint32_t>(stride));
        bool passed = true;
        for (std::size_t s = 0; s < sets.size(); ++s) {
            print(f, sets, s, reports[s]);
            passed = passed && passes(f, reports[s]);
        }
        return passed ? 0 : 1;
    }
    std::fprintf(stderr, "no such function: %s\n", wanted.c_str());
    return 2;
}
