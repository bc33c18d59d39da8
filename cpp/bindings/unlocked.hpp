// unlocked.hpp - the interpreter's lock, given up for as long as this object lives.
#pragma once

#include <pybind11/pybind11.h>

namespace elman::python {

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

}  // namespace elman::python
