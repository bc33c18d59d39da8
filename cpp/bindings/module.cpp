// module.cpp - the table of contents of elman._core.
#include "elman/isa.hpp"
#include "errors.hpp"
#include "network.hpp"

namespace {

// CPython before 3.12 does not refuse by itself, and the binding's locks would never be released.
void require_main_interpreter() {
    if (PyInterpreterState_Get() != PyInterpreterState_Main())
        throw elman::python::py::import_error("elman cannot be imported in a sub-interpreter");
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    require_main_interpreter();
    m.doc() = "The C++ core of elman. Use it through the package: elman.Network, elman.Stream.";
    elman::python::bind_errors();
    elman::python::bind_isa(m);
    elman::python::bind_stream(m);
    elman::python::bind_network(m);
    elman::python::bind_measure(m);
}
