// precompiled.hpp - what every binding includes, parsed once: pybind11 takes seconds of each file.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>
