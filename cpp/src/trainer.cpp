#include "elman/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backpropagation.hpp"
#include "kernel_tables.hpp"

namespace elman {
namespace {

template <class Real>
Index longest_of(const Examples<Real>& examples, const Index* sequences, Index count) {
    Index longest = 0;
    for (Index i = 0; i < count; ++i) longest = std::max(longest, examples.length(sequences[i]));
    return longest;
}

template <class Real>
bool in_windows(const Examples<Real>& examples, Truncation truncation) {
    return truncation.every > 0 && examples.outputs == Outputs::all;
}

}  // namespace

template <class Real>
Index updates_of(const Examples<Real>& examples, const Index* sequences, Index count,
                 Index batch_size, Truncation truncation) {
    if (!in_windows(examples, truncation)) return (count + batch_size - 1) / batch_size;
    Index updates = 0;
    for (Index first = 0; first < count; first += batch_size) {
        const Index some = std::min(batch_size, count - first);
        const Index longest = longest_of(examples, sequences + first, some);
        updates += (longest + truncation.every - 1) / truncation.every;
    }
    return updates;
}

template <class Real>
Trainer<Real>::Trainer(const Network<Real>& network, TrainerSettings settings)
    : network_(network.parameters()),
      isa_(network.isa()),
      settings_(settings),
      kernels_(network.kernels()),
      weights_(network.architecture(), kernels_),
      trained_(weights_.initial_state() && !settings.train_initial_state
                   ? weights_.offset(weights_.initial_state())
                   : weights_.size()),
      backpropagation_(std::make_unique<Backpropagation<Real>>(
          Model<Real>{network_.architecture(),
                      kernels_,
                      weights_,
                      {network_.find("input_shift"), network_.find("input_scale")},
                      {network_.find("output_shift"), network_.find("output_scale")}})),
      optimizer_(settings.optimizer, trained_) {
    weights_.pack(network_);
}

template <class Real>
Trainer<Real>::~Trainer() = default;

template <class Real>
bool Trainer<Real>::advance(TrainingTask<Real>& task, std::chrono::steady_clock::duration budget) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point deadline = Clock::now() + budget;
    const Index state_size = network_.architecture().state_size();
    if (task.carry && carried_.empty()) {
        const Real* initial = network_.find("initial_state");
        for (Index b = 0; b < task.examples.sequences; ++b)
            for (Index i = 0; i < state_size; ++i)
                carried_.push_back(task.examples.state ? task.examples.state[b * state_size + i]
                                   : initial           ? initial[i]
                                                       : Real(0));
    }
    while (task.done < task.count) {
        if (!task.losses.empty() && !std::isfinite(task.losses.back())) return true;
        update(task);
        // Tiny updates are faster than the clock.
        if (task.losses.size() % 16 == 0 || weights_.size() > 1024)
            if (Clock::now() >= deadline) break;
    }
    return task.done >= task.count;
}

// One window of one minibatch.
template <class Real>
void Trainer<Real>::update(TrainingTask<Real>& task) {
    const Examples<Real>& examples = task.examples;
    const auto state_size = static_cast<std::size_t>(network_.architecture().state_size());
    const Index* sequences = task.sequences + task.done;
    const Index count = std::min(task.batch_size, task.count - task.done);
    const Index longest = longest_of(examples, sequences, count);
    const bool windows = in_windows(examples, task.truncation);
    const auto [steps, every] = task.truncation;

    const auto first_of = [&](Index step) { return std::max<Index>(0, step + every - steps); };
    const Index first = windows ? first_of(task.step) : 0;
    const Index last = windows ? std::min(longest, task.step + every) : longest;
    const bool ends = last == longest;
    const Window window{first, last, windows ? task.step - first : 0};

    if (task.step == 0) {  // of the minibatch
        task.states.clear();
        const Real* from = task.carry ? carried_.data() : examples.state;
        for (Index i = 0; from && i < count; ++i) {
            const Real* row = from + sequences[i] * static_cast<Index>(state_size);
            task.states.insert(task.states.end(), row, row + state_size);
        }
    }
    const Index kept = ends ? last - first : first_of(task.step + every) - first;
    const bool keep = ends ? task.carry : kept > 0;
    std::vector<Real> kept_states(keep ? static_cast<std::size_t>(count) * state_size : 0);
    std::vector<Real> state_gradients(settings_.train_initial_state && task.states.empty()
                                          ? static_cast<std::size_t>(count) * state_size
                                          : 0);
    const auto data = [](std::vector<Real>& v) { return v.empty() ? nullptr : v.data(); };

    const double weight = sum_of_weights(examples, sequences, count, window);
    double loss = 0;
    if (weight > 0 || keep)
        loss = backpropagation_->run(
            {examples, sequences, count, window, data(task.states), weight > 0 ? weight : 1.0,
             windows ? Truncation{} : task.truncation, weight > 0, data(state_gradients), kept,
             data(kept_states)},
            task.threads);
    if (weight > 0 && std::isfinite(loss)) {
        Real* gradients = backpropagation_->gradients();
        clip(gradients);
        optimizer_.update(weights_.data(), gradients, task.learning_rates[task.losses.size()]);
    }
    task.losses.push_back(loss);
    task.weights.push_back(weight);

    if (keep && ends) {
        for (Index i = 0; i < count; ++i)
            std::copy_n(kept_states.data() + static_cast<std::size_t>(i) * state_size, state_size,
                        carried_.data() + static_cast<std::size_t>(sequences[i]) * state_size);
    } else if (keep) {
        task.states = std::move(kept_states);
    }
    task.step = ends ? 0 : task.step + every;
    if (ends) task.done += count;
}

template <class Real>
void Trainer<Real>::clip(Real* gradients) const {
    if (settings_.clip_value) {
        const Real most = static_cast<Real>(*settings_.clip_value);
        for (Index i = 0; i < trained_; ++i)
            gradients[i] = gradients[i] > most ? most : gradients[i] < -most ? -most : gradients[i];
    }
    if (!settings_.clip_norm) return;
    const double scale = *settings_.clip_norm / (norm(gradients) + 1e-6);
    if (scale >= 1) return;
    const Real factor = static_cast<Real>(scale);
    for (Index i = 0; i < trained_; ++i) gradients[i] *= factor;
}

// Squares are summed row by row, then rows in the order of the file.
template <class Real>
double Trainer<Real>::norm(const Real* gradients) const {
    double sum = 0;
    AlignedVector<Real> rows;
    const auto add_matrix = [&](const PackedMatrix<Real>& W) {
        rows.assign(static_cast<std::size_t>(kernels_.packed_size(W.rows, 1)), Real(0));
        kernels_.square_rows(W, gradients + weights_.offset(W.panels), rows.data());
        for (Index r = 0; r < W.rows; ++r) sum += rows[static_cast<std::size_t>(r)];
    };
    const auto add_vector = [&](const Real* piece, Index size) {
        const Real* g = gradients + weights_.offset(piece);
        for (Index i = 0; i < size; ++i) sum += static_cast<double>(g[i]) * g[i];
    };
    for (const auto& layer : weights_.layers()) {
        add_matrix(layer.input);
        add_matrix(layer.recurrent);
        add_vector(layer.bias, layer.recurrent.rows);
    }
    if (const auto* readout = weights_.readout()) {
        add_matrix(readout->input);
        add_vector(readout->bias, readout->input.rows);
    }
    if (settings_.train_initial_state && weights_.initial_state())
        add_vector(weights_.initial_state(), network_.architecture().state_size());
    return std::sqrt(sum);
}

template <class Real>
double Trainer<Real>::loss(const Examples<Real>& examples, Index threads) {
    std::vector<Index> sequences(static_cast<std::size_t>(examples.sequences));
    for (Index b = 0; b < examples.sequences; ++b) sequences[static_cast<std::size_t>(b)] = b;
    return backpropagation_->run(
        {examples, sequences.data(), examples.sequences, Window{0, examples.steps, 0},
         examples.state, total_weight(examples), Truncation{}, false, nullptr, 0, nullptr},
        threads);
}

template <class Real>
Parameters<Real> Trainer<Real>::parameters() const {
    Parameters<Real> parameters = network_;
    weights_.unpack(weights_.data(), parameters);
    return parameters;
}

template <class Real>
typename Trainer<Real>::State Trainer<Real>::state() const {
    State state{{parameters()}, carried_, optimizer_.updates()};
    for (const AlignedVector<Real>& moment : optimizer_.moments()) {
        AlignedVector<Real> whole(static_cast<std::size_t>(weights_.size()));
        std::copy(moment.begin(), moment.end(), whole.begin());
        Parameters<Real> unpacked(network_.architecture());
        weights_.unpack(whole.data(), unpacked);
        state.arenas.push_back(std::move(unpacked));
    }
    return state;
}

template <class Real>
void Trainer<Real>::restore(const State& state) {
    for (std::size_t i = 1; i < state.arenas.size(); ++i) {
        weights_.pack(state.arenas[i]);
        AlignedVector<Real>& moment = optimizer_.moments()[i - 1];
        std::copy_n(weights_.data(), trained_, moment.begin());
    }
    weights_.pack(state.arenas[0]);
    carried_ = state.carried;
    optimizer_.set_updates(state.updates);
}

template Index updates_of(const Examples<float>&, const Index*, Index, Index, Truncation);
template Index updates_of(const Examples<double>&, const Index*, Index, Index, Truncation);
template class Trainer<float>;
template class Trainer<double>;

}  // namespace elman
