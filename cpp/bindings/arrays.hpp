// arrays.hpp - conversion between Python objects and C++ views.
//
// Inputs: real numbers of any width, integers, booleans and anything NumPy converts to an array,
// rounded once to the network's dtype; an array that fits is used in place, whatever its strides.
// Outputs: exactly the expected dtype and shape, or an error. Nothing is converted twice.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <string>
#include <vector>

#include "elman/views.hpp"
#include "errors.hpp"

namespace elman::python {

using Shape = std::vector<Index>;
using Indices = py::array_t<long long, py::array::c_style | py::array::forcecast>;

constexpr const char* real_name(float) {
    return "float32";
}
constexpr const char* real_name(double) {
    return "float64";
}

// NumPy's types, fetched at first use: importing this module does not import NumPy.
struct NumpyTypes {
    PyTypeObject* ndarray;
    PyObject* float32;  // native dtypes; unpickled dtypes are equal but not identical
    PyObject* float64;
    decltype(py::detail::npy_api::PyArray_NewFromDescr_) new_from_descr;

    static const NumpyTypes& get() {
        const NumpyTypes* types = types_.load(std::memory_order_acquire);
        return types ? *types : fetch();
    }

    template <class Real>
    PyObject* dtype() const {
        return sizeof(Real) == 4 ? float32 : float64;
    }

    // Whether a dtype is native Real.
    template <class Real>
    bool is(PyObject* descriptor) const {
        return descriptor == dtype<Real>() || is_equal(descriptor, dtype<Real>());
    }

  private:
    static const NumpyTypes& fetch();
    static bool is_equal(PyObject* descriptor, PyObject* native);
    // Not a static local: a second thread would wait for the initialization while holding the
    // interpreter's lock, which the first thread needs.
    inline static std::atomic<const NumpyTypes*> types_{nullptr};
};

constexpr int kReadable = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
constexpr int kWritable = kReadable | py::detail::npy_api::NPY_ARRAY_WRITEABLE_;

// Whether an object is exactly an ndarray of native Real with these flags of NumPy.
template <class Real>
inline bool can_use(const NumpyTypes& numpy, PyObject* object, int flags) {
    if (Py_TYPE(object) != numpy.ndarray) return false;
    const auto* array = py::detail::array_proxy(object);
    return (array->flags & flags) == flags && numpy.is<Real>(array->descr);
}

// --- one row, used in place ---

template <class Real>
struct Row {
    Real* data;
    Index stride;
};

// An array (size,) of native, aligned Real as a row.
template <class Real>
inline Row<Real> row_of(PyObject* object) {
    const auto* array = py::detail::array_proxy(object);
    return {reinterpret_cast<Real*>(array->data),
            array->strides[0] / static_cast<Index>(sizeof(Real))};
}

// An array (size,) that can be used in place.
template <class Real>
inline bool is_row(const NumpyTypes& numpy, PyObject* object, Index size, int flags) {
    const auto* array = py::detail::array_proxy(object);
    return can_use<Real>(numpy, object, flags) && array->nd == 1 && array->dimensions[0] == size;
}

// --- arrays ---

// Throws ShapeError for any other shape.
void check_shape(const py::array& array, const char* argument, const Shape& shape);

template <class Real>
py::array new_array(const Shape& shape);  // LimitError if it exceeds the address space
template <class Real>                     // without this check
py::array new_array(const Index* shape, int axes);

template <class Real>  // polled
py::array copy_array(const Shape& shape, const Real* values);

// Copies an array (rows, n) or (n,) with any strides, row by row; polled.
template <class Real>
void copy_into(const py::array& array, Real* to);

// A view of memory that `owner` keeps alive.
template <class Real>
py::array read_only_array(const Shape& shape, const Real* values, py::handle owner);

// Converts any object to an array of aligned, native Real; `argument` names it in errors.
template <class Real>
py::array as_real(py::handle object, const char* argument);
template <class Real>  // of exactly this shape
py::array as_real(py::handle object, const char* argument, const Shape& shape);

// An object of the user in a message: short, in one line.
std::string shown(py::handle object);

// Converts any object to an array of any dtype; masked elements and ragged lists are refused.
py::array any_array(py::handle object, const char* argument);

// A contiguous copy of exactly this shape, or with `broadcast`, broadcast to it.
template <class Real>
std::vector<Real> copy_reals(py::handle object, const char* argument, const Shape& shape,
                             bool broadcast = false);

// Copies an array of integers in row-major order.
std::vector<Index> copy_integers(const py::array& array);

// Integers of exactly this shape, each 0 ... largest.
std::vector<Index> copy_lengths(py::handle object, const Shape& shape, Index largest);

// Non-decreasing integers (B + 1,), each 0 ... rows: the boundaries of the sequences.
std::vector<Index> copy_offsets(py::handle object, Index rows);

// Booleans, or integers 0 and 1, that broadcast to this shape.
std::vector<unsigned char> copy_mask(py::handle object, const Shape& shape);

// Returns `out` if it is a writable array of this dtype and shape.
template <class Real>
py::array check_out(py::handle out, const Shape& shape);

// Refuses an `out` that shares memory with an input.
void check_overlap(const py::array& out, const py::array& in, const char* argument);

Shape shape_of(const py::array& array);
std::string text(const Shape& shape);                          // "(10, 4, 7)"
std::string text(const char* leading, const Shape& trailing);  // "(..., 4, 7)"
Shape concatenate(Shape shape, std::initializer_list<Index> more);
Index product(const Shape& shape);  // LimitError beyond the address space

// A view of an array (..., T, I) or, without time, (..., I).
template <class Real>
SequencesView<const Real> view_of(const py::array& array, bool has_time = true);
template <class Real>
SequencesView<Real> writable_view_of(py::array& array, bool has_time = true);

// While it lives, NumPy refuses to resize the array and the arrays it is a view of.
class Pinned {
  public:
    explicit Pinned(py::handle array);

  private:
    std::vector<py::object> references_;
};

}  // namespace elman::python
