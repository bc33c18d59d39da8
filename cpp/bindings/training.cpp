// training.cpp - examples, their gradients, and the trainer, as Python sees them.
#include <pybind11/stl.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "elman/random.hpp"
#include "elman/trainer.hpp"
#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

constexpr std::chrono::milliseconds kSlice(50);  // between two looks for Ctrl-C

std::string number(double value) {
    return py::str(py::float_(value));
}

// Which sequence and step of (..., T) an index of B x T is, for errors.
std::string place(const Shape& shape, Index index) {
    Shape at(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0; index /= shape[axis])
        at[axis] = index % shape[axis];
    return text(at);
}

// What a loss is taken of, converted and checked. The arrays may be the user's own.
template <class Real>
class CheckedExamples {
  public:
    CheckedExamples(const SharedNetwork<Real>& network, py::handle x, py::handle y,
                    const std::string& loss, const std::string& outputs, py::handle lengths,
                    py::handle state, py::handle weights)
        : network_(network), x_(as_real<Real>(x, "x")), pinned_x_(x_) {
        network->architecture().require_forward("net", "gradients are not computed of others");
        examples_.loss = loss_from_name(loss);
        if (outputs != "all" && outputs != "last")
            throw ArgumentError("outputs: expected 'all' or 'last', got '" + outputs + "'");
        examples_.outputs = outputs == "all" ? Outputs::all : Outputs::last;
        check_loss();

        const Architecture& a = network->architecture();
        if (x_.ndim() < 2 || x_.shape(x_.ndim() - 1) != a.input_size)
            throw ShapeError("x: expected " + text("..., T", {a.input_size}) + ", got " +
                             text(shape_of(x_)));
        batch_ = Shape(x_.shape(), x_.shape() + x_.ndim() - 2);
        examples_.sequences = product(batch_);
        examples_.steps = x_.shape(x_.ndim() - 2);
        examples_.x = batch_of<Real>(x_);
        counted_ =
            examples_.outputs == Outputs::all ? concatenate(batch_, {examples_.steps}) : batch_;
        if (!lengths.is_none()) {
            lengths_ = copy_lengths(lengths, batch_, examples_.steps);
            examples_.lengths = lengths_.data();
        }
        if (!state.is_none()) {
            state_ = copy_reals<Real>(state, "state", concatenate(batch_, {a.state_size()}), true);
            for (const Real value : state_)
                if (!std::isfinite(value))
                    throw ArgumentError("state: expected finite numbers, got " + number(value));
            examples_.state = state_.data();
        }
        if (!weights.is_none()) {
            weights_ = copy_reals<double>(weights, "weights", counted_);
            for (const double weight : weights_)
                if (!(weight >= 0) || !std::isfinite(weight))
                    throw ArgumentError("weights: expected finite numbers, none below 0, got " +
                                        number(weight));
            examples_.weights = weights_.data();
        }
        check_x();
        if (examples_.loss == Loss::cross_entropy)
            take_classes(y);
        else
            take_targets(y);
    }

    const Examples<Real>& get() const { return examples_; }
    const Shape& batch() const { return batch_; }

    // Refuses examples that were checked for a network of other sizes or outputs.
    void require(const Architecture& a) const {
        const Architecture& own = network_->architecture();
        const bool same = own.input_size == a.input_size && own.state_size() == a.state_size() &&
                          own.output_size() == a.output_size() &&
                          own.readout.has_value() == a.readout.has_value() &&
                          (!a.readout || own.readout->activation == a.readout->activation);
        if (!same) throw ArgumentError("examples: expected those of a network of these sizes");
    }

  private:
    void check_loss() const {
        const Architecture& a = network_->architecture();
        const bool units = a.output_shift || a.output_scale;
        const auto fits = [&](Function function) {
            return a.readout && a.readout->activation == Activation(function) && !units;
        };
        const std::string found = !a.readout ? "a network without a readout"
                                  : units
                                      ? "one with output units"
                                      : "output_activation '" + text(a.readout->activation) + "'";
        if (examples_.loss == Loss::bce && !fits(Function::sigmoid))
            throw ArgumentError(
                "loss: 'bce' expects output_activation 'sigmoid' without output units, got " +
                found);
        if (examples_.loss == Loss::cross_entropy && !fits(Function::softmax))
            throw ArgumentError(
                "loss: 'cross_entropy' expects output_activation 'softmax' without output units, "
                "got " +
                found);
    }

    // each(sequence, step, index) for every step whose error counts; index is that of y.
    template <class Each>
    void for_each_counted(Each each) const {
        const bool all = examples_.outputs == Outputs::all;
        for (Index b = 0; b < examples_.sequences; ++b) {
            const Index length = examples_.length(b);
            for (Index t = all ? 0 : std::max<Index>(0, length - 1); t < length; ++t)
                if (examples_.weight(b, t) > 0) each(b, t, all ? b * examples_.steps + t : b);
        }
    }

    void check_x() const {
        const Index size = network_->architecture().input_size;
        for (Index b = 0; b < examples_.sequences; ++b) {
            const Rows<const Real> rows = examples_.x.sequence(b);
            for (Index t = 0; t < examples_.length(b); ++t) {
                const Real* row = rows.row(t);
                for (Index i = 0; i < size; ++i)
                    if (!std::isfinite(row[i * rows.stride]))
                        throw ArgumentError(
                            "x: expected finite numbers, got " + number(row[i * rows.stride]) +
                            " at " + place(shape_of(x_), (b * examples_.steps + t) * size + i));
            }
        }
    }

    void take_targets(py::handle y) {
        y_ = as_real<Real>(y, "y");
        pinned_y_.emplace(y_);
        const Index size = network_->architecture().output_size();
        const Shape expected = concatenate(counted_, {size});
        if (shape_of(y_) != expected)
            throw ShapeError("y: expected " + text(expected) + ", got " + text(shape_of(y_)));
        const bool all = examples_.outputs == Outputs::all;
        examples_.targets = batch_of<Real>(y_, all);
        const bool probabilities = examples_.loss == Loss::bce;
        for_each_counted([&](Index b, Index t, Index index) {
            const Rows<const Real> rows = examples_.targets.sequence(b);
            const Real* row = all ? rows.row(t) : rows.data;
            for (Index i = 0; i < size; ++i) {
                const Real value = row[i * rows.stride];
                const bool right = probabilities ? value >= 0 && value <= 1 : std::isfinite(value);
                if (!right)
                    throw ArgumentError(std::string("y: expected ") +
                                        (probabilities ? "numbers from 0 to 1" : "finite numbers") +
                                        ", got " + number(value) + " at " +
                                        place(expected, index * size + i));
            }
        });
    }

    void take_classes(py::handle y) {
        const py::array array = any_array(y, "y");
        const char kind = array.dtype().kind();
        if (kind != 'i' && kind != 'u')
            throw DTypeError("y: expected classes as integers, got dtype " +
                             std::string(py::str(array.dtype())));
        if (shape_of(array) != counted_)
            throw ShapeError("y: expected classes of shape " + text(counted_) + ", got " +
                             text(shape_of(array)));
        const auto wide = py::array_t < long long,
                   py::array::c_style | py::array::forcecast > ::ensure(array);
        classes_.assign(wide.data(), wide.data() + wide.size());
        examples_.classes = classes_.data();
        const Index size = network_->architecture().output_size();
        for_each_counted([&](Index, Index, Index index) {
            const Index value = classes_[static_cast<std::size_t>(index)];
            if (value < 0 || value >= size)
                throw ArgumentError(
                    "y: expected classes from 0 to " + std::to_string(size - 1) + ", got " +
                    (kind == 'u' ? std::to_string(std::uint64_t(value)) : std::to_string(value)) +
                    " at " + place(counted_, index));
        });
    }

    SharedNetwork<Real> network_;
    py::array x_, y_;
    Pinned pinned_x_;
    std::optional<Pinned> pinned_y_;
    Shape batch_, counted_;  // counted: of what has a loss
    std::vector<Index> lengths_, classes_;
    std::vector<Real> state_;
    std::vector<double> weights_;
    Examples<Real> examples_;
};

template <class Real>
using SharedExamples = std::shared_ptr<const CheckedExamples<Real>>;

struct AnyExamples {
    std::variant<SharedExamples<float>, SharedExamples<double>> examples;

    template <class Real>
    const CheckedExamples<Real>& of(const Architecture& architecture) const {
        const auto* shared = std::get_if<SharedExamples<Real>>(&examples);
        if (!shared) throw ArgumentError("examples: expected those of a network of this dtype");
        (*shared)->require(architecture);
        return **shared;
    }
};

AnyExamples make_examples(const AnyNetwork& any, py::handle x, py::handle y,
                          const std::string& loss, const std::string& outputs, py::handle lengths,
                          py::handle state, py::handle weights) {
    return std::visit(
        [&](const auto& network) -> AnyExamples {
            using Real = RealOf<std::decay_t<decltype(network)>>;
            return {std::make_shared<const CheckedExamples<Real>>(network, x, y, loss, outputs,
                                                                  lengths, state, weights)};
        },
        any.network);
}

Truncation make_truncation(std::optional<Index> bptt_steps, std::optional<Index> update_every,
                           Outputs outputs) {
    if (!bptt_steps) {
        if (update_every)
            throw ArgumentError("update_every: expected with bptt_steps, got it alone");
        return {};
    }
    if (*bptt_steps < 1)
        throw ArgumentError("bptt_steps: expected at least 1, got " + std::to_string(*bptt_steps));
    if (update_every && outputs == Outputs::last)
        throw ArgumentError("update_every: expected only with outputs='all', got it with 'last'");
    const Index every = update_every.value_or(*bptt_steps);
    if (every < 1 || every > *bptt_steps)
        throw ArgumentError("update_every: expected 1 to bptt_steps = " +
                            std::to_string(*bptt_steps) + ", got " + std::to_string(every));
    return {*bptt_steps, every};
}

template <class Real>
void require_weight(const CheckedExamples<Real>& examples) {
    if (!(total_weight(examples.get()) > 0))
        throw ArgumentError(
            "weights: expected a sum above 0 over all real steps, got 0 (so there is no loss)");
}

template <class Real>
py::array copy_array(const Shape& shape, const Real* values) {
    py::array array = new_array<Real>(shape);
    std::copy_n(values, product(shape), static_cast<Real*>(array.mutable_data()));
    return array;
}

py::tuple gradients(const AnyNetwork& any, const AnyExamples& any_examples,
                    std::optional<Index> bptt_steps, std::optional<Index> update_every,
                    std::optional<double> normalizer, Index threads) {
    return std::visit(
        [&](const auto& network) {
            using Real = RealOf<std::decay_t<decltype(network)>>;
            const Architecture& a = network->architecture();
            const CheckedExamples<Real>& examples = any_examples.of<Real>(a);
            const Truncation truncation =
                make_truncation(bptt_steps, update_every, examples.get().outputs);
            if (!normalizer) require_weight(examples);
            if (normalizer && (!(*normalizer > 0) || !std::isfinite(*normalizer)))
                throw ArgumentError("normalizer: expected a finite number above 0, got " +
                                    number(*normalizer));
            const auto result = [&] {
                const Unlocked unlocked;
                return loss_and_gradients(*network, examples.get(), truncation, normalizer,
                                          threads);
            }();
            py::dict tensors;
            for (const Tensor& tensor : result.parameters.tensors())
                tensors[py::str(tensor.name)] = copy_array<Real>(
                    tensor.vector ? Shape{tensor.rows} : Shape{tensor.rows, tensor.cols},
                    result.parameters.data() + tensor.offset);
            return py::make_tuple(result.loss, tensors,
                                  copy_array<Real>(concatenate(examples.batch(), {a.state_size()}),
                                                   result.state.data()));
        },
        any.network);
}

using Indices = py::array_t<long long, py::array::c_style | py::array::forcecast>;

std::vector<Index> check_indices(const Indices& indices, Index sequences) {
    std::vector<Index> checked(indices.data(), indices.data() + indices.size());
    for (Index index : checked)
        if (index < 0 || index >= sequences)
            throw ArgumentError("indices: expected 0 to " + std::to_string(sequences - 1) +
                                ", got " + std::to_string(index));
    return checked;
}

template <class T>
struct RealOfTrainerImpl;
template <class Real>
struct RealOfTrainerImpl<Trainer<Real>> {
    using type = Real;
};
template <class T>
using RealOfTrainer = typename RealOfTrainerImpl<T>::type;

class AnyTrainer {
    static std::string arena_name(std::size_t i) {
        return i == 0 ? "parameters" : "moments." + std::to_string(i - 1);
    }

    template <class Work>
    auto with(const AnyExamples& any, Work work) {
        return std::visit(
            [&](auto& trainer) {
                using Real = RealOfTrainer<std::decay_t<decltype(*trainer)>>;
                return work(*trainer, any.of<Real>(architecture_).get());
            },
            trainer_);
    }

  public:
    AnyTrainer(const AnyNetwork& any, const TrainerSettings& settings) {
        std::visit(
            [&](const auto& network) {
                using Real = RealOf<std::decay_t<decltype(network)>>;
                trainer_ = std::make_unique<Trainer<Real>>(*network, settings);
                architecture_ = network->architecture();
            },
            any.network);
    }

    py::tuple train(const AnyExamples& any, const Indices& indices, Index batch_size,
                    const py::array_t<double, py::array::c_style>& learning_rates,
                    std::optional<Index> bptt_steps, std::optional<Index> update_every, bool carry,
                    Index threads) {
        return with(any, [&](auto& trainer, const auto& examples) {
            using Real = RealOfTrainer<std::decay_t<decltype(trainer)>>;
            const Truncation truncation =
                make_truncation(bptt_steps, update_every, examples.outputs);
            const std::vector<Index> sequences = check_indices(indices, examples.sequences);
            const auto count = static_cast<Index>(sequences.size());
            const Index updates =
                updates_of(examples, sequences.data(), count, batch_size, truncation);
            if (learning_rates.size() != updates)
                throw ShapeError("learning_rates: expected " + text(Shape{updates}) + ", got " +
                                 text(shape_of(learning_rates)));
            TrainingTask<Real> task{examples,
                                    sequences.data(),
                                    count,
                                    batch_size,
                                    learning_rates.data(),
                                    truncation,
                                    carry,
                                    threads,
                                    0,
                                    0,
                                    {},
                                    {},
                                    {}};
            for (bool done = false; !done;) {
                {
                    const Unlocked unlocked;
                    done = trainer.advance(task, kSlice);
                }
                if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            }
            const Shape shape{static_cast<Index>(task.losses.size())};
            return py::make_tuple(copy_array<double>(shape, task.losses.data()),
                                  copy_array<double>(shape, task.weights.data()));
        });
    }

    Index updates(const AnyExamples& any, const Indices& indices, Index batch_size,
                  std::optional<Index> bptt_steps, std::optional<Index> update_every) {
        return with(any, [&](auto&, const auto& examples) {
            const std::vector<Index> sequences = check_indices(indices, examples.sequences);
            return updates_of(examples, sequences.data(), static_cast<Index>(sequences.size()),
                              batch_size,
                              make_truncation(bptt_steps, update_every, examples.outputs));
        });
    }

    double loss(const AnyExamples& any, Index threads) {
        return with(any, [&](auto& trainer, const auto& examples) {
            if (!(total_weight(examples) > 0))
                throw ArgumentError("weights: expected a sum above 0 over all real steps, got 0");
            const Unlocked unlocked;
            return trainer.loss(examples, threads);
        });
    }

    AnyNetwork network() const {
        return std::visit(
            [](const auto& trainer) -> AnyNetwork {
                using Real = RealOfTrainer<std::decay_t<decltype(*trainer)>>;
                return {
                    std::make_shared<const Network<Real>>(trainer->parameters(), trainer->isa())};
            },
            trainer_);
    }

    Index update_count() const {
        return std::visit([](const auto& trainer) { return trainer->updates(); }, trainer_);
    }

    py::dict state() const {
        return std::visit(
            [](const auto& trainer) {
                using Real = RealOfTrainer<std::decay_t<decltype(*trainer)>>;
                const auto state = trainer->state();
                py::dict arrays;
                for (std::size_t i = 0; i < state.arenas.size(); ++i)
                    arrays[py::str(arena_name(i))] =
                        copy_array<Real>({state.arenas[i].size()}, state.arenas[i].data());
                if (!state.carried.empty())
                    arrays["carried"] = copy_array<Real>({static_cast<Index>(state.carried.size())},
                                                         state.carried.data());
                return arrays;
            },
            trainer_);
    }

    void restore(const py::dict& arrays, Index updates) {
        std::visit(
            [&](auto& trainer) {
                using Real = RealOfTrainer<std::decay_t<decltype(*trainer)>>;
                auto state = trainer->state();
                for (std::size_t i = 0; i < state.arenas.size(); ++i) {
                    const std::string name = arena_name(i);
                    if (!arrays.contains(name))
                        throw ArgumentError(name + ": expected an array, got none");
                    const auto values = copy_reals<Real>(arrays[py::str(name)], name.c_str(),
                                                         {state.arenas[i].size()});
                    std::copy(values.begin(), values.end(), state.arenas[i].data());
                }
                state.carried.clear();
                if (arrays.contains("carried")) {
                    const py::array carried = py::cast<py::array>(arrays["carried"]);
                    state.carried = copy_reals<Real>(carried, "carried", {carried.size()});
                }
                state.updates = updates;
                trainer->restore(state);
            },
            trainer_);
    }

  private:
    std::variant<std::unique_ptr<Trainer<float>>, std::unique_ptr<Trainer<double>>> trainer_;
    Architecture architecture_;
};

TrainerSettings make_settings(const std::string& optimizer,
                              const std::map<std::string, double>& values,
                              std::optional<double> clip_norm, std::optional<double> clip_value,
                              bool train_initial_state) {
    TrainerSettings settings;
    OptimizerSettings& o = settings.optimizer;
    o.method = method_from_name(optimizer);
    for (const auto& [key, value] : values) {
        if (key == "momentum")
            o.momentum = value;
        else if (key == "nesterov")
            o.nesterov = value != 0;
        else if (key == "beta1")
            o.beta1 = value;
        else if (key == "beta2")
            o.beta2 = value;
        else if (key == "alpha")
            o.alpha = value;
        else if (key == "centered")
            o.centered = value != 0;
        else if (key == "epsilon")
            o.epsilon = value;
        else if (key == "weight_decay")
            o.weight_decay = value;
        else
            throw ArgumentError("settings: expected a setting of an optimizer, got '" + key + "'");
    }
    settings.clip_norm = clip_norm;
    settings.clip_value = clip_value;
    settings.train_initial_state = train_initial_state;
    return settings;
}

// Fisher and Yates, from the last place down.
py::array permutation(Index count, unsigned long long seed, unsigned long long epoch) {
    if (count < 0) throw ArgumentError("count: expected at least 0, got " + std::to_string(count));
    py::array_t<long long> order(count);
    long long* const at = order.mutable_data();
    for (Index i = 0; i < count; ++i) at[i] = i;
    Philox random(seed, epoch);
    for (Index i = count - 1; i > 0; --i)
        std::swap(at[i], at[random.below(static_cast<std::uint64_t>(i) + 1)]);
    return std::move(order);
}

}  // namespace

void bind_training(py::module_& m) {
    py::class_<AnyExamples>(m, "Examples", py::is_final(), plain_metaclass(),
                            "What a loss is taken of, converted and checked.")
        .def(py::init(&make_examples), py::arg("network"), py::arg("x"), py::arg("y"),
             py::arg("loss"), py::arg("outputs"), py::arg("lengths") = py::none(),
             py::arg("state") = py::none(), py::arg("weights") = py::none())
        .def_property_readonly(
            "sequences",
            [](const AnyExamples& any) {
                return std::visit([](const auto& e) { return e->get().sequences; }, any.examples);
            })
        .def_property_readonly("steps",
                               [](const AnyExamples& any) {
                                   return std::visit([](const auto& e) { return e->get().steps; },
                                                     any.examples);
                               })
        .def_property_readonly("weight", [](const AnyExamples& any) {
            return std::visit([](const auto& e) { return total_weight(e->get()); }, any.examples);
        });
    m.def("loss_and_gradients", &gradients, py::arg("network"), py::arg("examples"),
          py::arg("bptt_steps"), py::arg("update_every"), py::arg("normalizer"), py::arg("threads"),
          "Return (loss, gradients by the names of the tensors, gradient of the states).");
    m.def("permutation", &permutation, py::arg("count"), py::arg("seed"), py::arg("epoch"),
          "Return 0 ... count-1 in the order that a seed gives to an epoch.");
    py::class_<AnyTrainer>(m, "Trainer", py::is_final(), plain_metaclass(),
                           "Weights in training, and an optimizer's moments.")
        .def(py::init([](const AnyNetwork& network, const std::string& optimizer,
                         const std::map<std::string, double>& settings,
                         std::optional<double> clip_norm, std::optional<double> clip_value,
                         bool train_initial_state) {
                 return AnyTrainer(network, make_settings(optimizer, settings, clip_norm,
                                                          clip_value, train_initial_state));
             }),
             py::arg("network"), py::arg("optimizer"), py::arg("settings"), py::arg("clip_norm"),
             py::arg("clip_value"), py::arg("train_initial_state"))
        .def("train", &AnyTrainer::train, py::arg("examples"), py::arg("indices"),
             py::arg("batch_size"), py::arg("learning_rates"), py::arg("bptt_steps"),
             py::arg("update_every"), py::arg("carry"), py::arg("threads"),
             "Train on these sequences once; return the losses and weights of all updates.")
        .def("updates_of", &AnyTrainer::updates, py::arg("examples"), py::arg("indices"),
             py::arg("batch_size"), py::arg("bptt_steps"), py::arg("update_every"),
             "Return how many updates train() will make.")
        .def("loss", &AnyTrainer::loss, py::arg("examples"), py::arg("threads"),
             "Return the loss of all examples.")
        .def("network", &AnyTrainer::network, "Return a network of the weights as they are.")
        .def_property_readonly("updates", &AnyTrainer::update_count)
        .def("state", &AnyTrainer::state, "Return copies of all that the next update depends on.")
        .def("restore", &AnyTrainer::restore, py::arg("state"), py::arg("updates"),
             "Go back to a state, after so many updates.");
}

}  // namespace elman::python
