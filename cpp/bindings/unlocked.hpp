// unlocked.hpp - releasing the interpreter's lock (GIL) and checking for signals during long work.
//
//   Polled polled(work);
//   run_sequences(network, task, threads, polled.pause());
//   polled.finish();
//
// Every call of the core that can run long uses a Polled; nothing else handles Ctrl-C.
#pragma once

#include <pybind11/pybind11.h>

#include <limits>
#include <optional>

#include "elman/pause.hpp"

namespace elman::python {

// Releases the lock for the lifetime of this object.
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

// Below this many multiply-adds, about 20 microseconds, the lock is kept.
inline constexpr Index kShortWork = Index(1) << 20;

// The product, or the largest Index if it would overflow.
constexpr Index work_of(Index a, Index b) {
    Index work = 0;
    return __builtin_mul_overflow(a, b, &work) ? std::numeric_limits<Index>::max() : work;
}

// One call of the core: long work releases the lock, and takes it back every 50 ms to check for
// signals; short work keeps it and is not polled.
class Polled {
  public:
    explicit Polled(Index work);  // estimated multiply-adds
    ~Polled();

    Pause& pause() { return pause_; }

    // Takes the lock back. If the work was stopped, throws the exception raised by the signal
    // handler.
    void finish();

  private:
    bool go_on();

    Pause pause_;
    std::optional<Unlocked> unlocked_;
};

// The number of chances so far to stop a call; tests count these instead of measuring time.
Index polls();

}  // namespace elman::python
