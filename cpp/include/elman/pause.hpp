// pause.hpp - how a long call is asked, now and then, whether to go on.
//
//   Pause pause([] { return !interrupted(); });
//   run_sequences(network, task, threads, pause);     // returns early if the answer was no
//
// Every loop of the core that can last tells a Pause how much work it has done, and ends where it
// is stopped. The question is asked by the thread that made the call, at most every kInterval; it
// does not throw.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

#include "elman/types.hpp"

namespace elman {

// To copy, pack or look at one number, in multiply-adds.
inline constexpr Index kNumberWork = 8;

class Pause {
  public:
    static constexpr std::chrono::milliseconds kInterval{50};
    // Multiply-adds, or what takes as long, between two looks at the clock: 0.1 to 5 ms.
    static constexpr Index kWork = Index(1) << 21;

    Pause() = default;  // never stops
    explicit Pause(std::function<bool()> go_on) : go_on_(std::move(go_on)) {}
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

    // For the calling thread alone: so much work was done since the last time.
    void worked(Index work) {
        work_ += work;
        if (work_ >= kWork) look();
    }

    // For the calling thread alone, also while it waits for others.
    void look();

    // For any thread. What is stopped stays stopped.
    bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

    // How often this call could have been stopped.
    Index looks() const { return looks_; }

  private:
    std::function<bool()> go_on_;
    std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
    Index work_ = 0;
    Index looks_ = 0;
    std::atomic<bool> stopped_{false};
};

// How one thread of a call asks its pause.
class Poll {
  public:
    Poll(Pause& pause, bool calling_thread = true)  // NOLINT: a pause can be polled
        : pause_(pause), calling_thread_(calling_thread) {}

    // So much work was done since the last time: false if the call is to end.
    bool go_on(Index work) {
        if (calling_thread_) pause_.worked(work);
        return !pause_.stopped();
    }

    // Nothing was done for a while: the same, from a thread that waits for others.
    bool wait_on() {
        if (calling_thread_) pause_.look();
        return !pause_.stopped();
    }

  private:
    Pause& pause_;
    const bool calling_thread_;
};

// each(first, last) for some of 0 ... count-1 at a time, of `work` multiply-adds each. Returns
// early if the pause is stopped.
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
