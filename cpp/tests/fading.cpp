// fading.cpp - a decaying state reaches exactly zero, and nothing on the way is subnormal.
//
// W_hh = rate * 1 and an impulse: h_t = f(rate * h_(t-1)). All memory held by the stream is
// searched, scratch and padding included.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "elman/stream.hpp"
#include "memory.hpp"

using elman::Function;
using elman::Index;

namespace {

constexpr Index kHidden = 17;  // more than one vector of any set, and not a multiple

template <class Real>
std::shared_ptr<const elman::Network<Real>> decaying(double rate, Function f, elman::Isa isa) {
    elman::Architecture shape;
    shape.input_size = 1;
    shape.layers = {{kHidden, f, false}};
    shape.readout = elman::ReadoutShape{1, Function::identity, false};
    elman::Parameters<Real> parameters(shape);
    fill(parameters, "layers.0.W_xh", [](Index row, Index) { return 1 + 0.125 * double(row); });
    fill(parameters, "layers.0.W_hh", [=](Index row, Index col) { return row == col ? rate : 0; });
    fill(parameters, "readout.W_hy", [](Index, Index) { return 1; });
    return std::make_shared<const elman::Network<Real>>(std::move(parameters), isa);
}

template <class Real>
long subnormals(const std::vector<memory::Piece>& pieces) {
    long count = 0;
    for (const memory::Piece& piece : pieces) {
        const Real* numbers = static_cast<const Real*>(piece.start);
        for (std::size_t i = 0; i < piece.size / sizeof(Real); ++i)
            count += std::fpclassify(numbers[i]) == FP_SUBNORMAL;
    }
    return count;
}

template <class Real>
std::vector<Real> state_of(const elman::Stream<Real>& stream) {
    std::vector<Real> state(kHidden);
    stream.get_state(state.data());
    return state;
}

// The number of steps in which an impulse of at most 4 falls below the smallest state.
template <class Real>
Index steps_to_zero(double rate) {
    const double binary_orders = (sizeof(Real) == 4 ? 100 : 900) + 2;
    return static_cast<Index>(std::ceil(-binary_orders / std::log2(rate))) + 8;
}

template <class Real>
void test(double rate, Function f, elman::Isa isa, Index chunk) {
    const std::string title = std::string(name(isa)) + " " + dtype<Real>() + ", " + name(f) +
                              ", rate " + std::to_string(rate) + ", chunks of " +
                              std::to_string(chunk);
    const auto network = decaying<Real>(rate, f, isa);
    memory::watch();
    elman::Stream<Real> stream(network);
    const std::vector<Real> zeros(static_cast<std::size_t>(chunk));
    std::vector<Real> y(static_cast<std::size_t>(chunk), Real(1));
    const auto run = [&](Index steps) {
        check(stream.run({zeros.data(), 1, 1}, {y.data(), 1, 1}, steps, never()) == steps,
              title + ": a chunk is run");
    };
    run(0);  // takes the working memory of a run
    const std::vector<memory::Piece> pieces = memory::watched();

    const Real impulse = 1;
    check(stream.step(&impulse, y.data()) && state_of(stream)[kHidden - 1] != 0,
          title + ": the impulse arrives");
    long found = 0;
    for (Index t = 0; t < steps_to_zero<Real>(rate); t += chunk) {
        run(chunk);
        if (t / chunk % 61 == 0) found += subnormals<Real>(pieces);
    }
    found += subnormals<Real>(pieces);
    check(found == 0, title + ": nothing is subnormal on the way");
    check(state_of(stream) == std::vector<Real>(kHidden), title + ": the state ends at zero");
    check(y.back() == 0, title + ": the output ends at zero");
}

// The search finds subnormals in memory; one step clears the state, two steps all of it.
template <class Real>
void test_subnormal_start(elman::Isa isa) {
    const std::string title = std::string(name(isa)) + " " + dtype<Real>();
    const auto network = decaying<Real>(0.5, Function::identity, isa);
    memory::watch();
    elman::Stream<Real> stream(network);
    const std::vector<memory::Piece> pieces = memory::watched();
    const std::vector<Real> tiny(kHidden, std::numeric_limits<Real>::denorm_min());
    stream.set_state(tiny.data());
    check(subnormals<Real>(pieces) == kHidden, title + ": a subnormal start is found in memory");

    const Real zero = 0;
    Real y;
    check(stream.step(&zero, &y) && state_of(stream) == std::vector<Real>(kHidden),
          title + ": it is gone after one step");
    check(stream.step(&zero, &y) && subnormals<Real>(pieces) == 0,
          title + ": nothing is left of it after two steps");
}

}  // namespace

int main() {
    for_each_isa_and_dtype([](elman::Isa isa, auto zero) {
        using Real = decltype(zero);
        test_subnormal_start<Real>(isa);
        for (double rate : {0.5, 0.9, 0.99, 0.999})
            for (Function f : {Function::identity, Function::tanh})
                for (Index chunk : {1, 100})
                    if (rate < 0.999 || chunk > 1) test<Real>(rate, f, isa, chunk);
    });
    return failures != 0;
}
