#include "elman/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "arenas.hpp"
#include "backpropagation.hpp"
#include "checks.hpp"
#include "examples.hpp"
#include "start_state.hpp"

namespace elman {

// A window, and the step after which the next one begins (its last step if it is the last window).
struct Place {
    Window window;
    Index next = 0;
    bool last = true;
};

namespace {

template <class Real>
Index longest_of(const Examples<Real>& examples, const Index* sequences, Index count) {
    Index longest = 0;
    for (Index i = 0; i < count; ++i) longest = std::max(longest, examples.length(sequences[i]));
    return longest;
}

// The truncation of a minibatch that is split into windows; none otherwise.
template <class Real>
Truncation windows_of(const Examples<Real>& examples, Truncation truncation) {
    return examples.outputs == Outputs::all ? truncation : Truncation{};
}

// At least one: a minibatch without a step counts as an update of weight zero.
Index count_windows(Index longest, Truncation windows) {
    return windows.every == 0 || longest == 0 ? 1 : 1 + (longest - 1) / windows.every;
}

Place place_of(Index index, Index longest, Truncation windows) {
    Place place;
    if (windows.every == 0) {
        place.window.last = place.next = longest;
        return place;
    }
    const Index step = index * windows.every;  // the first step whose errors count
    const Index overlap = windows.steps - windows.every;
    const Index first = std::max<Index>(0, step - overlap);
    place.last = longest - step <= windows.every;
    place.window.first = first;
    place.window.last = place.last ? longest : step + windows.every;
    place.window.errors_from = step - first;
    place.next =
        place.last ? longest - first : std::max<Index>(0, step + windows.every - overlap) - first;
    return place;
}

// The sequences and the window of one update.
template <class Real>
PartTask<Real> task_of_part(const TrainingTask<Real>& task, const Index* sequences, Index count,
                            const Place& place) {
    PartTask<Real> part;
    part.sequences = sequences;
    part.count = count;
    part.window = place.window;
    part.kept_step = place.next;
    if (!windows_of(task.examples, task.truncation).every) part.truncation = task.truncation;
    return part;
}

template <class Real>
Real* data_of(std::vector<Real>& v) {
    return v.empty() ? nullptr : v.data();
}

template <class Real>
void check_training(const TrainingTask<Real>& task, const Architecture& architecture,
                    Pause& pause) {
    check_at_least("count", 0, task.count);
    check_at_least("batch_size", 1, task.batch_size);
    check_at_least("threads", 1, task.threads);
    if (!task.sequences && task.count > 0) refuse("sequences", "indices", "none");
    check(task.truncation);
    check(task.examples, architecture, task.sequences, task.count, pause);
    const Index updates = updates_of(task.examples, task.sequences, task.count, task.batch_size,
                                     task.truncation, pause);
    if (pause.stopped()) return;
    check_equal("learning_rates", updates, task.learning_rates ? task.updates : 0);
}

template <class Real>
std::shared_ptr<const Network<Real>> checked(std::shared_ptr<const Network<Real>> network) {
    if (!network) refuse("network", "one", "null");
    check_trainable(network->architecture());
    return network;
}

}  // namespace

template <class Real>
Index updates_of(const Examples<Real>& examples, const Index* sequences, Index count,
                 Index batch_size, Truncation truncation, Pause& pause) {
    check_at_least("batch_size", 1, batch_size);
    check(truncation);
    const Truncation windows = windows_of(examples, truncation);
    if (windows.every == 0) return count > 0 ? 1 + (count - 1) / batch_size : 0;
    Index updates = 0;
    for (Index first = 0; first < count && !pause.stopped();) {
        const Index some = std::min(batch_size, count - first);
        pause.worked(some * kNumberWork);
        updates += count_windows(longest_of(examples, sequences + first, some), windows);
        first += some;
    }
    return updates;
}

// The progress of a pass over the examples.
template <class Real>
struct Trainer<Real>::Progress {
    Team team;
    Pause& pause;
    Losses done{};
    Index update = 0;

    double next_rate(const TrainingTask<Real>& task) {
        if (update >= task.updates)
            throw std::logic_error("learning_rates: expected one for each update");
        return task.learning_rates[update++];
    }
};

template <class Real>
struct Trainer<Real>::Minibatch {
    const Index* sequences;
    Index count;
    std::vector<Real> states;  // (count, S), before the window; empty: the initial state
    std::vector<Real> kept{};  // (count, S), before the next one
    Place place{};             // of the window
};

template <class Real>
Trainer<Real>::Trainer(std::shared_ptr<const Network<Real>> network, TrainerSettings settings,
                       Pause& pause)
    : network_(checked(std::move(network))),
      settings_(settings),
      weights_(copy_of(network_->arena(), layout().size(), pause)),
      trained_(layout().initial_state() && !settings.train_initial_state ? *layout().initial_state()
                                                                         : layout().size()),
      backpropagation_(std::make_unique<Backpropagation<Real>>(
          Model<Real>(*network_, weights_.data()), false, pause)),
      optimizer_(settings.optimizer, trained_, pause) {
    if (settings.clip_value) check_positive("clip_value", *settings.clip_value);
    if (settings.clip_norm) check_positive("clip_norm", *settings.clip_norm);
    Index most = 0;
    for (const Piece& piece : layout().pieces()) most = std::max(most, piece.rows);
    squares_.resize(static_cast<std::size_t>(padded<Real>(most)));
}

template <class Real>
Trainer<Real>::~Trainer() = default;

template <class Real>
Losses Trainer<Real>::train(const TrainingTask<Real>& task, Pause& pause) {
    const Architecture& a = architecture();
    check_training(task, a, pause);
    if (pause.stopped()) return {};
    if (task.carry) begin_carried(task.examples);
    const Index largest = std::min(task.batch_size, task.count);
    const double steps = static_cast<double>(task.count) * static_cast<double>(task.examples.steps);
    Progress progress{
        Team(useful_threads(task.threads, leaves_of(largest), work_of(steps, a, true))), pause};
    progress.done.losses.reserve(static_cast<std::size_t>(task.updates));
    progress.done.weights.reserve(static_cast<std::size_t>(task.updates));
    for (Index first = 0; first < task.count;) {
        const Index count = std::min(task.batch_size, task.count - first);
        if (!train(task, task.sequences + first, count, progress)) break;
        first += count;
    }
    return std::move(progress.done);
}

// Runs one minibatch, window by window; returns whether to continue.
template <class Real>
bool Trainer<Real>::train(const TrainingTask<Real>& task, const Index* sequences, Index count,
                          Progress& progress) {
    const Index longest = longest_of(task.examples, sequences, count);
    const Truncation windows = windows_of(task.examples, task.truncation);
    Minibatch batch{sequences, count, start_of(task, sequences, count)};
    for (Index i = 0; i < count_windows(longest, windows); ++i) {
        batch.place = place_of(i, longest, windows);
        if (!update(task, batch, progress)) return false;
    }
    return true;
}

// The start states of a minibatch; empty for the network's initial state.
template <class Real>
std::vector<Real> Trainer<Real>::start_of(const TrainingTask<Real>& task, const Index* sequences,
                                          Index count) const {
    const Index state_size = architecture().state_size();
    const Real* from = task.carry ? carried_.data() : task.examples.state;
    if (!from) return {};
    std::vector<Real> states(static_cast<std::size_t>(count * state_size));
    for (Index i = 0; i < count; ++i)
        std::copy_n(from + sequences[i] * state_size, state_size, states.data() + i * state_size);
    return states;
}

// Runs one window of a minibatch; returns whether to continue.
template <class Real>
bool Trainer<Real>::update(const TrainingTask<Real>& task, Minibatch& batch, Progress& progress) {
    const Place& place = batch.place;
    const bool keep = place.last ? task.carry : place.next > 0;
    const auto numbers = static_cast<std::size_t>(batch.count * architecture().state_size());
    batch.kept.resize(keep ? numbers : 0);
    std::vector<Real> state_gradients(
        settings_.train_initial_state && batch.states.empty() ? numbers : 0);
    const double weight =
        sum_of_weights(task.examples, batch.sequences, batch.count, place.window, progress.pause);
    double loss = 0;
    if (weight > 0 || keep) {
        PartTask<Real> part = task_of_part(task, batch.sequences, batch.count, place);
        part.states = data_of(batch.states);
        part.normalizer = weight > 0 ? weight : 1;
        part.with_gradients = weight > 0;
        part.keep = keep;
        BatchTask<Real> window(task.examples, part);
        window.state_gradients = data_of(state_gradients);
        window.kept_states = data_of(batch.kept);
        loss = task.elsewhere ? run_elsewhere(part, batch.kept, *task.elsewhere, progress.pause)
                              : backpropagation_->run(window, progress.team, progress.pause);
    }
    progress.pause.worked(trained_ + batch.count);
    if (progress.pause.stopped()) return false;

    const double rate = progress.next_rate(task);
    if (weight > 0 && std::isfinite(loss))
        apply(task.elsewhere ? received_.data() : backpropagation_->gradients(), rate);
    progress.done.losses.push_back(loss);
    progress.done.weights.push_back(weight);
    if (keep && place.last) carry(batch);
    if (keep && !place.last) batch.states.swap(batch.kept);
    return std::isfinite(loss);
}

template <class Real>
void Trainer<Real>::apply(Real* gradients, double rate) {
    clip(gradients);
    optimizer_.update(weights_.data(), gradients, rate);
}

// Has the gradients and kept states of a part computed elsewhere; returns the loss.
template <class Real>
double Trainer<Real>::run_elsewhere(const PartTask<Real>& task, std::vector<Real>& kept,
                                    const Elsewhere<Real>& elsewhere, Pause& pause) {
    Part<Real> part = elsewhere(task, parameters(pause));
    if (pause.stopped()) return 0;
    if (task.keep) kept = std::move(part.states);
    if (!task.with_gradients) return part.loss;
    received_ = zeros<Real>(layout().size(), pause);
    layout().pack(part.gradients, received_.data(), pause);
    return part.loss;
}

template <class Real>
Part<Real> Trainer<Real>::part(const Examples<Real>& examples, const PartTask<Real>& task,
                               const Parameters<Real>& weights, Index threads, Pause& pause) {
    check(examples, architecture(), task.sequences, task.count, pause);
    check_at_least("threads", 1, threads);
    const auto [first, last, errors_from] = task.window;
    check_within("last", 0, examples.steps, last);
    check_within("first", 0, last, first);
    check_within("errors_from", 0, task.truncation.every > 0 ? 0 : last - first, errors_from);
    check_within("kept_step", 0, last - first, task.kept_step);
    check_equal("weights", network_->parameters().size(), weights.size());
    check_positive("normalizer", task.normalizer);
    check(task.truncation);
    const auto numbers = static_cast<std::size_t>(task.count * architecture().state_size());
    Part<Real> part{0, Parameters<Real>(architecture(), pause),
                    std::vector<Real>(task.keep ? numbers : 0)};
    if (pause.stopped()) return part;
    layout().pack(weights, weights_.data(), pause);
    std::vector<Real> state_gradients(settings_.train_initial_state && !task.states ? numbers : 0);
    BatchTask<Real> batch(examples, task);
    batch.state_gradients = data_of(state_gradients);
    batch.kept_states = data_of(part.states);
    Team team = backpropagation_->team(threads, batch);
    part.loss = backpropagation_->run(batch, team, pause);
    if (task.with_gradients && !pause.stopped())
        layout().unpack(backpropagation_->gradients(), part.gradients, pause);
    return part;
}

template <class Real>
void Trainer<Real>::begin_carried(const Examples<Real>& examples) {
    const Index state_size = architecture().state_size();
    const auto numbers = static_cast<std::size_t>(examples.sequences * state_size);
    if (!carried_.empty()) {
        if (carried_.size() == numbers) return;
        refuse("carry",
               std::to_string(static_cast<Index>(carried_.size()) / state_size) +
                   " sequences, as carried so far",
               std::to_string(examples.sequences));
    }
    const Real* initial = network_->parameters().find("initial_state");
    std::vector<Real> states(numbers);
    for (Index b = 0; b < examples.sequences; ++b)
        start_state(examples.state ? examples.state + b * state_size : nullptr, initial, 0,
                    state_size, states.data() + b * state_size);
    carried_ = std::move(states);
}

// Stores the final states of a minibatch for the next pass.
template <class Real>
void Trainer<Real>::carry(const Minibatch& batch) {
    const Index state_size = architecture().state_size();
    for (Index i = 0; i < batch.count; ++i)
        std::copy_n(batch.kept.data() + i * state_size, state_size,
                    carried_.data() + batch.sequences[i] * state_size);
}

template <class Real>
void Trainer<Real>::clip(Real* gradients) {
    if (settings_.clip_value) {
        const Real most = static_cast<Real>(*settings_.clip_value);
        for (Index i = 0; i < trained_; ++i) gradients[i] = std::clamp(gradients[i], -most, most);
    }
    if (!settings_.clip_norm) return;
    const double scale = *settings_.clip_norm / (norm(gradients) + 1e-6);
    if (scale >= 1) return;
    const Real factor = static_cast<Real>(scale);
    for (Index i = 0; i < trained_; ++i) gradients[i] *= factor;
}

// Sums squares row by row, then rows in the order of the file.
template <class Real>
double Trainer<Real>::norm(const Real* gradients) {
    double sum = 0;
    for (const Piece& piece : layout().pieces()) {
        const Real* g = gradients + piece.offset;
        if (piece.offset >= trained_) break;  // the initial state comes last
        if (piece.vector) {
            for (Index i = 0; i < piece.rows; ++i) sum += static_cast<double>(g[i]) * g[i];
            continue;
        }
        network_->kernels().square_rows(g, piece.rows, piece.cols, squares_.data());
        for (Index r = 0; r < piece.rows; ++r) sum += squares_[static_cast<std::size_t>(r)];
    }
    return std::sqrt(sum);
}

template <class Real>
double Trainer<Real>::loss(const Examples<Real>& examples, Index threads, Pause& pause,
                           const Elsewhere<Real>* elsewhere) {
    check(examples, architecture(), nullptr, examples.sequences, pause);
    check_at_least("threads", 1, threads);
    const std::vector<Index> sequences = all_sequences(examples.sequences);
    PartTask<Real> all;
    all.sequences = sequences.data();
    all.count = examples.sequences;
    all.window.last = examples.steps;
    all.states = examples.state;
    all.normalizer = total_weight(examples, pause);
    all.with_gradients = false;
    std::vector<Real> none;
    if (elsewhere) return run_elsewhere(all, none, *elsewhere, pause);
    const BatchTask<Real> batch(examples, all);
    Team team = backpropagation_->team(threads, batch);
    return backpropagation_->run(batch, team, pause);
}

template <class Real>
Parameters<Real> Trainer<Real>::parameters(Pause& pause) const {
    Parameters<Real> parameters(network_->parameters(), pause);
    layout().unpack(weights_.data(), parameters, pause);
    return parameters;
}

template <class Real>
bool Trainer<Real>::finite(Pause& pause) const {
    constexpr Index kBlock = 1024;  // no branch inside a block: 4 times as fast
    constexpr Real most = std::numeric_limits<Real>::max();
    for (Index first = 0; first < trained_ && !pause.stopped(); first += kBlock) {
        const Index last = std::min(trained_, first + kBlock);
        int wrong = 0;
        for (Index i = first; i < last; ++i)
            wrong |= !(std::abs(weights_[static_cast<std::size_t>(i)]) <= most);
        if (wrong) return false;
        pause.worked(last - first);
    }
    return true;
}

template <class Real>
typename Trainer<Real>::State Trainer<Real>::state(Pause& pause) const {
    State state{{parameters(pause)}, carried_, optimizer_.updates()};
    for (const AlignedVector<Real>& moment : optimizer_.moments()) {
        AlignedVector<Real> arena = copy_of(moment.data(), trained_, pause);
        grow(arena, layout().size(), pause);
        Parameters<Real> unpacked(architecture(), pause);
        if (pause.stopped()) break;
        layout().unpack(arena.data(), unpacked, pause);
        state.arenas.push_back(std::move(unpacked));
    }
    return state;
}

template <class Real>
void Trainer<Real>::restore(const State& state, Pause& pause) {
    const auto count = static_cast<Index>(optimizer_.moments().size());
    check_equal("arenas", 1 + count, static_cast<Index>(state.arenas.size()));
    for (const Parameters<Real>& arena : state.arenas)
        check_equal("elements of an arena", network_->parameters().size(), arena.size());
    const auto carried = static_cast<Index>(state.carried.size());
    if (carried % architecture().state_size() != 0)
        refuse("carried", "whole states", std::to_string(carried) + " elements");
    if (state.updates < 0 || state.updates > Optimizer<Real>::kMostUpdates)
        refuse("updates", "0 to 2^53", std::to_string(state.updates));

    std::vector<AlignedVector<Real>> arenas;
    for (const Parameters<Real>& arena : state.arenas) {
        arenas.push_back(zeros<Real>(layout().size(), pause));
        layout().pack(arena, arenas.back().data(), pause);
    }
    if (pause.stopped()) return;
    std::vector<AlignedVector<Real>> moments(std::make_move_iterator(arenas.begin() + 1),
                                             std::make_move_iterator(arenas.end()));
    for (AlignedVector<Real>& moment : moments) moment.resize(static_cast<std::size_t>(trained_));
    std::vector<Real> states = state.carried;
    // Nothing throws from here on.
    std::copy(arenas[0].begin(), arenas[0].end(), weights_.begin());
    optimizer_.restore(std::move(moments), state.updates);
    carried_ = std::move(states);
}

template Index updates_of(const Examples<float>&, const Index*, Index, Index, Truncation, Pause&);
template Index updates_of(const Examples<double>&, const Index*, Index, Index, Truncation, Pause&);
template class Trainer<float>;
template class Trainer<double>;

}  // namespace elman
