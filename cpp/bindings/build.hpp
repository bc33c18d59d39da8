// build.hpp - how this extension was compiled.
#pragma once

#include <map>
#include <string>

namespace elman::python {

// The compiler's flags of the core and of each instruction set.
std::map<std::string, std::string> build_flags();

// A digest of the sources: cmake/Sources.cmake.
const char* build_sources();

}  // namespace elman::python
