// training.cpp - the memory of training; counting updates, refusing arguments and stopping;
// gradients compared with differences; and fading errors become zero.
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "elman/threads.hpp"
#include "elman/trainer.hpp"
#include "memory.hpp"

using elman::Index;
using elman::Pause;

namespace {

constexpr Index kSequences = 5, kInputs = 2;
constexpr Index kLargest = std::numeric_limits<Index>::max();

template <class Value>
std::size_t size_of(Value value) {
    return static_cast<std::size_t>(value);
}

template <class Real>
std::shared_ptr<const elman::Network<Real>> network(elman::Isa isa, double recurrence) {
    elman::Architecture shape;
    shape.input_size = kInputs;
    shape.layers = {{20, elman::Function::tanh}, {128, elman::Function::sigmoid}};
    shape.readout = elman::ReadoutShape{3, elman::Function::identity};
    elman::Parameters<Real> parameters(shape);
    Pause pause;
    initialize(parameters, elman::Uniform{}, 1, pause);
    for (const char* name : {"layers.0.W_hh", "layers.1.W_hh"})
        fill(parameters, name, [&](Index row, Index col) { return row == col ? recurrence : 0; });
    return std::make_shared<const elman::Network<Real>>(std::move(parameters), isa);
}

// Two layers, scaling, an initial state and a tanh readout.
template <class Real>
std::shared_ptr<const elman::Network<Real>> small_network() {
    elman::Architecture shape = everything();
    shape.readout->activation = elman::Function::tanh;
    return random_network<Real>(shape, elman::available_isas().back());
}

// Examples for small_network: 0.1, 0.2, ... and their negatives.
template <class Real>
struct Data {
    std::vector<Real> x, y;
    std::vector<Index> lengths, order;
    std::vector<double> rates;
    elman::Examples<Real> examples;

    Data(std::vector<Index> of, Index steps, Index inputs = 3, Index outputs = 2)
        : lengths(std::move(of)) {
        const auto count = static_cast<Index>(lengths.size());
        for (Index i = 0; i < count * steps * inputs; ++i)
            x.push_back(static_cast<Real>(static_cast<double>(i % 7 - 3) / 10));
        for (Index i = 0; i < count * steps * outputs; ++i)
            y.push_back(static_cast<Real>(static_cast<double>(i % 5 - 2) / 10));
        for (Index i = 0; i < count; ++i) order.push_back(i);
        examples.sequences = count;
        examples.steps = steps;
        examples.x = {x.data(), {count}, {steps * inputs}, inputs, 1};
        examples.targets = {y.data(), {count}, {steps * outputs}, outputs, 1};
        examples.lengths = lengths.data();
    }

    elman::TrainingTask<Real> task(Index batch_size, elman::Truncation truncation) {
        elman::TrainingTask<Real> task{examples};
        task.sequences = order.data();
        task.count = static_cast<Index>(order.size());
        task.batch_size = batch_size;
        task.truncation = truncation;
        task.updates =
            updates_of(examples, task.sequences, task.count, batch_size, truncation, never());
        rates.assign(size_of(task.updates), 0.01);
        task.learning_rates = rates.data();
        return task;
    }
};

template <class Real>
bool same(const elman::Parameters<Real>& a, const elman::Parameters<Real>& b) {
    return std::equal(a.data(), a.data() + a.size(), b.data());
}

void check_refused(const std::string& what, const std::function<void()>& call) {
    try {
        call();
        check(false, what + " is refused");
    } catch (const std::invalid_argument& error) {
        const std::string text = error.what();
        check(text.find(": expected ") != std::string::npos &&
                  text.find(", got ") != std::string::npos,
              what + ": the error has what was expected and what was given, not '" + text + "'");
    }
}

// Makes an update with the last output of sequences of `steps` steps, then inspects the memory.
template <class Real, class Look>
void train(const std::shared_ptr<const elman::Network<Real>>& network, Index steps, bool update,
           Look look) {
    const std::vector<Real> x(size_of(steps * kInputs), Real(0.5));
    const std::vector<Real> y(3, Real(1));
    elman::Examples<Real> examples;
    examples.sequences = kSequences;
    examples.steps = steps;
    examples.outputs = elman::Outputs::last;
    examples.x = {x.data(), {kSequences}, {0}, kInputs, 1};
    examples.targets = {y.data(), {kSequences}, {0}, 0, 1};
    const Index order[] = {4, 3, 2, 1, 0};
    const double rate = 1e-3;
    Pause pause;
    elman::TrainingTask<Real> task{examples};
    task.sequences = order;
    task.count = task.batch_size = kSequences;
    task.learning_rates = &rate;
    task.updates = 1;
    memory::watch();
    elman::Trainer<Real> trainer(network, {}, never());
    if (update)
        trainer.train(task, pause);
    else
        trainer.loss(examples, 1, pause);
    look(memory::watched());
}

template <class Real>
std::size_t bytes(const std::shared_ptr<const elman::Network<Real>>& network, Index steps,
                  bool update) {
    std::size_t sum = 0;
    train(network, steps, update, [&](const std::vector<memory::Piece>& pieces) {
        for (const memory::Piece& piece : pieces) sum += piece.size;
    });
    return sum;
}

template <class Real>
void test_memory_grows_by_the_hidden_states_alone(elman::Isa isa, const std::string& title) {
    const auto lasting = network<Real>(isa, 0.9);
    // Padded to cache lines, plus one line where the stride would be a power of two.
    constexpr Index line = elman::kAlignment / sizeof(Real);
    const Index states = elman::padded<Real>(20) + elman::padded<Real>(128) + line;
    const std::size_t growth = bytes(lasting, 300, true) - bytes(lasting, 100, true);
    check(growth == size_of(200 * kSequences * states) * sizeof(Real),
          title + ": memory grows only by the hidden states, not by " + std::to_string(growth));
    const std::size_t of_loss = bytes(lasting, 900, false) - bytes(lasting, 300, false);
    check(of_loss == 0, title + ": a loss keeps no states, not " + std::to_string(of_loss));
    const std::size_t arena = size_of(lasting->layout().size()) * sizeof(Real);
    check(bytes(lasting, 1, false) + arena <= bytes(lasting, 1, true),
          title + ": a loss has no gradients");
}

template <class Real>
void test_nothing_becomes_subnormal(elman::Isa isa, const std::string& title) {
    train(network<Real>(isa, 0.01), 200, true, [&](const std::vector<memory::Piece>& pieces) {
        std::size_t subnormal = 0;
        for (const memory::Piece& piece : pieces) {
            const Real* numbers = static_cast<const Real*>(piece.start);
            for (std::size_t i = 0; i < piece.size / sizeof(Real); ++i)
                subnormal += std::fpclassify(numbers[i]) == FP_SUBNORMAL;
        }
        check(subnormal == 0, title + ": " + std::to_string(subnormal) +
                                  " numbers are subnormal after errors faded");
    });
}

template <class Real>
void test_a_minibatch_without_steps_is_an_update_without_weight() {
    Data<Real> data({6, 0, 6}, 6);
    Pause pause;
    elman::Trainer<Real> trainer(small_network<Real>(), {}, never());
    const elman::TrainingTask<Real> task = data.task(1, {2, 2});
    check(task.updates == 7, "windows of 6, 0 and 6 steps");
    const elman::Losses done = trainer.train(task, pause);
    check(done.weights == std::vector<double>{2, 2, 2, 0, 2, 2, 2}, "weights of the updates");
    check(done.losses.size() == 7 && done.losses[3] == 0, "losses of the updates");
    check(trainer.updates() == 6, "a minibatch without steps changes no weight");
}

// All in one batch and one window.
template <class Real>
void test_the_largest_numbers_do_not_overflow() {
    Data<Real> data({6, 4, 6}, 6);
    Pause pause;
    const auto net = small_network<Real>();
    const auto trained = [&](Index batch_size, elman::Truncation truncation) {
        elman::Trainer<Real> trainer(net, {}, never());
        check(trainer.train(data.task(batch_size, truncation), pause).losses.size() == 1,
              "one update");
        return trainer.parameters(never());
    };
    const auto expected = trained(3, {});
    check(same(trained(kLargest, {}), expected), "the largest batch_size");
    check(same(trained(3, {kLargest, kLargest}), expected), "the largest truncation");
    check(data.task(3, {kLargest, 2}).updates == 3, "windows of the largest truncation");
    elman::Trainer<Real> trainer(net, {}, never());
    check(trainer.train(data.task(3, {kLargest, 2}), pause).losses.size() == 3, "its updates");
}

template <class Real>
void test_what_is_out_of_range_is_refused() {
    Data<Real> data({6, 4, 6}, 6);
    Pause pause;
    const auto net = small_network<Real>();
    elman::Trainer<Real> trainer(net, {}, never());
    const auto refused = [&](const std::string& what, auto change) {
        elman::TrainingTask<Real> task = data.task(2, {});
        change(task);
        check_refused(what, [&] { trainer.train(task, pause); });
    };
    refused("batch_size 0", [](auto& task) { task.batch_size = 0; });
    refused("threads 0", [](auto& task) { task.threads = 0; });
    refused("too few rates", [](auto& task) { task.updates = 1; });
    refused("truncation", [](auto& task) { task.truncation = {2, 3}; });
    refused("sequences", [](auto& task) { task.count = -1; });
    elman::PartTask<Real> part;
    part.sequences = data.order.data();
    part.count = 3;
    part.window.last = 6;
    for (const elman::Truncation truncation : {elman::Truncation{-1, -1}, {2, -3}, {2, 9}}) {
        part.truncation = truncation;
        check_refused("the truncation of a part",
                      [&] { trainer.part(data.examples, part, net->parameters(), 1, pause); });
    }
    data.order[1] = 3;
    check_refused("an index", [&] { trainer.train(data.task(3, {}), pause); });
    data.order[1] = 1;
    data.lengths[1] = 7;
    check_refused("a length", [&] { trainer.loss(data.examples, 1, pause); });
    data.lengths[1] = 4;
    const double nan = std::nan("");
    const std::vector<double> weights(18, nan);
    data.examples.weights = weights.data();
    check_refused("a weight", [&] { trainer.loss(data.examples, 1, pause); });
    data.examples.weights = nullptr;
    data.examples.loss = elman::Loss::bce;
    check_refused("a loss", [&] { loss_and_gradients(*net, data.examples, {}, {}, 1, pause); });
    data.examples.loss = elman::Loss::mse;
    check_refused("a normalizer",
                  [&] { loss_and_gradients(*net, data.examples, {}, 0.0, 1, pause); });
    elman::TrainerSettings settings;
    settings.optimizer.beta1 = 1;
    check_refused("beta1", [&] { elman::Trainer<Real>(net, settings, never()); });
}

template <class Real>
void test_a_state_of_another_size_changes_nothing() {
    Data<Real> data({6, 4, 6}, 6), more({6, 4, 6, 6}, 6);
    Pause pause;
    elman::Trainer<Real> trainer(small_network<Real>(), {}, never());
    elman::TrainingTask<Real> task = data.task(2, {});
    task.carry = true;
    trainer.train(task, pause);
    elman::TrainingTask<Real> larger = more.task(2, {});
    larger.carry = true;
    check_refused("carried states", [&] { trainer.train(larger, pause); });

    const auto before = trainer.state(never());
    const auto unchanged = [&](const std::string& what) {
        const auto after = trainer.state(never());
        bool equal = after.carried == before.carried && after.updates == before.updates;
        for (std::size_t i = 0; i < before.arenas.size(); ++i)
            equal = equal && same(after.arenas[i], before.arenas[i]);
        check(equal, what + " changes nothing");
    };
    for (int i = 0; i < 4; ++i) {
        auto wrong = before;
        if (i == 0) wrong.carried.pop_back();
        if (i == 1) wrong.updates = -1;
        if (i == 2) wrong.arenas.pop_back();
        if (i == 3) wrong.updates = kLargest;
        check_refused("a state", [&] { trainer.restore(wrong, never()); });
        unchanged("a refused state");
    }
    trainer.train(task, pause);
    trainer.restore(before, never());
    unchanged("training and restoring");
}

template <class Real>
std::shared_ptr<const elman::Network<Real>> wide_network() {
    elman::Architecture shape;
    shape.input_size = 3;
    shape.layers = {{64, elman::Function::tanh}};
    shape.readout = elman::ReadoutShape{2, elman::Function::identity};
    return random_network<Real>(shape, elman::available_isas().back());
}

// One leaf of sequences so long that it must be stopped in the middle.
void test_training_stops_within_a_leaf() {
    Data<float> data(std::vector<Index>(16, 2000), 2000);
    const auto net = wide_network<float>();
    elman::Trainer<float> trainer(net, {}, never());
    Pause patient;
    const elman::Losses whole = trainer.train(data.task(16, {}), patient);
    const Index work = 3 * 16 * 2000 * net->multiply_adds();
    check(patient.looks() >= work / Pause::kWork / 4, "an update polls throughout");
    const auto before = trainer.parameters(never());

    Pause stopping([] { return false; });
    std::this_thread::sleep_for(2 * Pause::kInterval);
    const elman::Losses done = trainer.train(data.task(16, {}), stopping);
    check(
        done.losses.empty() && same(trainer.parameters(never()), before) && trainer.updates() == 1,
        "a stopped update changes nothing");
    check(stopping.looks() < patient.looks() / 4, "it stops in the middle");

    // After several updates: exactly the updates that were made are reported.
    elman::TrainingTask<float> many = data.task(1, {2, 1});
    Pause later([n = 0]() mutable { return ++n < 3; });
    const elman::Losses some = trainer.train(many, later);
    check(later.stopped() && static_cast<Index>(some.losses.size()) == trainer.updates() - 1 &&
              !some.losses.empty() && static_cast<Index>(some.losses.size()) < many.updates,
          "the updates made before are reported");
}

template <class Real>
void test_a_loss_alone_is_that_of_the_gradients() {
    std::vector<Index> lengths;
    for (Index i = 0; i < 50; ++i) lengths.push_back(i * 7 % 40);
    Data<Real> data(lengths, 40);
    const auto net = small_network<Real>();
    Pause pause;
    for (elman::Outputs outputs : {elman::Outputs::all, elman::Outputs::last}) {
        data.examples.outputs = outputs;
        elman::Trainer<Real> trainer(net, {}, never());
        const double loss = loss_and_gradients(*net, data.examples, {}, {}, 1, pause).loss;
        for (Index threads : {1, 2, 3})
            check(trainer.loss(data.examples, threads, pause) == loss, "the bits of a loss");
    }
}

// The loss sum(a y) + sum(b h), with derivatives a and b, compared with central differences.
struct Outside {
    std::shared_ptr<const elman::Network<double>> net;
    Data<double> data{{5, 0, 3}, 5};
    std::vector<double> a, b, states;
    elman::BackwardTask<double> task;

    Outside() : net(small_network<double>()) {
        const Index steps = 5, outputs = 2, size = net->state_size();
        for (Index i = 0; i < 3 * steps * outputs; ++i)
            a.push_back(std::sin(static_cast<double>(i)));
        for (Index i = 0; i < 3 * steps * size; ++i) b.push_back(std::cos(static_cast<double>(i)));
        for (Index i = 0; i < 3 * size; ++i) states.push_back(std::sin(static_cast<double>(i)) / 3);
        task.sequences = 3;
        task.steps = steps;
        task.x = data.examples.x;
        task.lengths = data.lengths.data();
        task.state = states.data();
        task.dL_dy = {a.data(), {3}, {steps * outputs}, outputs, 1};
        task.dL_dh = {b.data(), {3}, {steps * size}, size, 1};
        task.with_x = true;
    }

    double loss(const elman::Network<double>& of) const {
        std::vector<double> y(a.size()), h(b.size());
        elman::SequenceTask<double> run;
        run.sequences = 3;
        run.steps = task.steps;
        run.x = task.x;
        run.lengths = task.lengths;
        run.state = task.state;
        run.output = {y.data(), {3}, {task.steps * 2}, 2, 1};
        run.hidden = h.data();
        Pause pause;
        run_sequences(of, run, 1, pause);
        double sum = 0;
        for (Index sequence = 0; sequence < 3; ++sequence)  // not padding
            for (Index t = 0; t < data.lengths[size_of(sequence)]; ++t) {
                const Index row = sequence * task.steps + t, size = of.state_size();
                for (Index i = row * 2; i < row * 2 + 2; ++i) sum += a[size_of(i)] * y[size_of(i)];
                for (Index i = row * size; i < (row + 1) * size; ++i)
                    sum += b[size_of(i)] * h[size_of(i)];
            }
        return sum;
    }
};

void test_gradients_of_a_loss_from_outside() {
    Outside outside;
    Pause pause;
    constexpr double step = 1e-5;
    const auto check_each = [&](const std::string& what, double* numbers, const double* gradients,
                                Index count, const auto& loss) {
        for (Index i = 0; i < count; ++i) {
            const double value = numbers[i];
            numbers[i] = value + step;
            const double more = loss();
            numbers[i] = value - step;
            const double less = loss();
            numbers[i] = value;
            check(std::abs((more - less) / (2 * step) - gradients[i]) < 1e-7,
                  "gradient " + std::to_string(i) + " of " + what);
        }
    };
    const elman::Gradients<double> gradients = backward(*outside.net, outside.task, 1, pause);
    const auto here = [&] { return outside.loss(*outside.net); };
    check_each("x", outside.data.x.data(), gradients.x.data(), 3 * 5 * 3, here);
    check_each("the states", outside.states.data(), gradients.state.data(),
               3 * outside.net->state_size(), here);
    elman::Parameters<double> parameters = outside.net->parameters();
    for (const elman::Tensor& tensor : parameters.tensors()) {
        if (tensor.name.find("put_") != std::string::npos) continue;  // scaling has no gradients
        check_each(tensor.name, parameters.data() + tensor.offset,
                   gradients.parameters.data() + tensor.offset, tensor.size(), [&] {
                       return outside.loss(elman::Network<double>(parameters, outside.net->isa()));
                   });
    }
}

// Given the derivatives of a squared error, the gradients equal those of the loss, bit for bit.
template <class Real>
void test_errors_from_outside_have_the_bits_of_a_loss() {
    Data<Real> data({6, 0, 3, 6}, 6);
    const auto net = small_network<Real>();
    Pause pause;
    std::vector<Real> y(data.y.size()), dL_dy(y.size());
    elman::SequenceTask<Real> run;
    run.sequences = 4;
    run.steps = 6;
    run.x = data.examples.x;
    run.output = {y.data(), {4}, {12}, 2, 1};
    run_sequences(*net, run, 1, pause);
    const double weight = total_weight(data.examples, pause);
    for (std::size_t i = 0; i < y.size(); ++i)
        dL_dy[i] = static_cast<Real>(2 * (1 / weight) / 2) * (y[i] - data.y[i]);
    for (std::size_t i = 12; i < 24; ++i) dL_dy[i] = std::numeric_limits<Real>::quiet_NaN();

    elman::BackwardTask<Real> task;
    task.sequences = 4;
    task.steps = 6;
    task.x = data.examples.x;
    task.lengths = data.lengths.data();
    task.dL_dy = {dL_dy.data(), {4}, {12}, 2, 1};
    const auto expected = loss_and_gradients(*net, data.examples, {}, {}, 1, pause);
    const auto found = backward(*net, task, 1, pause);
    check(same(expected.parameters, found.parameters) && expected.state == found.state,
          "gradients from given derivatives");
    check(elman::sum_states(found.state.data(), net->state_size(), {4}, {false}, never()) ==
              std::vector<Real>(expected.parameters.find("initial_state"),
                                expected.parameters.find("initial_state") + net->state_size()),
          "the gradient of the initial state is the sum over the sequences");
}

// 2^-24 + 1 is 1 in float, so the order of a sum is visible.
void test_states_are_summed_in_leaves_and_trees() {
    std::vector<float> states(40, 0x1p-24f);
    states[0] = states[16] = states[32] = 1;
    const auto sums = [&](const std::vector<Index>& shape, const std::vector<bool>& kept) {
        return elman::sum_states(states.data(), 1, shape, kept, never());
    };
    check(sums({40}, {false}) == std::vector<float>{3}, "40 = (16 + 16) + 8 in one sum");
    check(sums({40}, {true}) == states, "every axis kept");
    std::vector<float> pairs(20, 0x1p-23f);
    pairs[0] = pairs[8] = pairs[16] = 1;
    check(sums({20, 2}, {true, false}) == pairs, "the last axis");
    const std::vector<float> columns = sums({20, 2}, {false, true});
    check(columns.size() == 2 && columns[0] > 2.9f && columns[1] == 20 * 0x1p-24f,
          "the first axis");
    check(sums({0, 2}, {false, true}) == std::vector<float>(2), "no sequences");
    check_refused("axes", [&] { sums({40}, {}); });
}

// Adds the parts of leaves [first, first + count) of a task as a binary tree.
template <class Real>
elman::Part<Real> tree(elman::Trainer<Real>& worker, const Data<Real>& data,
                       const elman::PartTask<Real>& task, const elman::Parameters<Real>& weights,
                       Index states, Index first, Index count) {
    if (count == 1) {
        elman::PartTask<Real> leaf = task;
        leaf.sequences += 16 * first;
        leaf.count = std::min<Index>(16, task.count - 16 * first);
        if (task.states) leaf.states += 16 * first * states;
        return worker.part(data.examples, leaf, weights, 1, never());
    }
    Index left = 1;
    while (left < count - left) left *= 2;
    auto sum = tree(worker, data, task, weights, states, first, left);
    const auto right = tree(worker, data, task, weights, states, first + left, count - left);
    sum.loss += right.loss;
    for (Index i = 0; i < sum.gradients.size(); ++i)
        sum.gradients.data()[i] += right.gradients.data()[i];
    sum.states.insert(sum.states.end(), right.states.begin(), right.states.end());
    return sum;
}

template <class Real>
void test_parts_computed_elsewhere_have_the_bits_of_one_trainer() {
    std::vector<Index> lengths;
    for (Index i = 0; i < 75; ++i) lengths.push_back(1 + i % 9);
    Data<Real> data(lengths, 9);
    const auto network = small_network<Real>();
    elman::TrainerSettings settings;
    settings.optimizer.method = elman::Method::adam;
    settings.clip_norm = 0.1;
    settings.train_initial_state = true;
    for (const elman::Truncation truncation : {elman::Truncation{}, elman::Truncation{5, 3}}) {
        elman::Trainer<Real> alone(network, settings, never()), driver(network, settings, never()),
            worker(network, settings, never());
        int parts = 0;
        const elman::Elsewhere<Real> elsewhere = [&](const auto& task, const auto& weights) {
            ++parts;
            const Index states = network->state_size();
            return tree(worker, data, task, weights, states, 0, 1 + (task.count - 1) / 16);
        };
        auto task = data.task(70, truncation);
        const elman::Losses expected = alone.train(task, never());
        task.elsewhere = &elsewhere;
        const elman::Losses found = driver.train(task, never());
        check(parts > 1 && found.losses == expected.losses, "the losses of parts");
        check(same(driver.parameters(never()), alone.parameters(never())), "the weights of parts");
        check(driver.loss(data.examples, 1, never(), &elsewhere) ==
                  alone.loss(data.examples, 1, never()),
              "the loss of parts");
    }
}

template <class Real>
void test_nan_is_not_lost() {
    Data<Real> data({6}, 6);
    data.x[4] = std::numeric_limits<Real>::quiet_NaN();
    Pause pause;
    for (int method = 0; method < 5; ++method) {
        elman::TrainerSettings settings;
        settings.optimizer.method = static_cast<elman::Method>(method);
        settings.optimizer.centered = true;
        elman::Trainer<Real> trainer(small_network<Real>(), settings, never());
        check(std::isnan(trainer.train(data.task(1, {}), pause).losses[0]), "NaN in a loss");
        elman::Optimizer<Real> optimizer(settings.optimizer, 1, never());
        Real number = 1;
        const Real nan = std::numeric_limits<Real>::quiet_NaN();
        optimizer.update(&number, &nan, 0.1);
        check(std::isnan(number), "NaN in a gradient");
    }
}

template <class Real>
void test_all() {
    test_a_minibatch_without_steps_is_an_update_without_weight<Real>();
    test_the_largest_numbers_do_not_overflow<Real>();
    test_what_is_out_of_range_is_refused<Real>();
    test_a_state_of_another_size_changes_nothing<Real>();
    test_a_loss_alone_is_that_of_the_gradients<Real>();
    test_errors_from_outside_have_the_bits_of_a_loss<Real>();
    test_parts_computed_elsewhere_have_the_bits_of_one_trainer<Real>();
    test_nan_is_not_lost<Real>();
}

}  // namespace

int main() {
    elman::set_thread_limits({16, 1});
    for_each_isa_and_dtype([](elman::Isa isa, auto zero) {
        using Real = decltype(zero);
        const std::string title = std::string(name(isa)) + " " + dtype<Real>();
        test_memory_grows_by_the_hidden_states_alone<Real>(isa, title);
        test_nothing_becomes_subnormal<Real>(isa, title);
    });
    test_all<float>();
    test_all<double>();
    test_training_stops_within_a_leaf();
    test_gradients_of_a_loss_from_outside();
    test_states_are_summed_in_leaves_and_trees();
    return failures != 0;
}
