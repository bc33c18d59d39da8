// failing.cpp - calls that run out of memory or threads: the n-th allocation and the n-th start of
// a thread fail, for every n. Each call ends in an exception or with correct results; none ends the
// process, and none leaves anything half changed.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <new>
#include <vector>

#include "check.hpp"
#include "elman/stream.hpp"
#include "elman/threads.hpp"
#include "elman/trainer.hpp"
#include "memory.hpp"

namespace {

constexpr long kMany = 1'000'000;
std::atomic<long> threads_left{kMany};  // before every start is refused
std::atomic<long> threads_refused{0};

}  // namespace

// Replaces the system's function, so it is visible even where everything else is hidden.
extern "C" __attribute__((visibility("default"))) int pthread_create(
    pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
    void* argument) noexcept {
    static const auto real =
        reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
    if (threads_left-- <= 0) {
        ++threads_refused;
        return EAGAIN;
    }
    return real(thread, attributes, start, argument);
}

using elman::Index;

namespace {

constexpr Index kSteps = 40, kInputs = 3, kOutputs = 2;

using Numbers = std::vector<float>;
using Network = elman::Network<float>;
using Call = std::function<void(Numbers&)>;  // appends its results

Numbers inputs(Index count) {
    Numbers x(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) / 8 - 1;
    return x;
}

// Reserved before the call, so that only the call's own allocations fail.
Numbers room() {
    Numbers results;
    results.reserve(1 << 16);
    return results;
}

void check_failing_memory(const std::string& title, const Call& call, const Numbers& expected) {
    for (long n = 1;; ++n) {
        Numbers results = room();
        memory::fail_at(n);
        try {
            call(results);
            memory::fail_at(0);
            check(results == expected,
                  title + " is right though allocation " + std::to_string(n) + " failed");
        } catch (const std::bad_alloc&) {
            check(memory::has_failed(), title + " fails only with a failed allocation");
        }
        const bool failed = memory::has_failed();
        memory::fail_at(0);
        if (!failed) return check(n > 1, title + " allocates");
        if (n > 100'000) return check(false, title + " succeeds after finitely many failures");
    }
}

void check_failing_threads(const std::string& title, const Call& call, const Numbers& expected) {
    for (long n = 0; n < 6; ++n) {
        Numbers results = room();
        threads_left = n;
        threads_refused = 0;
        call(results);
        threads_left = kMany;
        check(n > 0 || threads_refused > 0, title + " starts a thread");
        check(results == expected, title + " is right with " + std::to_string(n) + " threads more");
    }
}

void test(const std::string& title, const Call& call, bool with_threads = true) {
    Numbers expected = room();
    call(expected);
    check_failing_memory(title, call, expected);
    if (with_threads) check_failing_threads(title, call, expected);
}

void test_sequences(elman::Direction direction, Index sequences, bool masked, Index more = 0) {
    elman::Architecture shape = everything();
    for (elman::LayerShape& layer : shape.layers) {
        layer.direction = direction;
        layer.hidden_size += more;
    }
    const auto network = random_network<float>(shape, elman::isa());
    const Numbers x = inputs(sequences * kSteps * kInputs);
    std::vector<Index> lengths;
    for (Index b = 0; b < sequences; ++b) lengths.push_back(kSteps - b * 7 % kSteps);
    std::vector<unsigned char> mask(static_cast<std::size_t>(sequences * kSteps));
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 != 1;
    test(std::string(name(direction)) + ", " + std::to_string(sequences) + " sequences" +
             (masked ? ", masked" : "") + (more ? ", wide" : ""),
         [&](Numbers& y) {
             y.resize(static_cast<std::size_t>(sequences * kSteps * kOutputs));
             elman::SequenceTask<float> task;
             task.sequences = sequences;
             task.steps = kSteps;
             task.x = {x.data(), {sequences}, {kSteps * kInputs}, kInputs, 1};
             task.output = {y.data(), {sequences}, {kSteps * kOutputs}, kOutputs, 1};
             if (masked)
                 task.mask = mask.data(), task.hold_outputs = true;
             else
                 task.lengths = lengths.data();
             elman::Pause pause;
             run_sequences(*network, task, 5, pause);
         });
}

void test_stream() {
    test(
        "a stream",
        [](Numbers& y) {
            const auto network = random_network<float>(everything(), elman::isa());
            elman::Stream<float> stream(network);
            const Numbers x = inputs(kSteps * kInputs);
            y.resize(static_cast<std::size_t>(kSteps * kOutputs));
            bool done = stream.step(x.data(), y.data());
            Numbers before(static_cast<std::size_t>(network->state_size())), after(before);
            stream.get_state(before.data());
            const Numbers first = y;
            try {
                done = done && stream.run({x.data(), kInputs, 1}, {y.data(), kOutputs, 1}, kSteps,
                                          never()) == kSteps;
            } catch (const std::bad_alloc&) {
                stream.get_state(after.data());
                check(after == before && y == first, "a run without memory changes nothing");
                throw;
            }
            check(done, "all steps are done");
        },
        false);
}

// A batch for training, of more than one leaf.
struct Batch {
    static constexpr Index sequences = 80, steps = 7, leaves = 5;

    std::shared_ptr<const Network> network = random_network<float>(architecture(), elman::isa());
    Numbers x = inputs(sequences * steps * kInputs), y = inputs(sequences * steps * kOutputs);
    elman::Examples<float> examples;
    std::vector<Index> order;
    std::vector<double> rates = std::vector<double>(4, 0.01);

    Batch() {
        examples.sequences = sequences;
        examples.steps = steps;
        examples.x = {x.data(), {sequences}, {steps * kInputs}, kInputs, 1};
        examples.targets = {y.data(), {sequences}, {steps * kOutputs}, kOutputs, 1};
        for (Index b = 0; b < sequences; ++b) order.push_back(b);
    }

    static elman::Architecture architecture() {
        elman::Architecture shape = everything();
        shape.readout->activation = elman::Function::tanh;
        return shape;
    }

    // Four updates, carrying states over.
    elman::TrainingTask<float> task() const {
        elman::TrainingTask<float> task{examples};
        task.sequences = order.data();
        task.count = sequences;
        task.batch_size = sequences;
        task.learning_rates = rates.data();
        task.updates = 4;
        task.truncation = {3, 2};
        task.carry = true;
        task.threads = leaves;
        return task;
    }
};

void append(const elman::Parameters<float>& parameters, Numbers& to) {
    to.insert(to.end(), parameters.data(), parameters.data() + parameters.size());
}

elman::TrainerSettings settings() {
    elman::TrainerSettings settings;
    settings.optimizer.method = elman::Method::adam;
    settings.clip_norm = 0.1;
    return settings;
}

void test_gradients(const Batch& batch) {
    test("loss_and_gradients", [&](Numbers& results) {
        elman::Pause pause;
        const auto gradients =
            loss_and_gradients(*batch.network, batch.examples, {}, {}, Batch::leaves, pause);
        append(gradients.parameters, results);
        results.insert(results.end(), gradients.state.begin(), gradients.state.end());
    });
    test("backward", [&](Numbers& results) {
        elman::BackwardTask<float> task;
        task.sequences = batch.examples.sequences;
        task.steps = batch.examples.steps;
        task.x = batch.examples.x;
        task.dL_dy = batch.examples.targets;
        task.with_x = true;
        elman::Pause pause;
        const auto gradients = backward(*batch.network, task, Batch::leaves, pause);
        append(gradients.parameters, results);
        results.insert(results.end(), gradients.x.begin(), gradients.x.end());
    });
}

// A trainer's parameters after each number of updates, without a failure: later updates have a
// learning rate of zero.
std::vector<Numbers> numbers_after_updates(const Batch& batch) {
    std::vector<Numbers> after;
    for (std::size_t updates = 0; updates <= batch.rates.size(); ++updates) {
        std::vector<double> rates = batch.rates;
        for (std::size_t i = updates; i < rates.size(); ++i) rates[i] = 0;
        elman::TrainingTask<float> task = batch.task();
        task.learning_rates = rates.data();
        elman::Pause pause;
        elman::Trainer<float> trainer(batch.network, settings(), never());
        trainer.train(task, pause);
        after.emplace_back();
        append(trainer.parameters(never()), after.back());
    }
    return after;
}

void test_trainer(const Batch& batch) {
    test("Trainer::train", [&](Numbers& results) {
        elman::Pause pause;
        elman::Trainer<float> trainer(batch.network, settings(), never());
        trainer.train(batch.task(), pause);
        append(trainer.parameters(never()), results);
    });
    test("Trainer::loss", [&](Numbers& results) {
        elman::Pause pause;
        elman::Trainer<float> trainer(batch.network, settings(), never());
        results.push_back(static_cast<float>(trainer.loss(batch.examples, Batch::leaves, pause)));
    });

    // A failure during training leaves the trainer as it was after the last complete update.
    const std::vector<Numbers> after = numbers_after_updates(batch);
    for (long n = 1;; ++n) {
        elman::Trainer<float> trainer(batch.network, settings(), never());
        elman::Pause pause;
        memory::fail_at(n);
        try {
            trainer.train(batch.task(), pause);
        } catch (const std::bad_alloc&) {
        }
        const bool failed = memory::has_failed();
        memory::fail_at(0);
        Numbers now;
        append(trainer.parameters(never()), now);
        check(now == after[static_cast<std::size_t>(trainer.updates())],
              "a trainer is at its last complete update");
        const auto state = trainer.state(never());
        check(state.carried.empty() || static_cast<Index>(state.carried.size()) ==
                                           Batch::sequences * batch.network->state_size(),
              "states are carried for all sequences or for none");
        if (!failed) break;
    }
}

void test_restore(const Batch& batch) {
    elman::Pause pause;
    elman::Trainer<float> trained(batch.network, settings(), never());
    trained.train(batch.task(), pause);
    const auto state = trained.state(never());
    for (long n = 1;; ++n) {
        elman::Trainer<float> trainer(batch.network, settings(), never());
        bool thrown = false;
        memory::fail_at(n);
        try {
            trainer.restore(state, never());
        } catch (const std::bad_alloc&) {
            thrown = true;
        }
        const bool failed = memory::has_failed();
        memory::fail_at(0);
        Numbers now, expected;
        append(trainer.parameters(never()), now);
        append(thrown ? batch.network->parameters() : trained.parameters(never()), expected);
        check(now == expected && trainer.updates() == (thrown ? 0 : trained.updates()),
              "a state is restored, or nothing changes");
        if (!failed) break;
    }
}

}  // namespace

int main() {
    elman::set_thread_limits({8, 1});
    using elman::Direction;
    for (Index sequences : {1, 2, 100}) {
        test_sequences(Direction::forward, sequences, false);  // one sequence runs in stages
        if (sequences == 1) continue;                          // uses a single thread otherwise
        test_sequences(Direction::bidirectional, sequences, false);
        test_sequences(Direction::forward, sequences, true);
    }
    for (Index sequences : {1, 2})
        test_sequences(Direction::forward, sequences, false, 200);  // rows
    test_stream();
    const Batch batch;
    test_gradients(batch);
    test_trainer(batch);
    test_restore(batch);
    return failures != 0;
}
