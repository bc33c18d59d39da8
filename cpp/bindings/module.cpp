// module.cpp - the table of contents of elman._core.
#include "elman/isa.hpp"
#include "errors.hpp"
#include "network.hpp"

PYBIND11_MODULE(_core, m) {
    m.doc() = "The C++ core of elman. Use it through the package: elman.Network, elman.Stream.";
    elman::python::bind_errors();
    elman::python::bind_isa(m);
    elman::python::bind_stream(m);
    elman::python::bind_network(m);
    elman::python::bind_measure(m);
}
