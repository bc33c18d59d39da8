// unlocked.hpp - the interpreter's lock, given up for long work, and signals, looked for meanwhile.
//
//   Polled polled(work);
//   run_sequences(network, task, threads, polled.pause());
//   polled.finish();
//
// Every call of the core that can last goes through a Polled: there is no other loop for Ctrl-C.
#pragma once

#include <pybind11/pybind11.h>

#include <limits>
#include <optional>

#include "elman/pause.hpp"

namespace elman::python {

// The lock is given up for as long as this object lives.
class Unlocked {
  public:
    Unlocked() : thread_(PyEval_SaveThread()) {}
    ~Unlocked() { take_back(thread_); }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

  private:
    static void take_back(PyThreadState* thread);

    PyThreadState* thread_;
};

// Below this many multiply-adds the interpreter's lock is kept: about 20 microseconds.
inline constexpr Index kShortWork = Index(1) << 20;

// The product of counts of work, or the largest number where that is larger.
constexpr Index work_of(Index a, Index b) {
    constexpr Index most = std::numeric_limits<Index>::max();
    return b > 0 && a > most / b ? most : a * b;
}

// One call of the core: long work gives up the lock, and takes it back every 50 ms to look for
// signals; short work keeps it and is not asked.
class Polled {
  public:
    explicit Polled(Index work);  // about so many multiply-adds
    ~Polled();

    Pause& pause() { return pause_; }

    // Takes the lock back. Throws what the handler of a signal raised, if it stopped the work.
    void finish();

  private:
    bool go_on();

    Pause pause_;
    std::optional<Unlocked> unlocked_;
};

// How often all calls so far could have been stopped: tests count these instead of seconds.
Index polls();

}  // namespace elman::python
