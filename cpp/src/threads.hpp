// threads.hpp - the threads of one call.
//
// With threads.cpp the only file of the core that uses threads: without ELMAN_THREADS, a team is
// the calling thread.
#pragma once

#include <functional>
#include <memory>

#include "elman/pause.hpp"
#include "elman/threads.hpp"

namespace elman {

// The number of threads worth using: at most `wanted`, the shares of the work and the cores, and
// each with enough work. At least 1.
Index useful_threads(Index wanted, Index shares, Index work);

class Team {
  public:
    // Starts up to `wanted` - 1 threads; fewer, without an error, if the system refuses them.
    explicit Team(Index wanted);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    Index size() const;  // includes the calling thread

    // Calls work(0) ... work(count - 1) concurrently, count <= size(), work(0) on the calling
    // thread, which polls the pause while it waits for the others. Rethrows an exception of one of
    // them after all have ended. After the last round each thread ends as soon as its part does.
    void run(Index count, const std::function<void(Index)>& work, Pause& pause, bool last = false);

  private:
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

// A counter that one thread raises and others wait for.
class Counter {
  public:
    Counter();
    ~Counter();
    Counter(const Counter&) = delete;
    Counter& operator=(const Counter&) = delete;

    Index reached() const;
    // Raises the count; returns whether it had to wake another thread.
    bool raise_to(Index count);
    bool raise() { return raise_to(reached() + 1); }
    // Waits actively for the count, at most 20 us; false if it has not been reached.
    bool spin_for(Index count) const;
    // Waits for the count, at first actively, then asleep; false if the call is to end first.
    bool wait_for(Index count, Poll& poll);

  private:
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

}  // namespace elman
