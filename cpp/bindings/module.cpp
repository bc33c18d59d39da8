// module.cpp - the module elman._core.
#include "elman/isa.hpp"
#include "errors.hpp"
#include "network.hpp"

PYBIND11_MODULE(elman_core, m) {
    m.doc() = "The C++ core of elman. Use it through the package: elman.Network, elman.Stream.";
    elman::python::bind_errors();
    elman::python::bind_isa(m);
    elman::python::bind_stream(m);
    elman::python::bind_pool(m);
    elman::python::bind_network(m);
    elman::python::bind_call(m);
    elman::python::bind_examples(m);
    elman::python::bind_gradients(m);
    elman::python::bind_trainer(m);
    elman::python::bind_measure(m);
}

// The entry point for Python. The check comes before pybind11, which before CPython 3.12 hangs in a
// sub-interpreter.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core();
PyObject* PyInit__core() {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return PyInit_elman_core();
    PyErr_SetString(PyExc_ImportError, "elman cannot be imported in a sub-interpreter");
    return nullptr;
}
