// pause.hpp - interruption of long calls.
//
//   Pause pause([] { return !interrupted(); });
//   run_sequences(network, task, threads, pause);     // ends early once it returns false
//
// Every loop of the core that can run long reports its work to a Pause and ends when the Pause is
// stopped. The function is called on the thread that made the call, at most once every kInterval;
// it must not throw.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

#include "elman/types.hpp"

namespace elman {

// Cost of copying, packing or checking one element, in multiply-adds.
inline constexpr Index kNumberWork = 8;

class Pause {
  public:
    static constexpr std::chrono::milliseconds kInterval{50};
    // Multiply-adds, or equivalent work, between two looks at the clock: 0.1 to 5 ms.
    static constexpr Index kWork = Index(1) << 21;

    Pause() = default;  // never stops
    explicit Pause(std::function<bool()> go_on) : go_on_(std::move(go_on)) {
        if (go_on_) asked_ = std::chrono::steady_clock::now();
    }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

    // Calling thread only: reports the work done since the last report.
    void worked(Index work) {
        work_ += work;
        if (work_ >= kWork) look();
    }

    // Calling thread only, also while it waits for others.
    void look();

    // Any thread. Once stopped, a pause stays stopped.
    bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

    // How often the clock was read: the chances to stop this call.
    Index looks() const { return looks_; }

  private:
    std::function<bool()> go_on_;
    std::chrono::steady_clock::time_point asked_{};
    Index work_ = 0;
    Index looks_ = 0;
    std::atomic<bool> stopped_{false};
};

// The pause of a call as seen by one of its threads.
class Poll {
  public:
    Poll(Pause& pause, bool calling_thread = true)  // NOLINT: a pause can be polled
        : pause_(pause), calling_thread_(calling_thread) {}

    // Reports the work done since the last report; returns false if the call is to end.
    bool go_on(Index work) {
        if (calling_thread_) pause_.worked(work);
        return !pause_.stopped();
    }

    // The same for a thread that waits for others, without work to report.
    bool wait_on() {
        if (calling_thread_) pause_.look();
        return !pause_.stopped();
    }

  private:
    Pause& pause_;
    const bool calling_thread_;
};

// Calls each(first, last) for consecutive pieces of [0, count), `work` multiply-adds per index.
// Returns early if the pause is stopped.
template <class Each>
void in_pieces(Index count, Index work, Poll poll, Each each) {
    const Index most = std::max<Index>(1, Pause::kWork / work);
    for (Index first = 0; first < count && poll.go_on(0);) {
        const Index last = first + std::min(most, count - first);
        each(first, last);
        poll.go_on((last - first) * work);
        first = last;
    }
}

}  // namespace elman
