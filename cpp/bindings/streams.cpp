#include "streams.hpp"

namespace elman::python {
namespace {

// The number at an index of an array-like, as the user gave it, or `rounded` if it cannot be read
// again.
py::object given_number(py::handle array, const char* argument, const py::object& index,
                        double rounded) {
    try {
        return any_array(array, argument)[index].attr("item")();
    } catch (const py::error_already_set&) {
        return py::float_(rounded);
    }
}

template <class Real>
[[noreturn]] void raise_given(py::handle array, const char* argument, const py::object& index,
                              Real rounded, const std::string& place, const char* maker) {
    const py::object value = given_number(array, argument, index, static_cast<double>(rounded));
    const bool finite = std::isfinite(py::cast<double>(value));
    std::string expected = "finite numbers";
    if (finite) expected += std::string(" in ") + real_name(Real());
    if (finite && std::isfinite(rounded)) expected += " after input scaling";
    throw ArgumentError(std::string(argument) + ": expected " + expected + ", got " +
                        std::string(py::str(value)) + " at " + place + "; " + maker +
                        "(nonfinite=\"hold\") skips such a sample");
}

}  // namespace

Nonfinite nonfinite_from_name(py::handle given) {
    for (const Nonfinite one : {Nonfinite::raise, Nonfinite::hold, Nonfinite::propagate})
        if (PyUnicode_Check(given.ptr()) &&
            PyUnicode_CompareWithASCIIString(given.ptr(), name(one)) == 0)
            return one;
    throw ArgumentError("nonfinite: expected 'raise', 'hold' or 'propagate', got " + shown(given));
}

void raise_nonfinite(py::handle array, const char* argument, const py::object& index, float rounded,
                     const std::string& place, const char* maker) {
    raise_given(array, argument, index, rounded, place, maker);
}

void raise_nonfinite(py::handle array, const char* argument, const py::object& index,
                     double rounded, const std::string& place, const char* maker) {
    raise_given(array, argument, index, rounded, place, maker);
}

PyObject* type_error(const char* message, PyObject* name) {
    name ? PyErr_Format(PyExc_TypeError, message, name) : PyErr_Format(PyExc_TypeError, message);
    return nullptr;
}

}  // namespace elman::python
