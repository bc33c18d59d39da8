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

// The sizes and the dtype, those of the network; copies, pickles and the repr, the last two by a
// module in Python.
template <class Any>
void bind_sizes_and_copies(py::class_<Any>& type, const char* module, const char* state_size) {
    const auto of_network = [&](const char* name, const char* doc) {
        const auto get = [name](const py::object& self) { return self.attr("network").attr(name); };
        type.def_property_readonly(name, get, doc);
    };
    of_network("input_size", "I, the number of features of an input.");
    of_network("output_size", "O, the number of outputs.");
    of_network("state_size", state_size);
    of_network("dtype", "float32 or float64.");
    const auto by_module = [&](const char* name, const char* function) {
        type.def(name, [=](const py::object& self) {
            return py::module_::import(module).attr(function)(self);
        });
    };
    type.def("__copy__", [](const py::object& self) { return self.attr("copy")(); });
    type.def("__deepcopy__",
             [](const py::object& self, const py::object&) { return self.attr("copy")(); });
    by_module("__reduce__", "reduce");
    by_module("__repr__", "describe");
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
