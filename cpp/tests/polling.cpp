// polling.cpp - every call that can run long polls its pause often enough, and ends when stopped.
//
// Looks at the clock are counted, not times: at least one per four kWork multiply-adds, since a
// call polls between pieces of work.
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "check.hpp"
#include "elman/pool.hpp"
#include "elman/stream.hpp"
#include "elman/threads.hpp"
#include "elman/trainer.hpp"

using elman::Index;
using elman::Pause;

namespace {

using Numbers = std::vector<float>;
using Network = elman::Network<float>;
using Call = std::function<void(Pause&)>;

constexpr Index kSize = 40;
constexpr Index kWork = 20 * Pause::kWork;  // of each call, at least

// Counts the looks of a call with `work` on the calling thread, and of one stopped at its first
// look. With other threads the calling thread also looks while it waits for them.
void check_polled(const std::string& title, double work, const Call& call, bool alone = true) {
    Pause pause;
    call(pause);
    const double looks = static_cast<double>(pause.looks());
    check(looks >= work / 4 / static_cast<double>(Pause::kWork),
          title + " looks " + std::to_string(pause.looks()) + " times in " +
              std::to_string(work / static_cast<double>(Pause::kWork)) + " times kWork");

    Pause stopped([] { return false; });
    std::this_thread::sleep_for(Pause::kInterval);
    call(stopped);
    check(stopped.stopped() && stopped.looks() <= (alone ? 2 : 50),
          title + " ends where it is stopped, not after " + std::to_string(stopped.looks()) +
              " more looks");
}

double times(Index a, Index b) {
    return static_cast<double>(a) * static_cast<double>(b);
}

std::shared_ptr<const Network> network_of(elman::Direction direction) {
    elman::Architecture shape;
    shape.input_size = kSize;
    shape.layers = {{kSize, elman::Function::tanh}, {kSize, elman::Function::tanh}};
    for (elman::LayerShape& layer : shape.layers) layer.direction = direction;
    shape.readout = elman::ReadoutShape{kSize, elman::Function::sigmoid};
    return random_network<float>(shape, elman::isa());
}

struct Data {
    Index sequences, steps;
    Numbers x = Numbers(kSize, 0.5f);  // of every step of every sequence
    Numbers y = Numbers(static_cast<std::size_t>(sequences * steps * kSize));

    elman::SequenceTask<float> task() {
        elman::SequenceTask<float> task;
        task.sequences = sequences;
        task.steps = steps;
        task.x = {x.data(), {sequences}, {0}, 0, 1};
        task.output = {y.data(), {sequences}, {steps * kSize}, kSize, 1};
        return task;
    }
};

void test_sequences(elman::Direction direction, Index sequences, Index threads) {
    const auto network = network_of(direction);
    Data data{sequences, kWork / network->multiply_adds() / sequences + 1};
    const double work = times(network->multiply_adds(), sequences * data.steps);
    const auto run = [&](const std::string& what, const elman::SequenceTask<float>& task,
                         double of) {
        check_polled(
            std::string(name(direction)) + ", " + std::to_string(sequences) + " sequences, " +
                std::to_string(threads) + " threads" + what,
            of / static_cast<double>(threads),
            [&](Pause& pause) { run_sequences(*network, task, threads, pause); }, threads == 1);
    };
    elman::SequenceTask<float> task = data.task();
    run("", task, work);
    task.outputs = elman::Outputs::last;
    run(", the last outputs", task, work);
    const std::vector<unsigned char> mask(static_cast<std::size_t>(sequences * data.steps), 1);
    task.mask = mask.data();
    run(", with a mask", task, work);
    if (direction != elman::Direction::forward || threads > 1) return;
    task = data.task();
    task.fed_back = task.steps - 1;
    task.steps = 1;
    run(", outputs fed back", task, work);
}

// Long padding, and a mask without a real step: nothing to multiply, but much to write.
void test_padding(elman::Direction direction) {
    const auto network = network_of(direction);
    Data data{2, kWork / kSize / 2};
    const double work = times(2 * data.steps, kSize);
    const Index lengths[] = {1, 0};
    elman::SequenceTask<float> task = data.task();
    task.lengths = lengths;
    check_polled(std::string(name(direction)) + ", padding", work,
                 [&](Pause& pause) { run_sequences(*network, task, 1, pause); });
    const std::vector<unsigned char> mask(static_cast<std::size_t>(2 * data.steps), 0);
    task.lengths = nullptr;
    task.mask = mask.data();
    for (bool hold : {false, true}) {
        task.hold_outputs = hold;
        check_polled(std::string(name(direction)) + ", holes", work,
                     [&](Pause& pause) { run_sequences(*network, task, 1, pause); });
    }
}

void test_many_lengths() {
    const auto network = network_of(elman::Direction::forward);
    constexpr Index sequences = 1 << 20;
    Data data{1, 1};
    std::vector<Index> lengths(sequences);
    for (std::size_t b = 0; b < lengths.size(); ++b) lengths[b] = static_cast<Index>(b * 7919 % 2);
    elman::SequenceTask<float> task = data.task();
    task.sequences = sequences;
    task.x.shape = task.output.shape = {sequences};
    task.output.strides = {0};
    task.outputs = elman::Outputs::last;
    task.lengths = lengths.data();
    check_polled("many lengths", times(sequences, 20),  // comparisons
                 [&](Pause& pause) { run_sequences(*network, task, 1, pause); });
}

void test_stream() {
    const auto network = network_of(elman::Direction::forward);
    Data data{1, kWork / network->multiply_adds() + 1};
    check_polled("Stream::run", times(data.steps, network->multiply_adds()), [&](Pause& pause) {
        elman::Stream<float> stream(network);
        const Index done =
            stream.run({data.x.data(), 0, 1}, {data.y.data(), kSize, 1}, data.steps, pause);
        check(pause.stopped() ? done < data.steps : done == data.steps,
              "run returns the number of steps done");
    });
    check_polled("run_sequence", times(data.steps, network->multiply_adds()), [&](Pause& pause) {
        run_sequence(*network, {data.x.data(), 0, 1}, {data.y.data(), kSize, 1}, data.steps, pause);
    });
}

// Rows are made, copied, read and set: nothing to multiply.
void test_pool() {
    using Pool = elman::StreamPool<float>;
    const auto network = network_of(elman::Direction::forward);
    constexpr auto raise = elman::Nonfinite::raise;
    const Index size = network->state_size(), rows = kWork / elman::kNumberWork / size;
    const double work = times(rows * size, elman::kNumberWork);
    Pool pool(network, rows);
    Numbers states(static_cast<std::size_t>(rows * size), 0.5f);
    check_polled("StreamPool", 3 * work, [&](Pause& pause) { Pool(network, rows, raise, pause); });
    check_polled("a copy of a pool", 3 * work, [&](Pause& pause) { Pool(pool, {}, pause); });
    check_polled("set_state", work,
                 [&](Pause& pause) { pool.set_state(states.data(), {}, pause); });
    check_polled("get_state", work,
                 [&](Pause& pause) { pool.get_state(states.data(), {}, pause); });
    check_polled("reset", work, [&](Pause& pause) { pool.reset({}, pause); });
    const Numbers x(kSize, 0.5f);
    Numbers y(kSize);
    check_polled("StreamPool::run", 4 * work, [&](Pause& pause) {
        const bool done = pool.run({x.data(), {rows}, {0}, 0, 1}, {y.data(), {rows}, {0}, 0, 1}, 1,
                                   nullptr, {}, 1, pause);
        check(done == !pause.stopped(), "run says whether it was stopped");
    });
}

void test_initialization() {
    const auto start = [](const elman::Initialization& initialization, Index size) {
        return [&initialization, size](Pause& pause) {
            elman::Architecture shape;
            shape.input_size = 1;
            shape.layers = {{size, elman::Function::tanh}};
            elman::Parameters<float> parameters(shape);
            initialize(parameters, initialization, 1, pause);
        };
    };
    constexpr Index n = 400, many = 2000;
    check_polled("Uniform", times(many, many), start(elman::Uniform{}, many));
    check_polled("Identity", times(many, many), start(elman::Identity{}, many));
    check_polled("Glorot", times(n * n, 2 * n), start(elman::Glorot{}, n));
    check_polled("EchoState", times(n * n, 24 * n), start(elman::EchoState{}, n));
}

// Weights, transposes and moments.
void test_trainer() {
    elman::Architecture shape;
    shape.input_size = 1;
    shape.layers = {{3000, elman::Function::tanh}};
    const auto network = random_network<float>(shape, elman::isa());
    check_polled("Trainer", times(network->multiply_adds(), 4 * elman::kNumberWork),
                 [&](Pause& pause) { elman::Trainer<float>(network, {}, pause); });
}

// Leaves go to whichever thread is free, so the calling thread may compute none: it looks at least
// once.
void test_gradients(const std::shared_ptr<const Network>& network,
                    const elman::Examples<float>& examples, double forward, Index threads) {
    const bool alone = threads == 1;
    const std::string title = ", " + std::to_string(threads) + " threads";
    const auto check_call = [&](const std::string& name, double work, const Call& call) {
        check_polled(name + title, alone ? work : 1, call, alone);
    };
    check_call("loss_and_gradients", 3 * forward, [&](Pause& pause) {
        loss_and_gradients(*network, examples, {}, {}, threads, pause);
    });
    check_call("Trainer::loss", forward, [&](Pause& pause) {
        elman::Trainer<float>(network, {}, never()).loss(examples, threads, pause);
    });
    elman::BackwardTask<float> task;
    task.sequences = examples.sequences;
    task.steps = examples.steps;
    task.x = examples.x;
    task.dL_dy = examples.targets;
    task.with_x = true;
    check_call("backward", 3 * forward,
               [&](Pause& pause) { backward(*network, task, threads, pause); });
}

void test_updates(const std::shared_ptr<const Network>& network,
                  const elman::Examples<float>& examples, double forward, Index batch_size,
                  Index threads) {
    std::vector<Index> order;
    for (Index b = 0; b < examples.sequences; ++b) order.push_back(b);
    const std::vector<double> rates(static_cast<std::size_t>(examples.sequences / batch_size),
                                    0.01);
    elman::TrainingTask<float> task{examples};
    task.sequences = order.data();
    task.count = examples.sequences;
    task.batch_size = batch_size;
    task.learning_rates = rates.data();
    task.updates = static_cast<Index>(rates.size());
    task.threads = threads;
    const bool alone = threads == 1;
    const auto train = [&](Pause& pause) {
        elman::Trainer<float> trainer(network, {}, never());
        const auto done = trainer.train(task, pause);
        check(static_cast<Index>(done.losses.size()) == trainer.updates(),
              "the reported losses are those of the updates made");
        check(!pause.stopped() || trainer.updates() < task.updates, "training is stopped");
    };
    check_polled("Trainer::train, " + std::to_string(batch_size) + " at a time, " +
                     std::to_string(threads) + " threads",
                 alone ? 3 * forward : 1, train, alone);
}

void test_training() {
    const auto network = network_of(elman::Direction::forward);
    Data data{48, kWork / network->multiply_adds() / 48 + 1};
    elman::Examples<float> examples;
    examples.sequences = data.sequences;
    examples.steps = data.steps;
    examples.x = {data.x.data(), {data.sequences}, {0}, 0, 1};
    examples.targets = {data.x.data(), {data.sequences}, {0}, 0, 1};
    const double forward = times(data.sequences * data.steps, network->multiply_adds());
    for (Index threads : {1, 3}) {
        test_gradients(network, examples, forward, threads);
        test_updates(network, examples, forward, data.sequences, threads);
    }
    test_updates(network, examples, forward, 16, 1);
}

// The calling thread polls while it waits for another one.
void test_waiting() {
    const auto network = network_of(elman::Direction::forward);
    Data data{2, kWork / network->multiply_adds()};
    const Index lengths[] = {data.steps, 0};
    elman::SequenceTask<float> task = data.task();
    task.lengths = lengths;
    Pause stopped([] { return false; });
    std::this_thread::sleep_for(Pause::kInterval);
    run_sequences(*network, task, 2, stopped);
    check(stopped.stopped(), "a waiting thread polls the pause");
}

}  // namespace

int main() {
    elman::set_thread_limits({8, 1});
    using elman::Direction;
    for (Direction direction : {Direction::forward, Direction::reverse, Direction::bidirectional}) {
        for (Index sequences : {1, 100})
            for (Index threads : {1, 2}) test_sequences(direction, sequences, threads);
        test_padding(direction);
    }
    test_many_lengths();
    test_stream();
    test_pool();
    test_initialization();
    test_trainer();
    test_training();
    test_waiting();
    return failures != 0;
}
