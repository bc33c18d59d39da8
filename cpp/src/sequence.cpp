#include "elman/sequence.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>

#include "block.hpp"
#include "layerwise.hpp"
#include "units.hpp"

namespace elman {
namespace {

using Clock = std::chrono::steady_clock;

// Steps that a stage of a pipeline hands on at a time: few, since the stages above wait for the
// first ones. Two layers of 256, T = 1000, on two threads: 1.60 times as fast with 16, 1.55
// with 64. What is left is the balance: the upper layer's product with 256 inputs is 58 % of the
// work.
constexpr Index kStageSteps = 16;

// Splits the layers into at most `parts` runs of about the same work.
std::vector<Layers> split_layers(const Architecture& a, Index parts) {
    std::vector<Index> work;
    Index below = a.input_size, total = 0;
    for (const LayerShape& layer : a.layers) {
        work.push_back(layer.hidden_size * (layer.hidden_size + below));
        total += work.back();
        below = layer.hidden_size;
    }
    std::vector<Layers> runs{{0, 0}};
    Index done = 0;
    for (std::size_t l = 0; l < work.size(); ++l) {
        const Index share = static_cast<Index>(runs.size()) * total / parts;
        if (runs.back().last > runs.back().first && done + work[l] / 2 > share)
            runs.push_back({l, l});
        runs.back().last = l + 1;
        done += work[l];
    }
    return runs;
}

}  // namespace

// Where two stages of one pipeline meet: chunks of states, which the lower layers put in and the
// upper layers take out in turn.
template <class Real>
class Channel {
  public:
    Channel(Index columns, Index stride)
        : stride_(stride),
          chunk_(static_cast<std::size_t>(columns * stride)),
          numbers_(kChunks * chunk_) {}

    // Waits, but not beyond the deadline, until a chunk can be put in or taken out.
    bool has_room(Clock::time_point deadline) {
        return wait(deadline, [&] { return filled_ < kChunks; });
    }
    bool has_chunk(Clock::time_point deadline) {
        return wait(deadline, [&] { return filled_ > 0; });
    }

    void put(Columns<const Real> states, Index columns) {
        std::copy_n(states.data, columns * stride_, chunk(put_++));
        change(+1);
    }
    Columns<const Real> front() const { return {chunk(taken_), stride_}; }
    void take() {
        ++taken_;
        change(-1);
    }

  private:
    static constexpr std::size_t kChunks = 4;

    template <class Condition>
    bool wait(Clock::time_point deadline, Condition condition) {
        std::unique_lock lock(mutex_);
        return changed_.wait_until(lock, deadline, condition);
    }
    void change(int by) {
        {
            const std::lock_guard lock(mutex_);
            filled_ += static_cast<std::size_t>(by);
        }
        changed_.notify_one();
    }
    Real* chunk(std::size_t i) { return numbers_.data() + i % kChunks * chunk_; }
    const Real* chunk(std::size_t i) const { return numbers_.data() + i % kChunks * chunk_; }

    const Index stride_;
    const std::size_t chunk_;  // numbers
    AlignedVector<Real> numbers_;
    std::size_t put_ = 0;    // chunks so far; the lower stage's own
    std::size_t taken_ = 0;  // the upper stage's own
    std::size_t filled_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
};

// Advances the sequences [first, last) of the order, group after group. In a group the longest
// sequences come first, so that those still running at any step are the first columns of its block.
//
// A worker with some of the layers is a stage of a pipeline: it takes its inputs from the stage
// below, chunk by chunk, and hands its states to the stage above. All stages cut the sequences into
// the same chunks, since that depends on the task alone.
template <class Real>
class Sequence<Real>::Worker {
  public:
    Worker(const Network<Real>& network, const SequenceTask<Real>& task, const Index* order,
           Index first, Index last, Layers layers, Channel<Real>* below, Channel<Real>* above)
        : network_(network),
          task_(task),
          order_(order),
          group_(first),
          last_(last),
          total_steps_(task.steps + task.fed_back),
          below_(below),
          above_(above),
          block_(network, columns(first, last), layers) {
        inputs_.reserve(kGroup);
        outputs_.reserve(kGroup);
        begin_group();
    }

    static Index columns(Index first, Index last) {
        return std::min(kGroup, std::max<Index>(1, last - first));
    }

    // False at the deadline, or if there is no chunk to take or no room for one until then.
    bool advance(Clock::time_point deadline) {
        while (group_ < last_) {
            if (running_ > 0 && !advance_chunk(deadline)) return false;
            if (running_ == 0) {
                group_ = group_end();
                begin_group();
            }
            if (Clock::now() >= deadline) break;
        }
        return group_ >= last_;
    }

  private:
    Index group_end() const { return std::min(last_, group_ + kGroup); }
    Index sequence(Index column) const {
        return order_ ? order_[group_ + column] : group_ + column;
    }
    Index length(Index column) const {
        return task_.lengths ? task_.lengths[sequence(column)] : total_steps_;
    }
    Index state_size() const { return network_.architecture().state_size(); }
    Index output_size() const { return network_.architecture().output_size(); }

    void begin_group() {
        if (group_ >= last_) return;
        time_ = 0;
        running_ = group_end() - group_;
        inputs_.clear();
        outputs_.clear();
        for (Index column = 0; column < running_; ++column) {
            inputs_.push_back(task_.x.sequence(sequence(column)));
            outputs_.push_back(task_.output.sequence(sequence(column)));
            if (task_.state)
                block_.set_state(column, task_.state + sequence(column) * state_size());
            else
                block_.reset(column);
        }
        finish_ended();
    }

    // A chunk is as many steps as fit, and ends where the next sequence does.
    bool advance_chunk(Clock::time_point deadline) {
        if (below_ && !below_->has_chunk(deadline)) return false;
        if (above_ && !above_->has_room(deadline)) return false;
        const bool feeding_back = time_ >= task_.steps;
        const Index until = feeding_back ? time_ + 1 : std::min(task_.steps, length(running_ - 1));
        Index steps = std::min(block_.steps_that_fit(running_), until - time_);
        if (below_ || above_) steps = std::min(steps, kStageSteps);
        if (below_) {
            block_.advance(below_->front(), running_, steps);
            below_->take();
        } else if (running_ == 1 && !feeding_back) {
            block_.advance({inputs_[0].row(time_), inputs_[0].step_stride, inputs_[0].stride},
                           steps);
        } else {
            advance_columns(feeding_back, steps);
        }
        if (task_.hidden) keep_hidden(steps);
        if (above_)
            above_->put(block_.top(), running_ * steps);
        else if (task_.outputs == Outputs::all)
            keep_outputs(steps);
        time_ += steps;
        if (!above_ && task_.outputs == Outputs::last) keep_last_outputs(steps);
        finish_ended();
        return true;
    }

    void advance_columns(bool feeding_back, Index steps) {
        for (Index column = 0; column < running_; ++column) {
            const Rows<const Real>& x = inputs_[static_cast<std::size_t>(column)];
            if (feeding_back)
                block_.set_input(column, block_.output(column), 1);
            else
                for (Index t = 0; t < steps; ++t)
                    block_.set_input(t * running_ + column, x.row(time_ + t), x.stride);
        }
        block_.advance(running_, steps);
    }

    void keep_hidden(Index steps) {
        for (Index column = 0; column < running_; ++column)
            for (Index t = 0; t < steps; ++t)
                block_.hidden(t * running_ + column, hidden_row(column, time_ + t));
    }

    void keep_outputs(Index steps) {
        const Index skipped = std::max<Index>(0, task_.first_output - time_);
        if (skipped >= steps) return;
        block_.read_out(skipped * running_, (steps - skipped) * running_);
        for (Index column = 0; column < running_; ++column) {
            const Rows<Real>& y = outputs_[static_cast<std::size_t>(column)];
            for (Index t = skipped; t < steps; ++t)
                block_.get_output((t - skipped) * running_ + column,
                                  y.row(time_ + t - task_.first_output), y.stride);
        }
    }

    void keep_last_outputs(Index steps) {
        Index ended = 0;
        while (ended < running_ && length(running_ - 1 - ended) == time_) ++ended;
        if (ended == 0) return;
        block_.read_out(steps * running_ - ended, ended);
        for (Index i = 0; i < ended; ++i) {
            const Rows<Real>& y = outputs_[static_cast<std::size_t>(running_ - ended + i)];
            block_.get_output(i, y.data, y.stride);
        }
    }

    // Completes what the sequences that end at this step leave behind; they are the last columns.
    void finish_ended() {
        while (running_ > 0 && length(running_ - 1) == time_) {
            const Index column = --running_;
            if (!above_) zero_padded_outputs(outputs_[static_cast<std::size_t>(column)]);
            if (task_.hidden)
                for (Index t = time_; t < total_steps_; ++t)
                    block_.get_state(column, hidden_row(column, t));
            if (task_.final_state)
                block_.get_state(column, task_.final_state + sequence(column) * state_size());
        }
    }

    void zero_padded_outputs(const Rows<Real>& y) {
        if (task_.outputs == Outputs::last) {
            if (time_ == 0) zero_row(output_size(), y.data, y.stride);
        } else {
            for (Index t = time_; t < total_steps_; ++t)
                zero_row(output_size(), y.row(t), y.stride);
        }
    }

    Real* hidden_row(Index column, Index step) const {
        return task_.hidden + (sequence(column) * task_.steps + step) * state_size();
    }

    const Network<Real>& network_;
    const SequenceTask<Real>& task_;
    const Index* order_;
    Index group_;  // its first sequence
    const Index last_;
    const Index total_steps_;
    Index time_ = 0;                        // steps done by the group
    Index running_ = 0;                     // sequences of the group that are not at their end
    std::vector<Rows<const Real>> inputs_;  // of the group's sequences
    std::vector<Rows<Real>> outputs_;
    Channel<Real>* const below_;  // null: the task's own inputs
    Channel<Real>* const above_;  // null: this stage gives the outputs
    Block<Real> block_;
};

template <class Real>
Sequence<Real>::Sequence(const Network<Real>& network, SequenceTask<Real> task, Index threads)
    : task_(std::move(task)) {
    if (task_.fed_back)
        network.architecture().require_forward("generate", "an output is the next input");
    if (task_.mask) count_real_steps();
    if (task_.lengths) {
        order_.resize(static_cast<std::size_t>(task_.sequences));
        std::iota(order_.begin(), order_.end(), Index(0));
        std::stable_sort(order_.begin(), order_.end(),
                         [&](Index a, Index b) { return task_.lengths[a] > task_.lengths[b]; });
    }
    const Index shares = std::max<Index>(1, std::min(threads, task_.sequences));
    if (task_.mask || !network.architecture().runs_forward())
        share_layer_by_layer(network, shares);
    else
        share_steps(network, shares, threads);
}

template <class Real>
void Sequence<Real>::share_steps(const Network<Real>& network, Index shares, Index threads) {
    const std::vector<Layers> stages =
        split_layers(network.architecture(), task_.fed_back ? 1 : threads / shares);
    Index first = 0;
    for (Index share = 0; share < shares; ++share) {
        const Index last = share_end(first, shares - share);
        Channel<Real>* below = nullptr;
        for (const Layers& layers : stages) {
            Channel<Real>* above = nullptr;
            if (layers.last < network.layers().size()) {
                channels_.push_back(std::make_unique<Channel<Real>>(
                    kStageSteps * Worker::columns(first, last),
                    padded<Real>(network.architecture().layers[layers.last - 1].hidden_size)));
                above = channels_.back().get();
            }
            workers_.push_back(std::make_unique<Worker>(network, task_,
                                                        order_.empty() ? nullptr : order_.data(),
                                                        first, last, layers, below, above));
            below = above;
        }
        first = last;
    }
}

template <class Real>
Sequence<Real>::~Sequence() = default;

template <class Real>
void Sequence<Real>::count_real_steps() {
    for (Index b = 0; b < task_.sequences; ++b) {
        const unsigned char* row = task_.mask + b * task_.steps;
        real_steps_.push_back(task_.steps - std::count(row, row + task_.steps, 0));
    }
    task_.lengths = real_steps_.data();
}

template <class Real>
void Sequence<Real>::share_layer_by_layer(const Network<Real>& network, Index shares) {
    const Index* order = order_.empty() ? nullptr : order_.data();
    for (Index share = 0, first = 0; share < shares; ++share) {
        const Index last = share_end(first, shares - share);
        layerwise_.push_back(
            std::make_unique<LayerwiseWorker<Real>>(network, task_, order, first, last));
        first = last;
    }
}

// Where the first of `shares` equal shares of the work from `first` on ends: a sequence costs its
// length, and one more for its beginning and end.
template <class Real>
Index Sequence<Real>::share_end(Index first, Index shares) const {
    const Index rest = task_.sequences - first;
    if (order_.empty()) return first + (rest + shares - 1) / shares;
    const auto cost = [&](Index i) {
        return task_.lengths[order_[static_cast<std::size_t>(i)]] + 1;
    };
    Index total = 0;
    for (Index i = first; i < task_.sequences; ++i) total += cost(i);
    Index end = first;
    for (Index sum = 0; end < task_.sequences && sum < (total + shares - 1) / shares; ++end)
        sum += cost(end);
    return end;
}

template <class Real>
bool Sequence<Real>::work(std::size_t worker, Clock::time_point deadline) {
    return layerwise_.empty() ? workers_[worker]->advance(deadline)
                              : layerwise_[worker]->advance(deadline);
}

template <class Real>
bool Sequence<Real>::advance(Clock::duration budget) {
    const Clock::time_point deadline = Clock::now() + budget;
    const std::size_t workers = workers_.size() + layerwise_.size();
    std::vector<char> done(workers);
    std::vector<std::thread> threads;
    threads.reserve(workers);
    try {
        while (threads.size() + 1 < workers) {
            const std::size_t i = threads.size() + 1;
            threads.emplace_back([&, i] { done[i] = work(i, deadline); });
        }
    } catch (const std::system_error&) {  // no more threads to be had: the same bits, later
    }
    const std::size_t rest = threads.size() + 1;
    done[0] = work(0, deadline);
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = rest; i < workers; ++i) done[i] = work(i, deadline);
    return std::all_of(done.begin(), done.end(), [](char d) { return d != 0; });
}

template class Sequence<float>;
template class Sequence<double>;

}  // namespace elman
