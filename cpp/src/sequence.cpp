#include "elman/sequence.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "checks.hpp"
#include "layerwise.hpp"
#include "stages.hpp"

namespace elman {
namespace {

constexpr Index kMost = std::numeric_limits<Index>::max();

// --- the task ---

void require_none(bool there, const char* argument, const char* beside) {
    if (there) refuse(argument, std::string("none with ") + beside, "one");
}

template <class Real>
void check_steps(const Network<Real>& network, const SequenceTask<Real>& task) {
    check_at_least("steps", 0, task.steps);
    check_within("fed_back", 0, kMost - task.steps, task.fed_back);
    const Index total = task.steps + task.fed_back;
    check_within("first_output", 0, total, task.first_output);
    require_none(task.mask && task.lengths, "mask", "lengths");
    require_none(task.offsets && task.lengths, "offsets", "lengths");
    for (Index b = 0; task.offsets && b < task.sequences; ++b) {
        check_at_least("offsets", 0, std::min(task.offsets[b], task.offsets[b + 1]));
        check_within("steps by offsets", 0, task.steps, task.offsets[b + 1] - task.offsets[b]);
    }
    for (Index b = 0; task.lengths && b < task.sequences; ++b)
        check_within("lengths", 0, task.steps, task.lengths[b]);
    if (task.first_output > 0 && task.outputs == Outputs::all) {
        require_none(task.mask, "first_output", "a mask");
        require_none(task.offsets, "first_output", "offsets");
        network.architecture().require_forward("first_output", "others run layer by layer");
    }
}

template <class Real>
void check_fed_back(const Network<Real>& network, const SequenceTask<Real>& task) {
    if (task.fed_back == 0) return;
    network.architecture().require_forward("generate", "an output is the next input");
    if (network.output_size() != network.input_size())
        refuse("fed_back", "as many outputs as inputs, " + std::to_string(network.input_size()),
               std::to_string(network.output_size()));
    if (task.steps == 0) refuse("steps", "at least 1 if outputs are fed back", "0");
    require_none(task.lengths, "lengths", "outputs fed back");
    require_none(task.mask, "mask", "outputs fed back");
    require_none(task.offsets, "offsets", "outputs fed back");
    require_none(task.hidden, "hidden", "outputs fed back");
}

template <class Real>
void check_task(const Network<Real>& network, const SequenceTask<Real>& task, Index threads) {
    check_at_least("threads", 1, threads);
    check_at_least("sequences", 0, task.sequences);
    check_steps(network, task);
    check_fed_back(network, task);
    const bool all = task.outputs == Outputs::all;
    const Index outputs = all ? task.steps + task.fed_back - task.first_output : 1;
    check_view("x", task.x, task.offsets ? 1 : task.sequences, task.steps > 0);
    check_view("output", task.output, task.offsets && all ? 1 : task.sequences, outputs > 0);
}

// --- division of the work ---

// Thrown to end a sort early.
struct Stopped {};

template <class Real>
std::vector<Index> count_real_steps(const SequenceJob<Real>& job, Poll& poll) {
    constexpr Index kAtOnce = 4096;
    std::vector<Index> counts(static_cast<std::size_t>(job.task.sequences));
    for (Index b = 0; b < job.task.sequences; ++b) {
        const unsigned char* mask = job.mask(b);
        Index& count = counts[static_cast<std::size_t>(b)];
        for (Index rest = job.given_steps(b); rest > 0;) {
            const Index steps = std::min(kAtOnce, rest);
            count += steps - std::count(mask, mask + steps, 0);
            mask += steps;
            rest -= steps;
            if (!poll.go_on(steps)) return counts;
        }
    }
    return counts;
}

// The cost of a sequence: its steps, plus one for its start and end.
template <class Real>
double cost(const SequenceJob<Real>& job, Index position) {
    return static_cast<double>(job.lengths ? job.length(position) : job.total_steps(position)) + 1;
}

template <class Real>
double total_cost(const SequenceJob<Real>& job) {
    if (!job.ragged()) return static_cast<double>(job.task.sequences) * cost(job, 0);
    double sum = 0;
    for (Index i = 0; i < job.task.sequences; ++i) sum += cost(job, i);
    return sum;
}

template <class Real>
Team team_for(const SequenceJob<Real>& job, Index threads, Index shares) {
    if (threads == 1) return Team(1);
    const double work = total_cost(job) * static_cast<double>(work_of_step(job.network));
    return Team(useful_threads(threads, shares, static_cast<Index>(std::min(work, 0x1p62))));
}

// Calls share(first, last) for ranges of positions of similar cost, at most `parts` times.
template <class Real, class Share>
void for_each_share(const SequenceJob<Real>& job, Index parts, Share share) {
    const Index count = job.task.sequences;
    const double total = parts > 1 ? total_cost(job) : 0;
    Index first = 0;
    double sum = 0;
    for (Index part = 1; part <= parts; ++part) {
        const double until = total * static_cast<double>(part) / static_cast<double>(parts);
        Index last = part == parts ? count : first;
        for (; last < count && sum < until; ++last) sum += cost(job, last);
        if (last > first) share(first, last);
        first = last;
    }
}

// The length of the longest sequence from this position on.
template <class Real>
Index longest_from(const SequenceJob<Real>& job, Index position) {
    return job.ragged() ? job.length(position) : job.total_steps(position);
}

// All sequences and layers on the calling thread.
template <class Real>
void run_in_one_stage(const SequenceJob<Real>& job, Pause& pause) {
    const Network<Real>& network = job.network;
    const Index columns = std::min(kGroup, job.task.sequences), steps = longest_from(job, 0);
    const HalfRange all = all_halves(network);
    const bool small = fit_kept_workspace(network, columns, steps);
    auto workspace = small ? take_workspace(network)
                           : std::make_unique<Workspace<Real>>(
                                 network, all, columns, capacity_of(network, all, columns, steps));
    Poll poll(pause);
    Stage<Real>(job, 0, job.task.sequences, *workspace).run(poll);
    if (small) network.workspace().put(std::move(workspace));
}

// How several threads divide one share of the sequences: one of the two is 1.
struct Division {
    Index stages = 1;  // of the pipeline, one thread each
    Index rows = 1;    // threads that share the rows of every half
};

// A thread must have this many rows of every half.
constexpr Index kRowsOfEach = 64;
// The time in which a helper's rows of a step reach the leader, in multiply-adds of one thread. (A
// sequence of 128 units takes 0.97 times as long on two threads of a Zen 5 with AVX2, and 1.11
// times with AVX-512: its half of a step, 12,288 multiply-adds, is not enough.)
constexpr Index kExchange = 16000;

template <class Real>
Index most_row_threads(const Network<Real>& network) {
    Index narrowest = kMost;
    for (const Half& half : network.halves()) narrowest = std::min(narrowest, half.hidden_size);
    return std::max<Index>(1, narrowest / kRowsOfEach);
}

// The division with the shorter time of a step.
template <class Real>
Division divide(const Network<Real>& network, Index threads) {
    const std::vector<Half>& halves = network.halves();
    Index total = 0, of_stage = 0;
    for (const Half& half : halves) total += half.multiply_adds();
    for (const HalfRange& range : split_halves(network, threads)) {
        Index sum = 0;
        for (std::size_t h = range.first; h < range.last; ++h) sum += halves[h].multiply_adds();
        of_stage = std::max(of_stage, sum);
    }
    const Index rows = std::min(threads, most_row_threads(network));
    const Index of_rows = total / rows + kExchange * static_cast<Index>(halves.size()) * (rows - 1);
    return of_rows < of_stage ? Division{1, rows} : Division{threads, 1};
}

// The stages of all shares of the sequences, with their memory.
template <class Real>
struct Stages {
    std::vector<std::unique_ptr<Channel<Real>>> channels;
    std::vector<std::unique_ptr<Workspace<Real>>> workspaces;
    std::vector<Stage<Real>> workers;

    // Adds a pipeline for the positions [first, last), from the bottom up.
    void add(const SequenceJob<Real>& job, Index first, Index last,
             const std::vector<HalfRange>& ranges) {
        const Network<Real>& network = job.network;
        const Index columns = std::min(kGroup, last - first), steps = longest_from(job, first);
        Channel<Real>* below = nullptr;
        Index capacity = kMost;
        for (const HalfRange& range : ranges)
            capacity = std::min(capacity, capacity_of(network, range, columns, steps));
        for (const HalfRange& range : ranges) {
            Channel<Real>* above = nullptr;
            if (range.last < network.halves().size()) {
                channels.push_back(std::make_unique<Channel<Real>>(
                    kStageSteps * columns,
                    padded<Real>(network.halves()[range.last - 1].hidden_size)));
                above = channels.back().get();
            }
            workspaces.push_back(
                std::make_unique<Workspace<Real>>(network, range, columns, capacity));
            workers.emplace_back(job, first, last, *workspaces.back(), below, above);
            below = above;
        }
    }
};

template <class Real>
void run_in_stages(const SequenceJob<Real>& job, Index threads, Pause& pause) {
    const Network<Real>& network = job.network;
    const Index sequences = job.task.sequences;
    const auto halves = static_cast<Index>(network.halves().size());
    const bool divided = sequences < threads && job.task.fed_back == 0;
    const Index rows = divided ? divide(network, threads / sequences).rows : 1;
    const Index most = rows > 1 ? rows : divided ? halves : 1;
    Team team = team_for(job, threads, sequences * most);
    if (team.size() == 1) return run_in_one_stage(job, pause);

    // No more stages than threads: a stage without a thread would block the others.
    const Index shares = std::min(team.size(), sequences);
    const Division division = divided ? divide(network, team.size() / shares) : Division{};
    const std::vector<HalfRange> ranges = split_halves(network, division.stages);
    Stages<Real> stages;
    for_each_share(job, shares, [&](Index first, Index last) {
        stages.add(job, first, last, ranges);
        if (division.rows > 1) stages.workers.back().share_rows(division.rows);
    });
    const auto work = [&](Index i) {
        Poll poll(pause, i == 0);
        Stage<Real>& worker = stages.workers[static_cast<std::size_t>(i / division.rows)];
        if (i % division.rows == 0)
            worker.run(poll);
        else
            worker.help(i % division.rows, poll);
    };
    team.run(static_cast<Index>(stages.workers.size()) * division.rows, work, pause, true);
}

template <class Real>
void run_layerwise(const SequenceJob<Real>& job, Index threads, Pause& pause) {
    Team team = team_for(job, threads, job.task.sequences);
    std::vector<std::pair<Index, Index>> shares;
    for_each_share(job, team.size(),
                   [&](Index first, Index last) { shares.emplace_back(first, last); });
    const auto work = [&](Index i) {
        Poll poll(pause, i == 0);
        const auto [first, last] = shares[static_cast<std::size_t>(i)];
        run_layer_by_layer(job, first, last, poll);
    };
    team.run(static_cast<Index>(shares.size()), work, pause, true);
}

}  // namespace

template <class Real>
void run_sequences(const Network<Real>& network, const SequenceTask<Real>& task, Index threads,
                   Pause& pause) {
    check_task(network, task, threads);
    if (task.sequences == 0) return;
    Poll poll(pause, true);
    SequenceJob<Real> job{network, task, task.lengths};
    std::vector<Index> real_steps, order;
    if (task.mask) {
        real_steps = count_real_steps(job, poll);
        job.lengths = real_steps.data();
    }
    if (job.ragged()) {
        const auto length = [&](Index b) {
            if (!poll.go_on(4)) throw Stopped();
            return job.length(b);  // without an order yet, a position is a sequence
        };
        try {
            order = longest_first(task.sequences, length);
        } catch (const Stopped&) {
            return;
        }
        job.order = order.data();
    }
    if (pause.stopped()) return;
    if (task.mask || !network.architecture().runs_forward())
        run_layerwise(job, threads, pause);
    else
        run_in_stages(job, threads, pause);
}

template <class Real>
void run_sequence(const Network<Real>& network, Rows<const Real> x, Rows<Real> y, Index steps,
                  Pause& pause) {
    if (!network.architecture().runs_forward())  // or this would make strings
        network.architecture().require_forward("run_sequence", "others run layer by layer");
    check_at_least("steps", 0, steps);
    std::unique_ptr<Workspace<Real>> workspace = take_workspace(network);
    Block<Real>& block = workspace->block;
    block.start(1, [](Index) { return nullptr; });
    for (Index done = 0; done < steps && !pause.stopped();) {
        const Index n = std::min(steps - done, block.capacity());
        block.advance_column(x.from(done), y.from(done), n);
        done += n;
        pause.worked(n * work_of_step(network));
    }
    network.workspace().put(std::move(workspace));
}

template void run_sequences(const Network<float>&, const SequenceTask<float>&, Index, Pause&);
template void run_sequences(const Network<double>&, const SequenceTask<double>&, Index, Pause&);
template void run_sequence(const Network<float>&, Rows<const float>, Rows<float>, Index, Pause&);
template void run_sequence(const Network<double>&, Rows<const double>, Rows<double>, Index, Pause&);

}  // namespace elman
