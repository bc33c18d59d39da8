#include "unlocked.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace elman::python {
namespace {

std::atomic<Index> all_polls{0};

// Blocks a thread whose stack is unwound past here.
class StayHere {
  public:
    ~StayHere() {
        while (unwinding_) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    void leave() { unwinding_ = false; }

  private:
    bool unwinding_ = true;
};

}  // namespace

// Before CPython 3.14, a daemon thread that takes the lock while the interpreter shuts down is
// ended by unwinding its stack: a crash in C++. It blocks here instead, as in later versions.
void Unlocked::take_back(PyThreadState* thread) {
    StayHere stay;
    PyEval_RestoreThread(thread);
    stay.leave();
}

Polled::Polled(Index work)
    : pause_(work < kShortWork ? std::function<bool()>() : [this] { return go_on(); }) {
    if (work >= kShortWork) unlocked_.emplace();
}

Polled::~Polled() {
    all_polls += pause_.looks();
}

// An exception raised by a handler stays set while the lock is released: it belongs to this thread.
bool Polled::go_on() {
    unlocked_.reset();
    const bool go_on = PyErr_CheckSignals() == 0;
    unlocked_.emplace();
    return go_on;
}

void Polled::finish() {
    unlocked_.reset();
    if (pause_.stopped()) throw pybind11::error_already_set();
}

Index polls() {
    return all_polls;
}

}  // namespace elman::python
