// training.cpp - what training takes from memory: for each further step its hidden states and
// nothing else; and errors that fade over a long time become zero and nothing subnormal.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "elman/trainer.hpp"
#include "memory.hpp"

using elman::Index;

namespace {

constexpr Index kSequences = 5, kInputs = 2;

template <class Real>
std::shared_ptr<const elman::Network<Real>> network(elman::Isa isa, double recurrence) {
    elman::Architecture shape;
    shape.input_size = kInputs;
    shape.layers = {{20, elman::Function::tanh}, {128, elman::Function::sigmoid}};
    shape.readout = elman::ReadoutShape{3, elman::Function::identity};
    elman::Parameters<Real> parameters(shape);
    elman::Pause pause;
    initialize(parameters, elman::Uniform{}, 1, pause);
    for (const char* name : {"layers.0.W_hh", "layers.1.W_hh"})
        fill(parameters, name, [&](Index row, Index col) { return row == col ? recurrence : 0; });
    return std::make_shared<const elman::Network<Real>>(std::move(parameters), isa);
}

// Makes an update with the last output of sequences of so many steps, or computes the loss alone,
// then looks at the memory.
template <class Real, class Look>
void train(const elman::Network<Real>& network, Index steps, bool loss_only, Look look) {
    const std::vector<Real> x(static_cast<std::size_t>(steps * kInputs), Real(0.5));
    const std::vector<Real> y(3, Real(1));
    elman::Examples<Real> examples;
    examples.sequences = kSequences;
    examples.steps = steps;
    examples.outputs = elman::Outputs::last;
    examples.x = {x.data(), {kSequences}, {0}, kInputs, 1};
    examples.targets = {y.data(), {kSequences}, {0}, 0, 1};
    const Index order[] = {4, 3, 2, 1, 0};
    const double rate = 1e-3;
    memory::watch();
    elman::Trainer<Real> trainer(network, {});
    elman::TrainingTask<Real> task{examples};
    task.sequences = order;
    task.count = task.batch_size = kSequences;
    task.learning_rates = &rate;
    task.updates = 1;
    elman::Pause pause;
    if (loss_only)
        trainer.loss(examples, 1, pause);
    else
        trainer.train(task, pause);
    look(memory::watched());
}

template <class Real>
std::size_t bytes(const elman::Network<Real>& network, Index steps, bool loss_only) {
    std::size_t sum = 0;
    train(network, steps, loss_only, [&](const std::vector<memory::Piece>& pieces) {
        for (const memory::Piece& piece : pieces) sum += piece.size;
    });
    return sum;
}

}  // namespace

int main() {
    for_each_isa_and_dtype([](elman::Isa isa, auto zero) {
        using Real = decltype(zero);
        const std::string title = std::string(name(isa)) + " " + dtype<Real>();
        const auto lasting = network<Real>(isa, 0.9);
        // Padded to cache lines, and a line more where the distance would be a power of two.
        constexpr Index line = elman::kAlignment / sizeof(Real);
        const Index states = elman::padded<Real>(20) + elman::padded<Real>(128) + line;
        const std::size_t growth = bytes(*lasting, 300, false) - bytes(*lasting, 100, false);
        check(
            growth == static_cast<std::size_t>(200 * kSequences * states) * sizeof(Real),
            title + ": memory grows by the hidden states alone, not by " + std::to_string(growth));
        check(bytes(*lasting, 300, true) == bytes(*lasting, 100, true),
              title + ": the memory of a loss does not grow with the steps");

        train(*network<Real>(isa, 0.01), 200, false, [&](const std::vector<memory::Piece>& pieces) {
            std::size_t subnormal = 0;
            for (const memory::Piece& piece : pieces) {
                const Real* numbers = static_cast<const Real*>(piece.start);
                for (std::size_t i = 0; i < piece.size / sizeof(Real); ++i)
                    subnormal += std::fpclassify(numbers[i]) == FP_SUBNORMAL;
            }
            check(subnormal == 0, title + ": " + std::to_string(subnormal) +
                                      " numbers are subnormal after errors faded");
        });
    });
    return failures != 0;
}
