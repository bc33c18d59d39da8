// streams.hpp - what Stream and StreamPool share in Python.
#pragma once

#include <cmath>
#include <string>

#include "arrays.hpp"
#include "elman/busy.hpp"
#include "elman/stream.hpp"

namespace elman::python {

// For a class whose objects hold an elman.Network as `network`. An instance of a subclass of
// Network may hold its own stream: the garbage collector must see that.
template <class Any>
void let_collector_see_network(PyHeapTypeObject* heap_type) {
    PyTypeObject& type = heap_type->ht_type;
    type.tp_flags |= Py_TPFLAGS_HAVE_GC;
    type.tp_traverse = [](PyObject* self, visitproc visit, void* arg) {
        Py_VISIT(Py_TYPE(self));
        if (py::detail::is_holder_constructed(self))
            Py_VISIT(py::cast<Any&>(py::handle(self)).network.ptr());
        return 0;
    };
    type.tp_clear = [](PyObject* self) {
        if (py::detail::is_holder_constructed(self))
            py::cast<Any&>(py::handle(self)).network = py::none();
        return 0;
    };
}

// Takes a stream or a pool for one call; a concurrent call is refused.
class TakenObject {
  public:
    TakenObject(Busy& busy, const char* kind) : taken_(busy) {
        if (!taken_) throw BusyError(kind, std::string("use one ") + kind + " per thread");
    }

  private:
    Taken taken_;
};

Nonfinite nonfinite_from_name(py::handle given);

// The error for a number of an argument that is not finite for the first layer: `array` is the
// argument as the user gave it, `rounded` what the core found at `index`, `place` its words, and
// `maker` the method that takes a policy.
[[noreturn]] void raise_nonfinite(py::handle array, const char* argument, const py::object& index,
                                  float rounded, const std::string& place, const char* maker);
[[noreturn]] void raise_nonfinite(py::handle array, const char* argument, const py::object& index,
                                  double rounded, const std::string& place, const char* maker);

// Sets a TypeError and returns null.
PyObject* type_error(const char* message, PyObject* name = nullptr);

}  // namespace elman::python
