// machine.cpp - what this machine can do: streaming loads, multiply-adds, an empty call.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <chrono>
#include <cstdint>

#include "peak.hpp"

namespace {

typedef std::uint64_t Vector __attribute__((vector_size(peak::kBytes), aligned(16)));

// Read a buffer from front to back, `passes` times. Eight independent accumulators, one cycle each,
// make the loads the only limit.
PyObject* load(PyObject*, PyObject* args) {
    Py_buffer buffer;
    long passes;
    if (!PyArg_ParseTuple(args, "y*l", &buffer, &passes)) return nullptr;
    constexpr int chains = 8;
    const Py_ssize_t count = buffer.len / peak::kBytes;
    const auto* data = static_cast<const Vector*>(buffer.buf);
    Vector sums[chains] = {};
    for (long pass = 0; pass < passes; ++pass) {
        Py_ssize_t i = 0;
        for (; i + chains <= count; i += chains)
#pragma GCC unroll 8
            for (int c = 0; c < chains; ++c) sums[c] ^= data[i + c];
        for (; i < count; ++i) sums[0] ^= data[i];
        asm volatile("" ::: "memory");  // the next pass reads everything again
    }
    for (int c = 1; c < chains; ++c) sums[0] ^= sums[c];
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLongLong(sums[0][0]);
}

template <double (*multiply_add)(long)>
PyObject* operations(PyObject*, PyObject* count) {
    const long rounds = PyLong_AsLong(count);
    if (PyErr_Occurred()) return nullptr;
    return PyFloat_FromDouble(static_cast<double>(rounds) * multiply_add(rounds));
}

// At each moment of an absolute schedule do nothing for a while: the tail of the machine itself.
// Store as int64 the nanoseconds until the end, from when it began and from when it was due.
PyObject* wait(PyObject*, PyObject* args) {
    using Clock = std::chrono::steady_clock;
    Py_buffer service, latency;
    long long period, busy;
    if (!PyArg_ParseTuple(args, "w*w*LL", &service, &latency, &period, &busy)) return nullptr;
    auto* from_begin = static_cast<std::int64_t*>(service.buf);
    auto* from_due = static_cast<std::int64_t*>(latency.buf);
    const auto nanoseconds = [] {
        return std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
    };
    std::int64_t due = nanoseconds();
    for (Py_ssize_t i = 0; i < service.len / 8; ++i) {
        due += period;
        std::int64_t begin, end;
        while ((begin = nanoseconds()) < due) {
        }
        while ((end = nanoseconds()) < begin + busy) {
        }
        from_begin[i] = end - begin;
        from_due[i] = end - due;
    }
    PyBuffer_Release(&service);
    PyBuffer_Release(&latency);
    Py_RETURN_NONE;
}

PyObject* empty_step(PyObject*, PyObject* const*, Py_ssize_t, PyObject*) {
    Py_RETURN_NONE;
}

PyMethodDef empty_methods[] = {
    {"step", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&empty_step)),
     METH_FASTCALL | METH_KEYWORDS, "Do nothing, with the arguments of Stream.step."},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot empty_slots[] = {{Py_tp_methods, empty_methods}, {0, nullptr}};
PyType_Spec empty_type = {"machine.Empty", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, empty_slots};

PyMethodDef functions[] = {
    {"load", load, METH_VARARGS, "load(buffer, passes): read a buffer from front to back."},
    {"wait", wait, METH_VARARGS, "wait(service, latency, period_ns, busy_ns): fill int64 arrays."},
    {"fused_float32", operations<peak::fused_float32>, METH_O,
     "Return the operations of n rounds."},
    {"fused_float64", operations<peak::fused_float64>, METH_O,
     "Return the operations of n rounds."},
    {"avx2_float32", operations<peak::avx2_float32>, METH_O, "Return the operations of n rounds."},
    {"sse2_float32", operations<peak::sse2_float32>, METH_O, "Return the operations of n rounds."},
    {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "machine", nullptr, -1, functions};

}  // namespace

PyMODINIT_FUNC PyInit_machine() {
    PyObject* module = PyModule_Create(&definition);
    PyObject* type = module ? PyType_FromSpec(&empty_type) : nullptr;
    if (!type || PyModule_AddObject(module, "Empty", type) < 0) return nullptr;
    return module;
}
