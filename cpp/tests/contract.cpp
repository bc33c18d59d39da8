// contract.cpp - compares every instruction set of this processor with `scalar`, bit for bit.
//
// Runs networks of awkward sizes, in batches and as streams, and trains them, on every set with a
// fused multiply-add, and prints one hash over all results: equal on any two processors. Needs only
// the C++ core, so it also runs in an emulator. Exit status 1 if any bit differs.
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "elman/initialization.hpp"
#include "elman/stream.hpp"
#include "elman/trainer.hpp"

namespace {

using namespace elman;

constexpr Index kSizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
constexpr Index kSteps = 3;

struct Hash {
    std::uint64_t value = 14695981039346656037u;  // FNV-1a
    template <class Real>
    void add(const std::vector<Real>& numbers) {
        for (Real number : numbers) {
            unsigned char bytes[sizeof(Real)];
            if (std::isnan(number)) number = Real(0.1234);  // the bits of a NaN are not promised
            std::memcpy(bytes, &number, sizeof(Real));
            for (unsigned char byte : bytes) value = (value ^ byte) * 1099511628211u;
        }
    }
};

Architecture architecture(std::size_t i) {
    const auto size = [](std::size_t k) { return kSizes[k % 16]; };
    const auto general = [](const char* function, double alpha, double beta, double clip) {
        const auto some = [](double value) {
            return value == 0 ? std::nullopt : std::optional<double>(value);
        };
        return activation_from_name(function, some(alpha), some(beta), some(clip), "");
    };
    const Activation hidden[] = {Function::tanh,
                                 Function::sigmoid,
                                 Function::relu,
                                 Function::identity,
                                 Function::softplus,
                                 general("elu", 1.5, 0, 0),
                                 general("scaled_tanh", 1.7159, 0.66, 0),
                                 general("leaky_relu", 0.3, 0, 0.5),
                                 Function::softsign,
                                 general("thresholded_relu", 0.1, 0, 0)};
    const Activation output[] = {Function::sigmoid,
                                 Function::softmax,
                                 Function::tanh,
                                 Function::identity,
                                 Function::relu,
                                 Function::hard_sigmoid,
                                 general("affine", -0.5, 0.25, 0),
                                 general("tanh", 0, 0, 0.5),
                                 Function::log_softmax};
    Architecture a;
    a.input_size = size(3 * i + 5);
    a.layers.push_back({size(i), hidden[i % 10], i % 3 != 0});
    if (i % 2) a.layers.push_back({size(5 * i + 2), hidden[i / 2 % 10], i % 5 != 0});
    if (i % 7) a.readout = ReadoutShape{size(7 * i + 1), output[i % 9], i % 4 != 0};
    return a;
}

// One layer of one panel, or of several: from 65 units on with any set.
Architecture tanh_layer(Index size) {
    Architecture a;
    a.input_size = 3;
    a.layers.push_back({size, Function::tanh, true});
    return a;
}

template <class Real>
std::vector<Real> inputs(Index count) {
    std::vector<Real> x(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<Real>(static_cast<double>(i * 7919 % 2003) / 500.0 - 2.0);
    return x;
}

// The outputs and final states of a batch, then the outputs of a stream of its first sequence.
template <class Real>
std::vector<Real> results(const Architecture& a, Isa isa, Index sequences) {
    Pause pause;
    Parameters<Real> parameters(a);
    initialize(parameters, Uniform{}, 7, pause);
    const auto network = std::make_shared<const Network<Real>>(std::move(parameters), isa);
    const std::vector<Real> x = inputs<Real>(sequences * kSteps * a.input_size);
    const Index outputs = sequences * kSteps * a.output_size();
    std::vector<Real> all(
        static_cast<std::size_t>(outputs + sequences * a.state_size() + kSteps * a.output_size()));

    SequenceTask<Real> task;
    task.sequences = sequences;
    task.steps = kSteps;
    task.x = {x.data(), {sequences}, {kSteps * a.input_size}, a.input_size, 1};
    task.output = {all.data(), {sequences}, {kSteps * a.output_size()}, a.output_size(), 1};
    task.final_state = all.data() + outputs;
    run_sequences(*network, task, 1, pause);
    Stream<Real> stream(network);
    Real* y = all.data() + outputs + sequences * a.state_size();
    for (Index t = 0; t < kSteps; ++t)
        if (!stream.step(x.data() + t * a.input_size, y + t * a.output_size())) std::abort();
    return all;
}

// The loss and gradients of a batch, and the parameters after several updates.
template <class Real>
std::vector<Real> trained(const Architecture& a, Isa isa, Index sequences, Method method) {
    Pause pause;
    Parameters<Real> parameters(a);
    initialize(parameters, Uniform{}, 7, pause);
    const auto network = std::make_shared<const Network<Real>>(std::move(parameters), isa);
    const std::vector<Real> x = inputs<Real>(sequences * kSteps * a.input_size);
    const std::vector<Real> y = inputs<Real>(sequences * kSteps * a.output_size());
    std::vector<Index> classes, lengths, order;
    for (Index b = 0; b < sequences; ++b) {
        lengths.push_back(b % 4 == 3 ? 1 : kSteps);
        order.push_back(sequences - 1 - b);
        for (Index t = 0; t < kSteps; ++t) classes.push_back((b + t) % a.output_size());
    }
    Examples<Real> examples;
    examples.sequences = sequences;
    examples.steps = kSteps;
    examples.x = {x.data(), {sequences}, {kSteps * a.input_size}, a.input_size, 1};
    examples.targets = {y.data(), {sequences}, {kSteps * a.output_size()}, a.output_size(), 1};
    examples.lengths = lengths.data();
    if (a.readout && a.readout->activation.function == Function::softmax) {
        examples.loss = Loss::cross_entropy;
        examples.classes = classes.data();
    }
    const auto gradients = loss_and_gradients(*network, examples, {}, {}, 1, pause);
    std::vector<Real> all{static_cast<Real>(gradients.loss)};
    const auto append = [&](const Parameters<Real>& arena) {
        all.insert(all.end(), arena.data(), arena.data() + arena.size());
    };
    append(gradients.parameters);

    TrainerSettings settings;
    settings.optimizer.method = method;
    settings.optimizer.momentum = 0.5;
    settings.clip_norm = 0.1;
    Trainer<Real> trainer(network, settings, pause);
    const std::vector<double> rates(
        static_cast<std::size_t>(updates_of(examples, order.data(), sequences, 16, {2, 1}, pause)),
        0.01);
    TrainingTask<Real> task{examples};
    task.sequences = order.data();
    task.count = sequences;
    task.batch_size = 16;
    task.learning_rates = rates.data();
    task.updates = static_cast<Index>(rates.size());
    task.truncation = {2, 1};
    trainer.train(task, pause);
    append(trainer.parameters(pause));
    return all;
}

// The number of sets without the bits of scalar, for a network and its training.
template <class Real>
int compare(const char* dtype, Hash& hash, const Architecture& a, Index sequences, Method method) {
    const auto everything = [&](Isa isa) {
        Hash of;
        of.add(results<Real>(a, isa, sequences));
        of.add(trained<Real>(a, isa, sequences, method));
        return of.value;
    };
    const std::uint64_t scalar = everything(Isa::scalar);
    hash.add(std::vector<double>{static_cast<double>(scalar >> 32),
                                 static_cast<double>(scalar & 0xffffffffu)});
    int differences = 0;
    for (Isa isa : available_isas()) {
        if (!fused(isa) || everything(isa) == scalar) continue;
        ++differences;
        std::printf("inputs %d, hidden %d, sequences %d in %s: %s differs from scalar\n",
                    static_cast<int>(a.input_size), static_cast<int>(a.layers[0].hidden_size),
                    static_cast<int>(sequences), dtype, name(isa));
    }
    return differences;
}

template <class Real>
int compare(const char* dtype, Hash& hash) {
    int differences = 0;
    for (std::size_t i = 0; i < 48; ++i) {
        const Index sequences = 1 + static_cast<Index>(i * i % 11) + (i % 9 ? 0 : 16);
        const auto method = static_cast<Method>(i % 5);
        differences += compare<Real>(dtype, hash, architecture(i), sequences, method);
    }
    for (Index size = 2; size <= 66; ++size)
        differences += compare<Real>(dtype, hash, tanh_layer(size), 1, Method::sgd);
    return differences;
}

}  // namespace

int main() {
    Hash hash;
    const int differences = compare<float>("float32", hash) + compare<double>("float64", hash);
    std::printf("compared:");
    for (Isa isa : available_isas())
        if (fused(isa)) std::printf(" %s", name(isa));
    std::printf("\nhash: %016" PRIx64 "\n", hash.value);
    return differences ? 1 : 0;
}
