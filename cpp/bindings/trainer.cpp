// trainer.cpp - bindings of the trainer.
#include "elman/trainer.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "elman/random.hpp"
#include "examples.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

struct AnyTrainer {
    std::variant<std::unique_ptr<Trainer<float>>, std::unique_ptr<Trainer<double>>> trainer;

    // Calls work(trainer) with the trainer taken; a concurrent call is refused.
    template <class Work>
    auto taken(const Work& work) const {
        return std::visit(
            [&](const auto& own) {
                const Taken taken(own->busy());
                if (!taken)
                    throw BusyError("trainer",
                                    "call its methods one at a time (a callback's network() "
                                    "only inside the callback)");
                return work(*own);
            },
            trainer);
    }
};

// The work of reading or writing all parameters and moments.
template <class Real>
Index work_of_all(const Network<Real>& network) {
    constexpr Index kMostArenas = 4;
    return work_of(network.parameters().size(), kNumberWork * kMostArenas);
}
template <class Real>
Index work_of_all(const Trainer<Real>& trainer) {
    return work_of_all(*trainer.network());
}

// The examples, checked to fit the trainer's network.
template <class Real>
const CheckedExamples<Real>& checked(const Trainer<Real>& trainer, const AnyExamples& examples) {
    return examples.of<Real>(trainer.network()->architecture());
}

std::vector<Index> check_indices(const Indices& indices, Index sequences) {
    std::vector<Index> checked = copy_integers(indices);
    for (Index index : checked)
        if (index < 0 || index >= sequences)
            throw ArgumentError("indices: expected 0 to " + std::to_string(sequences - 1) +
                                ", got " + std::to_string(index));
    return checked;
}

// A pass over examples, shared by train() and updates_of().
struct Pass {
    std::vector<Index> sequences;
    Index batch_size;
    Truncation truncation;

    template <class Real>
    Pass(const CheckedExamples<Real>& examples, const Indices& indices, Index batch,
         std::optional<Index> bptt_steps, std::optional<Index> update_every)
        : sequences(check_indices(indices, examples.given().sequences())),
          batch_size(batch),
          truncation(truncation_of(bptt_steps, update_every, examples.get().outputs)) {}

    Index count() const { return static_cast<Index>(sequences.size()); }

    template <class Real>
    Index updates(const Examples<Real>& examples) const {
        Polled polled(work_of(count(), kNumberWork));
        const Index updates =
            updates_of(examples, sequences.data(), count(), batch_size, truncation, polled.pause());
        polled.finish();
        return updates;
    }
};

template <class Real>
py::array flat(const Parameters<Real>& parameters) {
    return copy_array<Real>({parameters.size()}, parameters.data());
}

// Calls `compute` in Python for parts; none if it is None.
template <class Real>
std::optional<Elsewhere<Real>> elsewhere_of(const py::object& compute,
                                            const Architecture& architecture) {
    if (compute.is_none()) return std::nullopt;
    return [&](const PartTask<Real>& task, const Parameters<Real>& weights) {
        const Index size = architecture.state_size();
        const auto [first, last, errors_from] = task.window;
        py::array_t<long long> sequences(task.count);
        std::copy_n(task.sequences, task.count, sequences.mutable_data());
        py::object truncation = py::none(), states = py::none();
        if (task.truncation.every)
            truncation = py::make_tuple(task.truncation.steps, task.truncation.every);
        if (task.states) states = copy_array<Real>({task.count, size}, task.states);
        const py::tuple result = compute(
            flat(weights), sequences, py::make_tuple(first, last, errors_from, task.kept_step),
            truncation, states, task.normalizer, task.with_gradients, task.keep);
        if (result.size() != 3) throw ArgumentError("compute: expected loss, gradients, states");
        Part<Real> part{py::cast<double>(result[0]), Parameters<Real>(weights.architecture()), {}};
        if (task.with_gradients)
            copy_into(as_real<Real>(result[1], "gradients", {part.gradients.size()}),
                      part.gradients.data());
        if (task.keep) part.states = copy_reals<Real>(result[2], "states", {task.count, size});
        return part;
    };
}

// Computes a part of a minibatch for another process: what `compute` above returns.
template <class Real>
py::tuple part_of(Trainer<Real>& trainer, const CheckedExamples<Real>& examples, py::handle weights,
                  const Indices& indices, const std::array<Index, 4>& window,
                  std::optional<std::pair<Index, Index>> truncation, py::handle states,
                  double normalizer, std::array<bool, 2> wanted, Index threads) {
    const std::vector<Index> sequences = check_indices(indices, examples.given().sequences());
    const Architecture& architecture = trainer.network()->architecture();
    PartTask<Real> task;
    task.sequences = sequences.data();
    task.count = static_cast<Index>(sequences.size());
    const Shape shape{task.count, architecture.state_size()};
    std::vector<Real> start;
    if (!states.is_none()) start = copy_reals<Real>(states, "states", shape);
    if (!start.empty()) task.states = start.data();
    task.window = {window[0], window[1], window[2]};
    task.kept_step = window[3];
    if (truncation) task.truncation = {truncation->first, truncation->second};
    task.normalizer = normalizer;
    task.with_gradients = wanted[0];
    task.keep = wanted[1];
    Parameters<Real> parameters(trainer.network()->parameters());
    copy_into(as_real<Real>(weights, "weights", {parameters.size()}), parameters.data());
    Polled polled(gradient_work(examples.given(), architecture));
    const Part<Real> part = trainer.part(examples.get(), task, parameters, threads, polled.pause());
    polled.finish();
    py::object gradients = py::none(), kept = py::none();
    if (task.with_gradients) gradients = flat(part.gradients);
    if (task.keep) kept = copy_array<Real>(shape, part.states.data());
    return py::make_tuple(part.loss, gradients, kept);
}

using Rates = py::array_t<double, py::array::c_style>;

template <class Real>
py::tuple train(Trainer<Real>& trainer, const CheckedExamples<Real>& examples, const Pass& pass,
                const Rates& learning_rates, bool carry, Index threads, const py::object& compute) {
    const Architecture& architecture = trainer.network()->architecture();
    const auto elsewhere = elsewhere_of<Real>(compute, architecture);
    TrainingTask<Real> task{examples.get()};
    task.sequences = pass.sequences.data();
    task.count = pass.count();
    task.batch_size = pass.batch_size;
    task.truncation = pass.truncation;
    task.updates = pass.updates(examples.get());
    task.learning_rates = learning_rates.data();
    task.carry = carry;
    task.threads = threads;
    task.elsewhere = elsewhere ? &*elsewhere : nullptr;
    check_shape(learning_rates, "learning_rates", {task.updates});
    // The lock is kept for `compute`.
    Polled polled(elsewhere ? 0 : gradient_work(examples.given(), architecture));
    const Losses done = trainer.train(task, polled.pause());
    polled.finish();
    const Shape shape{static_cast<Index>(done.losses.size())};
    return py::make_tuple(copy_array<double>(shape, done.losses.data()),
                          copy_array<double>(shape, done.weights.data()));
}

template <class Real>
double loss_of(Trainer<Real>& trainer, const CheckedExamples<Real>& examples, Index threads,
               const py::object& compute) {
    examples.require_counts();
    const Architecture& architecture = trainer.network()->architecture();
    const auto elsewhere = elsewhere_of<Real>(compute, architecture);
    Polled polled(elsewhere ? 0 : gradient_work(examples.given(), architecture));
    const double loss =
        trainer.loss(examples.get(), threads, polled.pause(), elsewhere ? &*elsewhere : nullptr);
    polled.finish();
    return loss;
}

template <class Real>
AnyNetwork trained_network(const Trainer<Real>& trainer) {
    Polled polled(work_of_all(trainer));
    auto network = std::make_shared<const Network<Real>>(trainer.parameters(polled.pause()),
                                                         trainer.network()->isa(), polled.pause());
    polled.finish();
    return {network};
}

template <class Real>
bool is_finite(const Trainer<Real>& trainer) {
    Polled polled(work_of_all(trainer));
    const bool finite = trainer.finite(polled.pause());
    polled.finish();
    return finite;
}

std::string arena_name(std::size_t i) {
    return i == 0 ? "parameters" : "moments." + std::to_string(i - 1);
}

template <class Real>
typename Trainer<Real>::State copy_state(const Trainer<Real>& trainer) {
    Polled polled(work_of_all(trainer));
    auto state = trainer.state(polled.pause());
    polled.finish();
    return state;
}

template <class Real>
py::dict state_of(const Trainer<Real>& trainer) {
    const auto state = copy_state(trainer);
    py::dict arrays;
    for (std::size_t i = 0; i < state.arenas.size(); ++i)
        arrays[py::str(arena_name(i))] =
            copy_array<Real>({state.arenas[i].size()}, state.arenas[i].data());
    if (!state.carried.empty())
        arrays["carried"] =
            copy_array<Real>({static_cast<Index>(state.carried.size())}, state.carried.data());
    return arrays;
}

template <class Real>
void restore(Trainer<Real>& trainer, const py::dict& arrays, Index updates) {
    auto state = copy_state(trainer);
    for (std::size_t i = 0; i < state.arenas.size(); ++i) {
        const std::string name = arena_name(i);
        if (!arrays.contains(name)) throw ArgumentError(name + ": expected an array, got none");
        copy_into(as_real<Real>(arrays[py::str(name)], name.c_str(), {state.arenas[i].size()}),
                  state.arenas[i].data());
    }
    state.carried.clear();
    if (arrays.contains("carried")) {
        const py::array carried = any_array(arrays["carried"], "carried");
        state.carried = copy_reals<Real>(carried, "carried", {carried.size()});
    }
    state.updates = updates;
    Polled polled(work_of_all(trainer));
    trainer.restore(state, polled.pause());
    polled.finish();
}

void set(OptimizerSettings& o, const std::string& name, double value) {
    if (name == "momentum")
        o.momentum = value;
    else if (name == "nesterov")
        o.nesterov = value != 0;
    else if (name == "beta1")
        o.beta1 = value;
    else if (name == "beta2")
        o.beta2 = value;
    else if (name == "alpha")
        o.alpha = value;
    else if (name == "centered")
        o.centered = value != 0;
    else if (name == "epsilon")
        o.epsilon = value;
    else if (name == "weight_decay")
        o.weight_decay = value;
    else
        throw ArgumentError("settings: expected a setting of an optimizer, got '" + name + "'");
}

template <class Real>
AnyTrainer make_trainer(const SharedNetwork<Real>& network, const TrainerSettings& settings) {
    Polled polled(work_of_all(*network));
    auto trainer = std::make_unique<Trainer<Real>>(network, settings, polled.pause());
    polled.finish();
    return {std::move(trainer)};
}

// Fisher-Yates shuffle, from the last place down.
py::array permutation(Index count, unsigned long long seed, unsigned long long epoch) {
    if (count < 0) throw ArgumentError("count: expected at least 0, got " + std::to_string(count));
    py::array_t<long long> order(count);
    long long* const at = order.mutable_data();
    Philox random(seed, epoch);
    constexpr Index kSwapWork = 64;  // in multiply-adds
    Polled polled(work_of(kSwapWork, count));
    in_pieces(count, kNumberWork, polled.pause(),
              [&](Index first, Index last) { std::iota(at + first, at + last, first); });
    for (Index i = count - 1; i > 0 && !polled.pause().stopped(); --i) {
        polled.pause().worked(kSwapWork);
        std::swap(at[i], at[random.below(static_cast<std::uint64_t>(i) + 1)]);
    }
    polled.finish();
    return std::move(order);
}

}  // namespace

void bind_trainer(py::module_& m) {  // NOLINT(readability-function-size): a list
    py::class_<AnyTrainer> type(m, "Trainer", py::is_final(), plain_metaclass(),
                                "Weights in training and the optimizer's moments.");
    type.def(
            "train",
            [](const AnyTrainer& any, const AnyExamples& examples, const Indices& indices,
               Index batch_size, const Rates& learning_rates, std::optional<Index> bptt_steps,
               std::optional<Index> update_every, bool carry, Index threads,
               const py::object& compute) {
                return any.taken([&](auto& trainer) {
                    const auto& own = checked(trainer, examples);
                    const Pass pass{own, indices, batch_size, bptt_steps, update_every};
                    return train(trainer, own, pass, learning_rates, carry, threads, compute);
                });
            },
            py::arg("examples"), py::arg("indices"), py::arg("batch_size"),
            py::arg("learning_rates"), py::arg("bptt_steps"), py::arg("update_every"),
            py::arg("carry"), py::arg("threads"), py::arg("compute") = py::none(),
            "Train on these sequences once; return the loss and the weight of each update. All "
            "gradients come from `compute`, if given, which takes and returns what part() does.")
        .def(
            "part",
            [](const AnyTrainer& any, const AnyExamples& examples, py::handle weights,
               const Indices& indices, const std::array<Index, 4>& window,
               std::optional<std::pair<Index, Index>> truncation, py::handle states,
               double normalizer, bool gradients, bool keep, Index threads) {
                return any.taken([&](auto& trainer) {
                    return part_of(trainer, checked(trainer, examples), weights, indices, window,
                                   truncation, states, normalizer, {gradients, keep}, threads);
                });
            },
            py::arg("examples"), py::arg("weights"), py::arg("indices"), py::arg("window"),
            py::arg("truncation"), py::arg("states"), py::arg("normalizer"), py::arg("gradients"),
            py::arg("keep"), py::arg("threads"),
            "Return (loss, gradients or None, kept states or None) of sequences in a window "
            "(first, "
            "last, errors_from, kept_step), for these weights, which replace the trainer's own.")
        .def(
            "updates_of",
            [](const AnyTrainer& any, const AnyExamples& examples, const Indices& indices,
               Index batch_size, std::optional<Index> bptt_steps,
               std::optional<Index> update_every) {
                return any.taken([&](auto& trainer) {
                    const auto& own = checked(trainer, examples);
                    const Pass pass{own, indices, batch_size, bptt_steps, update_every};
                    return pass.updates(own.get());
                });
            },
            py::arg("examples"), py::arg("indices"), py::arg("batch_size"), py::arg("bptt_steps"),
            py::arg("update_every"), "Return the number of updates that train() makes.")
        .def(
            "loss",
            [](const AnyTrainer& any, const AnyExamples& examples, Index threads,
               const py::object& compute) {
                return any.taken([&](auto& trainer) {
                    const auto& own = checked(trainer, examples);
                    return loss_of(trainer, own, threads, compute);
                });
            },
            py::arg("examples"), py::arg("threads"), py::arg("compute") = py::none(),
            "Return the loss of all examples, computed by `compute`, if given, as in train().")
        .def(
            "network",
            [](const AnyTrainer& any) {
                return any.taken([&](const auto& t) { return trained_network(t); });
            },
            "Return a network with the current weights.")
        .def(
            "forget", [](const AnyTrainer& any) { any.taken([](auto& t) { t.forget(); }); },
            "Drop the carried states.")
        .def_property_readonly("finite",
                               [](const AnyTrainer& any) {
                                   return any.taken([&](const auto& t) { return is_finite(t); });
                               })
        .def_property_readonly("updates",
                               [](const AnyTrainer& any) {
                                   return any.taken([](const auto& t) { return t.updates(); });
                               })
        .def(
            "state",
            [](const AnyTrainer& any) {
                return any.taken([&](const auto& t) { return state_of(t); });
            },
            "Return a copy of the complete training state.")
        .def(
            "restore",
            [](const AnyTrainer& any, const py::dict& state, Index updates) {
                any.taken([&](auto& t) { restore(t, state, updates); });
            },
            py::arg("state"), py::arg("updates"), "Restore a state after `updates` updates.");
    forbid_construction(type);
    m.def(
        "trainer",
        [](const AnyNetwork& any, const std::string& optimizer, const py::dict& values,
           std::optional<double> clip_norm, std::optional<double> clip_value,
           bool train_initial_state) {
            TrainerSettings settings;
            settings.optimizer.method = method_from_name(optimizer);
            for (const auto& [name, value] : values)
                set(settings.optimizer, py::cast<std::string>(name), py::cast<double>(value));
            settings.clip_norm = clip_norm;
            settings.clip_value = clip_value;
            settings.train_initial_state = train_initial_state;
            return std::visit([&](const auto& network) { return make_trainer(network, settings); },
                              any.network);
        },
        py::arg("network"), py::arg("optimizer"), py::arg("settings"), py::arg("clip_norm"),
        py::arg("clip_value"), py::arg("train_initial_state"),
        "Return a trainer that starts from the network's weights.");
    m.def("permutation", &permutation, py::arg("count"), py::arg("seed"), py::arg("epoch"),
          "Return 0 ... count-1 in the random order of an epoch.");
}

}  // namespace elman::python
