// floating_point_mode.cpp - the core neither changes the processor's floating-point mode nor
// depends on it: every mode is unchanged on every thread, and underflow is gradual in the default
// mode.
#include <cstdint>
#include <thread>
#include <vector>

#include "check.hpp"
#include "elman/sequence.hpp"
#include "elman/stream.hpp"
#include "elman/threads.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using elman::Function;
using elman::Index;

namespace {

#if defined(__x86_64__)
using Mode = unsigned;
constexpr Mode kRaised = 0x3f;  // the exception flags; the other bits are the mode
constexpr Mode kFlushed = 0x8040;
constexpr Mode kUpward = 0x4000;
Mode mode() {
    return _mm_getcsr() & ~kRaised;
}
void set_mode(Mode mode) {
    _mm_setcsr(mode);
}
#elif defined(__aarch64__)
using Mode = std::uint64_t;
constexpr Mode kFlushed = Mode{1} << 24;
constexpr Mode kUpward = Mode{1} << 22;
Mode mode() {
    Mode mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
void set_mode(Mode mode) {
    asm volatile("msr fpcr, %0" : : "r"(mode));
}
#else
#error "add code that reads this processor's floating-point mode"
#endif

constexpr Index kSteps = 200;

template <class Real>
void run_everything(elman::Isa isa, const std::string& title) {
    const Mode before = mode();
    const auto network = random_network<Real>(everything(), isa);
    check(mode() == before, title + ": building a network keeps the mode");

    elman::Stream<Real> stream(network);
    const std::vector<Real> x(3 * kSteps, Real(0.25));
    std::vector<Real> y(2 * kSteps);
    Index kept = 0;
    for (Index t = 0; t < kSteps; ++t) {
        kept += stream.step(x.data(), y.data()) && mode() == before;
    }
    check(kept == kSteps, title + ": every step keeps the mode");
    elman::Pause pause;
    check(
        stream.run({x.data(), 3, 1}, {y.data(), 2, 1}, kSteps, pause) == kSteps && mode() == before,
        title + ": a run keeps the mode");

    elman::SequenceTask<Real> task;
    task.sequences = 3;
    task.steps = kSteps;
    task.x = {x.data(), {3}, {0}, 3, 1};
    std::vector<Real> outputs(3 * 2 * kSteps);
    task.output = {outputs.data(), {3}, {2 * kSteps}, 2, 1};
    run_sequences(*network, task, 3, pause);
    check(mode() == before, title + ": whole sequences keep the mode");
}

// 2^-140 (2^-1040) as an input, made normal by W_xh, and as an output, made subnormal by W_hy.
template <class Real>
void check_gradual_underflow(elman::Isa isa) {
    const Real tiny = sizeof(Real) == 4 ? Real(0x1p-140) : Real(0x1p-1040);
    const double up = sizeof(Real) == 4 ? 0x1p100 : 0x1p600;
    elman::Architecture shape;
    shape.input_size = 1;
    shape.layers = {{1, Function::identity, false}};
    shape.readout = elman::ReadoutShape{1, Function::identity, false};
    elman::Parameters<Real> parameters(shape);
    fill(parameters, "layers.0.W_xh", [=](Index, Index) { return up; });
    fill(parameters, "readout.W_hy", [=](Index, Index) { return 1 / up; });
    elman::Stream<Real> stream(
        std::make_shared<const elman::Network<Real>>(std::move(parameters), isa));
    Real y = 0, h = 0;
    check(stream.step(&tiny, &y), "a subnormal input is accepted");
    stream.get_state(&h);
    const std::string title = std::string(name(isa)) + " " + dtype<Real>();
    check(h == tiny * Real(up) && h != 0, title + ": a subnormal input counts");
    check(y == tiny, title + ": an output may be subnormal");
}

}  // namespace

int main() {
    const std::vector<elman::Isa> isas = elman::available_isas();
    const Mode usual = mode();
    elman::set_thread_limits({3, 1});
    for (elman::Isa isa : isas) {
        check_gradual_underflow<float>(isa);
        check_gradual_underflow<double>(isa);
        for (Mode extra : {Mode{0}, kFlushed, kUpward}) {
            const auto run = [=](const std::string& where) {
                set_mode(usual | extra);
                const std::string title = std::string(name(isa)) + where;
                run_everything<float>(isa, title + " float32");
                run_everything<double>(isa, title + " float64");
                set_mode(usual);
            };
            run("");
            std::thread(run, " on a thread").join();
        }
    }
    check(mode() == usual, "the mode at the end equals the mode at the beginning");
    return failures != 0;
}
