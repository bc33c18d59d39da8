#include "unlocked.hpp"

#include <chrono>
#include <thread>

namespace elman::python {
namespace {

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

}  // namespace elman::python
