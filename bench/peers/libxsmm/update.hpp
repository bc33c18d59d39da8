// The training update, for the module of cell.cpp.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

void add_update(pybind11::module_& m);
