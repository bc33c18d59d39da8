// sequences.cpp - sequence tasks through the C++ API: defaults and refused arguments.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "elman/sequence.hpp"
#include "elman/stream.hpp"
#include "elman/threads.hpp"

using elman::Index;
using elman::Outputs;

namespace {

constexpr Index kSize = 3;  // of inputs and outputs
constexpr Index kFedBack = 9;

using Numbers = std::vector<double>;
using Network = elman::Network<double>;
using Task = elman::SequenceTask<double>;

std::shared_ptr<const Network> network_of(elman::Direction direction) {
    elman::Architecture shape = everything();
    for (elman::LayerShape& layer : shape.layers) layer.direction = direction;
    shape.readout = elman::ReadoutShape{kSize, elman::Function::tanh};
    return random_network<double>(shape, elman::isa());
}

Numbers inputs(Index count) {
    Numbers x(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i % 17) / 8 - 1;
    return x;
}

Task task_of(const Numbers& x, Numbers& y, Index sequences, Index steps, Index output_steps) {
    Task task;
    task.sequences = sequences;
    task.steps = steps;
    task.x = {x.data(), {sequences}, {steps * kSize}, kSize, 1};
    task.output = {y.data(), {sequences}, {output_steps * kSize}, kSize, 1};
    return task;
}

void run(const Network& network, const Task& task, Index threads = 1) {
    elman::Pause pause;
    run_sequences(network, task, threads, pause);
}

// The outputs of a stream on x, and then on its own outputs.
Numbers streamed(const std::shared_ptr<const Network>& network, const double* x, Index steps) {
    elman::Stream<double> stream(network);
    Numbers y(static_cast<std::size_t>((steps + kFedBack) * kSize));
    for (Index t = 0; t < steps + kFedBack; ++t)
        check(stream.step(t < steps ? x + t * kSize : y.data() + (t - 1) * kSize,
                          y.data() + t * kSize),
              "a step is done");
    return y;
}

void test_outputs_are_fed_back(Index sequences, Index steps) {
    const auto network = network_of(elman::Direction::forward);
    const Numbers x = inputs(sequences * steps * kSize);
    const Index total = steps + kFedBack;
    const std::string title =
        std::to_string(sequences) + " sequences of " + std::to_string(steps) + " steps: ";
    Numbers all(static_cast<std::size_t>(sequences * total * kSize)), late(all.size());
    Numbers last(static_cast<std::size_t>(sequences * kSize));
    Task task = task_of(x, all, sequences, steps, total);
    task.fed_back = kFedBack;
    run(*network, task);

    Task later = task_of(x, late, sequences, steps, total);
    later.fed_back = kFedBack;
    later.first_output = steps - 1;
    run(*network, later);

    Task of_last = task_of(x, last, sequences, steps, 1);
    of_last.fed_back = kFedBack;
    of_last.outputs = Outputs::last;
    run(*network, of_last);

    for (Index b = 0; b < sequences; ++b) {
        const Numbers expected = streamed(network, x.data() + b * steps * kSize, steps);
        const auto first = all.begin() + b * total * kSize;
        check(Numbers(first, first + total * kSize) == expected,
              title + "an output is fed back with the default first_output");
        const auto from = late.begin() + b * total * kSize;
        check(Numbers(from, from + (kFedBack + 1) * kSize) ==
                  Numbers(expected.end() - (kFedBack + 1) * kSize, expected.end()),
              title + "an output is fed back with another first_output");
        check(Numbers(last.begin() + b * kSize, last.begin() + (b + 1) * kSize) ==
                  Numbers(expected.end() - kSize, expected.end()),
              title + "an output is fed back with only the last output");
    }
}

// One sequence, and batches inside and outside the workspace that the network keeps, equal the
// steps of a stream, whatever the workspace was used for before.
void test_sequences_are_streams() {
    const auto network = network_of(elman::Direction::forward);
    const Numbers x = inputs(100 * 200 * kSize);
    const auto same = [&](const Numbers& y, Index sequences, Index steps, const char* function) {
        bool all = true;
        for (Index b = 0; b < sequences; ++b) {
            const Numbers expected = streamed(network, x.data() + b * steps * kSize, steps);
            all = all && std::equal(y.begin() + b * steps * kSize,
                                    y.begin() + (b + 1) * steps * kSize, expected.begin());
        }
        check(all, std::string(function) + ": " + std::to_string(sequences) + " sequences of " +
                       std::to_string(steps) + " steps are those of a stream");
    };
    for (Index sequences : {1, 100, 7, 64, 8, 9, 65})
        for (Index steps : {1, 64, 65, 200, 7}) {
            Numbers y(static_cast<std::size_t>(sequences * steps * kSize));
            run(*network, task_of(x, y, sequences, steps, steps));
            same(y, sequences, steps, "run_sequences");
            elman::Pause pause;
            Numbers one(static_cast<std::size_t>(steps * kSize));
            run_sequence(*network, {x.data(), kSize, 1}, {one.data(), kSize, 1}, steps, pause);
            same(one, 1, steps, "run_sequence");
        }
}

// With first_output, the outputs equal the last part of all outputs, padding included.
void test_first_output_of_padded_sequences() {
    constexpr Index sequences = 4, steps = 8, first = 3;
    const auto network = network_of(elman::Direction::forward);
    const Numbers x = inputs(sequences * steps * kSize);
    const Index lengths[sequences] = {2, 8, 0, 5};
    Numbers all(sequences * steps * kSize, 1), late(sequences * (steps - first) * kSize, 1);
    Task task = task_of(x, all, sequences, steps, steps);
    task.lengths = lengths;
    run(*network, task);
    Task later = task_of(x, late, sequences, steps, steps - first);
    later.lengths = lengths;
    later.first_output = first;
    run(*network, later);
    for (Index b = 0; b < sequences; ++b)
        for (Index i = 0; i < (steps - first) * kSize; ++i)
            check(late[static_cast<std::size_t>(b * (steps - first) * kSize + i)] ==
                      all[static_cast<std::size_t>((b * steps + first) * kSize + i)],
                  "the first output of padded sequences");
}

void check_refused(const std::function<void()>& call, const std::string& argument) {
    try {
        call();
        check(false, argument + " is refused");
    } catch (const std::invalid_argument& error) {
        check(std::string(error.what()).rfind(argument + ":", 0) == 0,
              argument + " is named by the error, got: " + error.what());
    }
}

void test_numbers_out_of_range_are_refused() {
    constexpr Index sequences = 2, steps = 4;
    const auto forward = network_of(elman::Direction::forward);
    const auto reverse = network_of(elman::Direction::reverse);
    const Numbers x = inputs(sequences * steps * kSize);
    Numbers y(sequences * (steps + 1) * kSize), h(sequences * steps * 14);
    const Index lengths[] = {4, 4}, negative[] = {4, -1}, long_ones[] = {4, 5};
    const unsigned char mask[sequences * steps] = {};
    const auto refused = [&](const std::string& argument, const auto& change,
                             bool runs_forward = true, Index threads = 1) {
        Task task = task_of(x, y, sequences, steps, steps + 1);
        change(task);
        check_refused([&] { run(runs_forward ? *forward : *reverse, task, threads); }, argument);
    };
    refused("threads", [](Task&) {}, true, 0);
    refused("sequences", [](Task& t) { t.sequences = -1; });
    refused("steps", [](Task& t) { t.steps = -1; });
    refused("fed_back", [](Task& t) { t.fed_back = -1; });
    refused("fed_back", [](Task& t) { t.fed_back = std::numeric_limits<Index>::max(); });
    refused("first_output", [](Task& t) { t.first_output = -1; });
    refused("first_output", [](Task& t) { t.first_output = steps + 1; });
    refused("lengths", [&](Task& t) { t.lengths = negative; });
    refused("lengths", [&](Task& t) { t.lengths = long_ones; });
    refused("mask", [&](Task& t) { t.lengths = lengths, t.mask = mask; });
    refused("x", [](Task& t) { t.x.data = nullptr; });
    refused("x", [](Task& t) { t.x.shape = {3}; });
    refused("x", [](Task& t) { t.x.strides = {}; });
    refused("output", [](Task& t) { t.output.data = nullptr; });
    refused("output", [](Task& t) { t.output.shape = {1, 1}, t.output.strides = {0, 0}; });
    refused("steps", [](Task& t) { t.fed_back = 1, t.steps = 0; });
    refused("lengths", [&](Task& t) { t.fed_back = 1, t.lengths = lengths; });
    refused("mask", [&](Task& t) { t.fed_back = 1, t.mask = mask; });
    refused("hidden", [&](Task& t) { t.fed_back = 1, t.hidden = h.data(); });
    refused("generate", [](Task& t) { t.fed_back = 1; }, false);
    refused("first_output", [](Task& t) { t.first_output = 1; }, false);
    refused("first_output", [&](Task& t) { t.first_output = 1, t.mask = mask; });
    const auto run_one = [&](const Network& network, Index count) {
        run_sequence(network, {x.data(), kSize, 1}, {y.data(), kSize, 1}, count, never());
    };
    check_refused([&] { run_one(*forward, -1); }, "steps");
    check_refused([&] { run_one(*reverse, 1); }, "run_sequence");
    check_refused([] { elman::Stream<double> stream(nullptr); }, "network");
    check_refused([&] { elman::Stream<double> stream(reverse); }, "stream");
}

void test_a_std_without_a_reciprocal_is_refused() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (const char* name : {"input_std", "output_std"})
        for (double wrong : {0.0, -1.0, 1e-310, kInfinity, std::nan("")}) {
            elman::Parameters<double> parameters(everything());
            for (const char* each : {"input_std", "output_std"})
                fill(parameters, each, [](Index, Index) { return 1.0; });
            fill(parameters, name, [=](Index row, Index) { return row == 1 ? wrong : 1; });
            check_refused([&] { const Network network(parameters, elman::isa()); },
                          std::string(name) + "[1]");
        }
}

// For any number of threads, also more than sequences.
void test_threads_do_not_change_a_bit(elman::Direction direction, const std::string& unreal) {
    constexpr Index sequences = 3, steps = 200;
    const auto network = network_of(direction);
    const Numbers x = inputs(sequences * steps * kSize);
    const Index lengths[sequences] = {150, 200, 0};
    std::vector<unsigned char> mask(sequences * steps);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 != 1;
    const auto results = [&](Index threads) {
        const Index state_size = network->state_size();
        Numbers all(static_cast<std::size_t>(sequences * steps * (kSize + state_size) +
                                             sequences * state_size),
                    -1);
        Task task = task_of(x, all, sequences, steps, steps);
        task.hidden = all.data() + sequences * steps * kSize;
        task.final_state = task.hidden + sequences * steps * state_size;
        if (unreal == "padding") {
            task.lengths = lengths;
        } else {
            task.mask = mask.data();
            task.hold_outputs = unreal == "held";
        }
        run(*network, task, threads);
        return all;
    };
    const Numbers alone = results(1);
    for (Index threads = 2; threads < 9; ++threads)
        check(results(threads) == alone, std::to_string(threads) + " threads change no bit, " +
                                             name(direction) + ", " + unreal);
}

}  // namespace

int main() {
    for (Index sequences : {1, 3, 100})
        for (Index steps : {1, 5, 300}) test_outputs_are_fed_back(sequences, steps);
    test_sequences_are_streams();
    test_first_output_of_padded_sequences();
    test_numbers_out_of_range_are_refused();
    test_a_std_without_a_reciprocal_is_refused();
    elman::set_thread_limits({8, 1});
    for (auto direction :
         {elman::Direction::forward, elman::Direction::reverse, elman::Direction::bidirectional})
        for (const char* unreal : {"padding", "held", "zero"})
            test_threads_do_not_change_a_bit(direction, unreal);
    return failures != 0;
}
