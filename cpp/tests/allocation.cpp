// allocation.cpp - a stream allocates nothing after its construction, apart from the first run of
// its network: in a million steps with the instruction set in use, in fewer with each of the
// others. Nor does a small call on whole sequences.
#include <cstdlib>
#include <utility>
#include <vector>

#include "check.hpp"
#include "elman/sequence.hpp"
#include "elman/stream.hpp"
#include "memory.hpp"

using elman::Index;

namespace {

constexpr Index kChunk = 1000;

template <class Work>
long allocations_of(Work work) {
    const long before = memory::allocations();
    work();
    return memory::allocations() - before;
}

template <class Real>
void test(const elman::Architecture& shape, elman::Isa isa, Index steps, const std::string& title) {
    elman::Stream<Real> stream(random_network<Real>(shape, isa));
    const Index inputs = shape.input_size, outputs = shape.output_size();
    std::vector<Real> x(static_cast<std::size_t>(kChunk * inputs), Real(0.25));
    std::vector<Real> y(static_cast<std::size_t>(kChunk * outputs));
    std::vector<Real> state(static_cast<std::size_t>(shape.state_size()));

    bool done = true;
    const long by_steps = allocations_of([&] {
        for (Index t = 0; t < steps; ++t) done = stream.step(x.data(), y.data()) && done;
    });
    const auto run = [&](elman::Stream<Real>& with) {
        elman::Pause pause;
        const elman::Rows<const Real> from{x.data(), inputs, 1};
        done = with.run(from, {y.data(), outputs, 1}, kChunk, pause) == kChunk && done;
    };
    elman::Stream<Real> another(stream);
    const long by_first_run = allocations_of([&] { run(another); });
    const long by_runs = allocations_of([&] {
        for (Index t = 0; t < steps; t += kChunk) run(stream);
    });
    const long by_state = allocations_of([&] {
        stream.get_state(state.data());
        stream.set_state(state.data());
        stream.reset();
    });
    check(by_steps == 0, title + ": step allocates nothing");
    check(by_first_run > 0, title + ": the first run makes its working memory");
    check(by_runs == 0, title + ": the following runs of all streams allocate nothing");
    check(done, title + ": all steps are done");
    check(by_state == 0, title + ": the state moves without an allocation");
}

// Calls on `sequences` sequences of `steps` steps; of one, also run_sequence.
template <class Real>
void test_calls(const elman::Architecture& shape, elman::Isa isa, Index sequences, Index steps,
                const std::string& title) {
    const auto network = random_network<Real>(shape, isa);
    const Index inputs = shape.input_size, outputs = shape.output_size();
    std::vector<Real> x(static_cast<std::size_t>(sequences * steps * inputs), Real(0.25));
    std::vector<Real> y(static_cast<std::size_t>(sequences * steps * outputs));
    elman::SequenceTask<Real> task;
    task.sequences = sequences;
    task.steps = steps;
    task.x = {x.data(), {sequences}, {steps * inputs}, inputs, 1};
    task.output = {y.data(), {sequences}, {steps * outputs}, outputs, 1};
    const auto call = [&] {
        elman::Pause pause;
        run_sequences(*network, task, 1, pause);
        if (sequences > 1) return;
        run_sequence(*network, {x.data(), inputs, 1}, {y.data(), outputs, 1}, steps, pause);
    };
    const std::string each = title + ", " + std::to_string(sequences) + " sequences of " +
                             std::to_string(steps) + " steps: ";
    check(allocations_of(call) > 0, each + "the first call makes its working memory");
    check(allocations_of(call) == 0, each + "the next one allocates nothing");
}

// The steps of a wide network are large: a call takes memory for few of them.
void test_a_large_step() {
    constexpr Index kOutputs = Index(1) << 18;
    elman::Architecture shape;
    shape.input_size = 1;
    shape.layers = {{1, elman::Function::tanh}};
    shape.readout = elman::ReadoutShape{kOutputs, elman::Function::tanh};
    const float x = 0.25F;
    std::vector<float> y(kOutputs);
    elman::SequenceTask<float> task;
    task.sequences = task.steps = 1;
    task.x = {&x, {1}, {1}, 1, 1};
    task.output = {y.data(), {1}, {kOutputs}, kOutputs, 1};
    const auto check_bytes = [&](const std::string& title, const auto& call) {
        const auto network = random_network<float>(shape, elman::isa());
        elman::Pause pause;
        const long before = memory::bytes();
        call(*network, pause);
        check(memory::bytes() - before < 2L << 20, title + ": a large step takes little memory");
    };
    check_bytes("run_sequences", [&](const auto& network, elman::Pause& pause) {
        run_sequences(network, task, 1, pause);
    });
    check_bytes("run_sequence", [&](const auto& network, elman::Pause& pause) {
        run_sequence(network, {&x, 1, 1}, {y.data(), kOutputs, 1}, 1, pause);
    });
}

template <class Allocate, class Free>
void check_counted(Allocate allocate, Free free, const std::string& name) {
    void* volatile taken = nullptr;  // volatile, or the compiler removes both calls
    const long count = allocations_of([&] { taken = allocate(); });
    check(count > 0, name + " is counted");
    free(taken);
}

}  // namespace

int main() {
    check_counted([] { return ::operator new(64); }, [](void* m) { ::operator delete(m); }, "new");
    check_counted([] { return ::operator new(64, std::align_val_t(64)); },
                  [](void* m) { ::operator delete(m, std::align_val_t(64)); }, "aligned new");
#if defined(ELMAN_WRAPPED_MALLOC)
    check_counted([] { return std::malloc(64); }, [](void* m) { std::free(m); }, "malloc");
#endif

    elman::Architecture plain;
    plain.input_size = 2;
    plain.layers = {{7, elman::Function::relu}};
    for_each_isa_and_dtype([&](elman::Isa isa, auto zero) {
        using Real = decltype(zero);
        const std::string title = std::string(name(isa)) + " " + dtype<Real>();
        const Index steps = isa == elman::isa() ? 1'000'000 : 10'000;
        test<Real>(plain, isa, steps, title + ", no readout");
        test<Real>(everything(), isa, steps, title + ", two layers and a softmax");
        for (const auto& [sequences, length] :
             {std::pair<Index, Index>{1, 1}, {1, 1000}, {8, 1000}, {64, 1}})
            test_calls<Real>(everything(), isa, sequences, length, title);
    });
    test_a_large_step();
    return failures != 0;
}
