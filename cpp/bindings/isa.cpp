#include "elman/isa.hpp"

#include <pybind11/stl.h>

#include "arrays.hpp"
#include "build.hpp"
#include "elman/numerics.hpp"
#include "network.hpp"

#if defined(__clang__)
#define ELMAN_COMPILER "Clang " __clang_version__
#else
#define ELMAN_COMPILER "GCC " __VERSION__
#endif

namespace elman::python {
namespace {

std::vector<std::string> names(const std::vector<Isa>& isas) {
    std::vector<std::string> list;
    list.reserve(isas.size());
    for (Isa isa : isas) list.emplace_back(name(isa));
    return list;
}

py::dict build_info() {
    using namespace py::literals;
    std::vector<std::string> promises{"D1", "D2", "D3", "D4", "D6"};
    if (fused(isa())) promises.insert(promises.begin() + 4, "D5");
    return py::dict("version"_a = ELMAN_VERSION, "numerics"_a = kNumerics, "isa"_a = name(isa()),
                    "built_isas"_a = names(built_isas()),
                    "available_isas"_a = names(available_isas()), "promises"_a = promises,
                    "compiler"_a = ELMAN_COMPILER, "flags"_a = build_flags(),
                    "sources"_a = build_sources(), "eigen"_a = ELMAN_EIGEN_VERSION,
                    "pybind11"_a = PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(
                        PYBIND11_VERSION_MINOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_MICRO));
}

}  // namespace

void bind_isa(py::module_& m) {
    isa();  // an invalid ELMAN_ISA is an error at import
    m.def("isa", [] { return name(isa()); }, "Return the name of the instruction set in use.");
    m.def(
        "available_isas", [] { return names(available_isas()); },
        "Return the instruction sets that this build and this processor support, the best last.");
    m.def(
        "set_isa",
        [](const py::object& name) {
            const py::object text = py::module_::import("elman._arguments").attr("name");
            const bool is_text = PyUnicode_Check(name.ptr());
            set_isa(is_text ? py::cast<std::string>(text("name", name)) : shown(name));
        },
        py::arg("name"), py::pos_only(), "Set the instruction set for networks built from now on.");
    m.def("build_info", &build_info,
          "Return the versions, flags and sources of this build, and the promises of the set in "
          "use.");
}

}  // namespace elman::python
