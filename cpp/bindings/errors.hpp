// errors.hpp - the C++ counterparts of the exceptions in python/elman/errors.py.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

namespace elman::python {

namespace py = pybind11;

// Translated to the exception of this name in elman.errors.
struct Error : std::runtime_error {
    Error(const char* python_name, const std::string& message)
        : std::runtime_error(message), type(python_name) {}
    const char* type;
};

struct ShapeError : Error {
    explicit ShapeError(const std::string& message) : Error("ShapeError", message) {}
};
struct DTypeError : Error {
    explicit DTypeError(const std::string& message) : Error("DTypeError", message) {}
};
struct ArgumentError : Error {
    explicit ArgumentError(const std::string& message) : Error("ArgumentError", message) {}
};
struct LimitError : Error {
    explicit LimitError(const std::string& message) : Error("LimitError", message) {}
};
struct BusyError : Error {
    BusyError(const std::string& what, const std::string& remedy)
        : Error("BusyError", "the " + what + " is in use by another thread; " + remedy) {}
};

// Sets the Python error for the C++ exception in flight, for functions that Python calls directly.
void set_python_error() noexcept;

void bind_errors();

}  // namespace elman::python
