// threads.hpp - the threads of one call: they start with it, wait for its parts, and end with it.
//
// The only file of the core, with threads.cpp, that knows threads: built without
// ELMAN_THREADS, a team is the calling thread alone.
#pragma once

#include <functional>
#include <memory>

#include "elman/pause.hpp"
#include "elman/threads.hpp"

namespace elman {

// How many threads are worth having: no more than wanted, than there are shares of the work and
// cores, and no more than have enough to do. At least 1.
Index useful_threads(Index wanted, Index shares, Index work);

class Team {
  public:
    // Starts up to `wanted` - 1 threads; fewer, without an error, where the system refuses them.
    explicit Team(Index wanted);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    Index size() const;  // with the calling thread

    // Calls work(0) ... work(count - 1) at the same time, count <= size(), work(0) on the calling
    // thread, which looks at the pause while it waits for the others. Throws what one of them
    // threw, after all have ended.
    void run(Index count, const std::function<void(Index)>& work, Pause& pause);

  private:
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

// A count that one thread raises and another waits for.
class Counter {
  public:
    Counter();
    ~Counter();
    void raise();
    // Waits until the count is at least that; false if the call is to end before.
    bool wait_for(Index count, Poll& poll);

  private:
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

}  // namespace elman
