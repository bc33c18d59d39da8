// call.cpp - the fast path of net(x). elman.Network.__call__ is a Python function wrapped in a
// FastCall: a callable written in C, which computes short calls itself and passes all others on to
// the function.
#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "elman/sequence.hpp"
#include "network.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

// The rows of an array without gaps.
template <class Real>
Rows<Real> rows_of(PyObject* array, Index size) {
    return {reinterpret_cast<Real*>(py::detail::array_proxy(array)->data), size, 1};
}

template <class Real>
SequenceTask<Real> task_of(Index sequences, Index steps, Rows<const Real> x, Rows<Real> y) {
    SequenceTask<Real> task;
    task.sequences = sequences;
    task.steps = steps;
    task.x = {x.data, {sequences}, {steps * x.step_stride}, x.step_stride, x.stride};
    task.output = {y.data, {sequences}, {steps * y.step_stride}, y.step_stride, y.stride};
    return task;
}

// Arrays with more axes (NumPy allows 64) are left to the function.
constexpr int kMostAxes = 8;

// net(x) for a contiguous array that can be read in place, and short work; null without an error in
// any other case. The interpreter's lock is held throughout, so no other thread can resize x.
template <class Real>
py::object short_call(const Network<Real>& network, PyObject* x) {
#ifdef Py_GIL_DISABLED
    const Pinned pinned(x);
#endif
    if (!can_use<Real>(NumpyTypes::get(), x, kReadable)) return {};
    const auto* array = py::detail::array_proxy(x);
    const int axes = array->nd;
    if (axes < 2 || axes > kMostAxes || array->dimensions[axes - 1] != network.input_size() ||
        !(array->flags & py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_))
        return {};
    const Index steps = array->dimensions[axes - 2];
    Index sequences = 1;
    for (int axis = 0; axis < axes - 2; ++axis)
        sequences = work_of(sequences, array->dimensions[axis]);
    const Index work = work_of(work_of(sequences, steps), step_work(network));
    if (work == 0 || work >= kShortWork) return {};

    Index shape[kMostAxes];
    std::copy_n(array->dimensions, axes - 1, shape);
    shape[axes - 1] = network.output_size();
    py::array y = new_array<Real>(shape, axes);
    const Rows<const Real> from = rows_of<const Real>(x, network.input_size());
    const Rows<Real> to = rows_of<Real>(y.ptr(), network.output_size());
    Pause pause;
    if (sequences == 1 && network.architecture().runs_forward())
        run_sequence(network, from, to, steps, pause);
    else
        run_sequences(network, task_of(sequences, steps, from, to), 1, pause);
    return std::move(y);
}

PyTypeObject* core_type = nullptr;  // elman._core.Network
PyObject* core_name = nullptr;      // "_core", interned

// The same for a Python Network; null with an error if the call failed.
PyObject* short_call_or_error(PyObject* net, PyObject* x) noexcept {
    try {
        const auto core =
            py::reinterpret_steal<py::object>(PyObject_GenericGetAttr(net, core_name));
        if (!core) PyErr_Clear();
        if (!core || Py_TYPE(core.ptr()) != core_type) return nullptr;
        const auto* any = held_by<AnyNetwork>(core.ptr());
        return any->visit([&](const auto& n) { return short_call(n, x); }).release().ptr();
    } catch (...) {
        set_python_error();
        return nullptr;
    }
}

// --- the type ---

struct FastCall {
    PyObject_HEAD PyObject* function;
    PyObject* attributes;  // __dict__: those of the function
    PyObject* weak_references;
    vectorcallfunc call;
};

FastCall* fast_call_of(PyObject* self) {
    return reinterpret_cast<FastCall*>(self);
}

PyObject* call_fast_call(PyObject* self, PyObject* const* args, std::size_t count,
                         PyObject* keywords) noexcept {
    if (PyVectorcall_NARGS(count) == 2 && !keywords) {
        PyObject* y = short_call_or_error(args[0], args[1]);
        if (y || PyErr_Occurred()) return y;
    }
    return PyObject_Vectorcall(fast_call_of(self)->function, args, count, keywords);
}

PyObject* bind_fast_call(PyObject* self, PyObject* net, PyObject*) {
    if (net && net != Py_None) return PyMethod_New(self, net);
    Py_INCREF(self);
    return self;
}

int traverse_fast_call(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(fast_call_of(self)->function);
    Py_VISIT(fast_call_of(self)->attributes);
    return 0;
}

int clear_fast_call(PyObject* self) {
    Py_CLEAR(fast_call_of(self)->attributes);
    Py_INCREF(Py_None);  // not null: a finalizer may still call this object
    Py_XDECREF(std::exchange(fast_call_of(self)->function, Py_None));
    return 0;
}

void delete_fast_call(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (fast_call_of(self)->weak_references) PyObject_ClearWeakRefs(self);
    Py_CLEAR(fast_call_of(self)->attributes);
    Py_CLEAR(fast_call_of(self)->function);
    type->tp_free(self);
    Py_DECREF(type);
}

// Pickled by name, like a function.
PyObject* reduce_fast_call(PyObject* self, PyObject*) {
    return PyObject_GetAttrString(self, "__qualname__");
}

template <class Function>
void* slot(Function* function) {
    return reinterpret_cast<void*>(function);
}

PyTypeObject* fast_call_type() {
    static PyMemberDef members[] = {
        {"__dictoffset__", T_PYSSIZET, offsetof(FastCall, attributes), READONLY, nullptr},
        {"__weaklistoffset__", T_PYSSIZET, offsetof(FastCall, weak_references), READONLY, nullptr},
        {"__vectorcalloffset__", T_PYSSIZET, offsetof(FastCall, call), READONLY, nullptr},
        {}};
    static PyMethodDef methods[] = {{"__reduce__", &reduce_fast_call, METH_NOARGS, nullptr}, {}};
    static PyGetSetDef properties[] = {
        {"__dict__", &PyObject_GenericGetDict, &PyObject_GenericSetDict, nullptr, nullptr}, {}};
    PyType_Slot slots[] = {{Py_tp_call, slot(&PyVectorcall_Call)},
                           {Py_tp_descr_get, slot(&bind_fast_call)},
                           {Py_tp_traverse, slot(&traverse_fast_call)},
                           {Py_tp_clear, slot(&clear_fast_call)},
                           {Py_tp_dealloc, slot(&delete_fast_call)},
                           {Py_tp_members, members},
                           {Py_tp_methods, methods},
                           {Py_tp_getset, properties},
                           {0, nullptr}};
    PyType_Spec spec{"elman._core.FastCall", sizeof(FastCall), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                         Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                     slots};
    PyObject* type = PyType_FromSpec(&spec);
    if (!type) throw py::error_already_set();
    return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace

void bind_call(py::module_& m) {
    core_type = reinterpret_cast<PyTypeObject*>(py::type::of<AnyNetwork>().ptr());
    core_name = PyUnicode_InternFromString("_core");
    static PyTypeObject* type = fast_call_type();
    m.def(
        "fast_call",
        [](const py::function& function) {
            PyObject* made = type->tp_alloc(type, 0);
            if (!made) throw py::error_already_set();
            fast_call_of(made)->function = function.inc_ref().ptr();
            fast_call_of(made)->call = &call_fast_call;
            return py::module_::import("functools")
                .attr("update_wrapper")(py::reinterpret_steal<py::object>(made), function);
        },
        py::arg("function"),
        "Decorate Network.__call__ with a fast path: short calls on an array do not enter Python.");
}

}  // namespace elman::python
