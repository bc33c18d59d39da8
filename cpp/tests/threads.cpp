// threads.cpp - sharing between threads: a network, and a stream used in turn. Meant to be built
// with -DELMAN_SANITIZE=thread.
#include "elman/threads.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "check.hpp"
#include "elman/gradient.hpp"
#include "elman/stream.hpp"

using elman::Index;

namespace {

constexpr Index kThreads = 4;
constexpr Index kSteps = 500;
constexpr Index kInputs = 3, kOutputs = 2;

using Numbers = std::vector<float>;

Numbers inputs() {
    Numbers x(kSteps * kInputs);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) / 8 - 1;
    return x;
}

template <class Work>
void on_threads(Work work) {
    std::vector<std::thread> threads;
    for (Index i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
    for (std::thread& thread : threads) thread.join();
}

Numbers streamed(const std::shared_ptr<const elman::Network<float>>& network, const Numbers& x) {
    elman::Stream<float> stream(network);
    Numbers y(kSteps * kOutputs);
    const Index half = kSteps / 2;
    for (Index t = 0; t < half; ++t)
        check(stream.step(x.data() + t * kInputs, y.data() + t * kOutputs), "a step is done");
    const auto from = half * kInputs, to = half * kOutputs;
    elman::Pause pause;  // never() belongs to one thread
    check(stream.run({x.data() + from, kInputs, 1}, {y.data() + to, kOutputs, 1}, kSteps - half,
                     pause) == kSteps - half,
          "a chunk is run");
    return y;
}

void test_a_network_is_shared(const std::shared_ptr<const elman::Network<float>>& network) {
    const Numbers x = inputs(), alone = streamed(network, x);
    std::vector<Numbers> results(kThreads);
    on_threads([&](Index i) { results[static_cast<std::size_t>(i)] = streamed(network, x); });
    for (const Numbers& y : results) check(y == alone, "a stream does not see its neighbours");
}

// With more threads than sequences, threads share the layers of each, or the rows of wide ones.
void test_threads_do_not_change_a_sequence(const elman::Network<float>& network, Index sequences) {
    const Numbers x = inputs();
    std::vector<Index> lengths;
    for (Index b = 0; b < sequences; ++b) lengths.push_back(b == 2 ? 0 : kSteps - b * 13 % kSteps);
    const auto run = [&](Index threads) {
        Numbers y(static_cast<std::size_t>(sequences * kSteps * kOutputs), -1);
        elman::SequenceTask<float> task;
        task.sequences = sequences;
        task.steps = kSteps;
        task.x = {x.data(), {sequences}, {0}, kInputs, 1};
        task.lengths = lengths.data();
        task.output = {y.data(), {sequences}, {kSteps * kOutputs}, kOutputs, 1};
        elman::Pause pause;
        run_sequences(network, task, threads, pause);
        return y;
    };
    const Numbers alone = run(1);
    on_threads([&](Index i) { check(run(2 + i) == alone, "threads do not change a sequence"); });
}

// Threads share the leaves of a batch, which are added in a fixed order.
void test_threads_do_not_change_gradients(const elman::Network<float>& network) {
    constexpr Index sequences = 200, steps = 5;
    const Numbers x = inputs(), y(steps * kOutputs, 0.5f);
    elman::Examples<float> examples;
    examples.sequences = sequences;
    examples.steps = steps;
    examples.x = {x.data(), {sequences}, {kInputs}, kInputs, 1};
    examples.targets = {y.data(), {sequences}, {0}, kOutputs, 1};
    const auto run = [&](Index threads) {
        elman::Pause pause;
        const auto result = loss_and_gradients(network, examples, {}, {}, threads, pause);
        Numbers all(result.parameters.data(), result.parameters.data() + result.parameters.size());
        all.insert(all.end(), result.state.begin(), result.state.end());
        all.push_back(static_cast<float>(result.loss));
        return all;
    };
    const Numbers alone = run(1);
    on_threads([&](Index i) { check(run(1 + i) == alone, "threads do not change gradients"); });
}

// All threads step one stream with the same input: the final state does not depend on the order,
// unless two threads were inside at once.
void test_a_stream_is_taken_in_turn(const std::shared_ptr<const elman::Network<float>>& network) {
    const Numbers x(kInputs, 0.5f);
    const auto state_of = [&](const elman::Stream<float>& stream) {
        Numbers state(static_cast<std::size_t>(network->architecture().state_size()));
        stream.get_state(state.data());
        return state;
    };
    elman::Stream<float> shared(network), alone(network);
    std::atomic<Index> refused{0};
    on_threads([&](Index) {
        Numbers y(kOutputs);
        for (Index t = 0; t < kSteps; ++t) {
            for (bool done = false; !done;) {
                if (const elman::Taken taken{shared.busy()}) {
                    done = shared.step(x.data(), y.data());
                } else {
                    ++refused;
                    std::this_thread::yield();
                }
            }
        }
    });
    Numbers y(kOutputs);
    for (Index t = 0; t < kThreads * kSteps; ++t)
        check(alone.step(x.data(), y.data()), "a step is done");
    check(state_of(shared) == state_of(alone), "a stream that is taken belongs to one thread");

    check(shared.busy().try_take(), "a released stream can be taken");
    on_threads([&](Index) { check(!shared.busy().try_take(), "a taken stream is refused"); });
}

}  // namespace

int main() {
    elman::set_thread_limits({8, 1});
    const auto network = random_network<float>(everything(), elman::isa());
    test_a_network_is_shared(network);
    elman::Architecture wide = everything();
    wide.layers = {{330, elman::Function::tanh}, {200, elman::Function::sigmoid}};
    const auto rows = random_network<float>(wide, elman::isa());
    for (Index sequences : {1, 2, 37}) test_threads_do_not_change_a_sequence(*network, sequences);
    for (Index sequences : {1, 2, 3}) test_threads_do_not_change_a_sequence(*rows, sequences);
    test_threads_do_not_change_gradients(*network);
    test_a_stream_is_taken_in_turn(network);
    return failures != 0;
}
