#include "errors.hpp"

#include <utility>

#include "elman/isa.hpp"

namespace elman::python {
namespace {

void raise(const char* type, const char* message) {
    py::set_error(py::module_::import("elman.errors").attr(type), message);
}

// The core throws invalid_argument for sizes and names it cannot accept, length_error for sizes
// beyond the address space.
void translate(std::exception_ptr in_flight) {
    try {
        if (in_flight) std::rethrow_exception(std::move(in_flight));
    } catch (const Error& error) {
        raise(error.type, error.what());
    } catch (const IsaError& error) {
        raise("IsaError", error.what());
    } catch (const std::length_error& error) {
        raise("LimitError", error.what());
    } catch (const std::invalid_argument& error) {
        raise("ArgumentError", error.what());
    }
}

}  // namespace

void set_python_error() noexcept {
    try {
        try {
            translate(std::current_exception());
        } catch (py::error_already_set& error) {
            error.restore();
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
        } catch (const std::exception& error) {
            PyErr_SetString(PyExc_RuntimeError, error.what());
        }
    } catch (...) {
        PyErr_SetString(PyExc_SystemError, "elman: an error while reporting an error");
    }
}

void bind_errors() {
    py::register_local_exception_translator(&translate);
}

}  // namespace elman::python
