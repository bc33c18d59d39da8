#include "unlocked.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace elman::python {
namespace {

std::atomic<Index> all_polls{0};

// Stops a thread for good when its stack is unwound past here.
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

// A daemon thread that asks for the lock while the interpreter shuts down is ended by CPython
// before 3.14, which unwinds its stack: a crash in C++. It stays here instead, as later versions
// have it.
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

// What a handler raises stays set while the lock is given up: it belongs to this thread.
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
