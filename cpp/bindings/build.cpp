// build.cpp - compiled separately, since sources.hpp changes with every source.
#include "build.hpp"

#include "sources.hpp"  // written by cmake/Sources.cmake

namespace elman::python {

std::map<std::string, std::string> build_flags() {
    return {ELMAN_FLAGS};
}

const char* build_sources() {
    return ELMAN_SOURCES;
}

}  // namespace elman::python
