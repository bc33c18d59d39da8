#include "arrays.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "unlocked.hpp"

namespace elman::python {
namespace {

using py::detail::npy_api;

std::string dtype_name(const py::array& array) {
    return py::str(array.dtype());
}

py::object numpy(const char* name) {
    return py::module_::import("numpy").attr(name);
}

py::tuple tuple_of(const Shape& shape) {
    py::tuple tuple(shape.size());
    for (std::size_t axis = 0; axis < shape.size(); ++axis) tuple[axis] = py::int_(shape[axis]);
    return tuple;
}

// A masked array would silently lose its mask.
void refuse_masked(py::handle object, const char* argument) {
    const py::dict modules = py::module_::import("sys").attr("modules");
    if (!modules.contains("numpy.ma")) return;
    const py::object ma = modules["numpy.ma"];
    const py::object type = py::getattr(ma, "MaskedArray", py::none());
    if (type.is_none() || !py::isinstance(object, type)) return;  // none: another thread imports it
    if (!object.attr("dtype").attr("names").is_none()) return;  // no numbers, which is refused next
    const auto masked = py::cast<long long>(ma.attr("count_masked")(object));
    if (masked > 0)
        throw DTypeError(std::string(argument) +
                         ": expected an array without masked elements, got " +
                         std::to_string(masked) + " masked; call .filled(value) first");
}

// Booleans, integers, real numbers; NumPy has no kind for the small floats of other packages.
bool is_real(const py::array& array) {
    const char kind = array.dtype().kind();
    if (std::string("biuf").find(kind) != std::string::npos) return true;
    const std::string name = dtype_name(array);
    return array.dtype().num() >= 256 && (name == "bfloat16" || name.rfind("float8", 0) == 0);
}

// A copy of a contiguous array; polled.
template <class Number>
std::vector<Number> copy_of(const py::array& contiguous) {
    const Pinned pinned(contiguous);
    const auto* from = static_cast<const Number*>(contiguous.data());
    const Index count = contiguous.size();
    Polled polled(work_of(count, kNumberWork));
    std::vector<Number> numbers;
    numbers.reserve(static_cast<std::size_t>(count));
    in_pieces(count, kNumberWork, polled.pause(), [&](Index first, Index last) {
        numbers.insert(numbers.end(), from + first, from + last);
    });
    polled.finish();
    return numbers;
}

// An axis of stride 0 repeats one row: only that row is converted.
py::array convert(const py::array& array, const py::dtype& dtype) {
    const Shape shape = shape_of(array);
    product(shape);
    py::tuple once(shape.size());
    bool repeats = false;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        const bool repeated = shape[axis] > 1 && array.strides(static_cast<int>(axis)) == 0;
        once[axis] = repeated ? py::slice(0, 1, 1) : py::slice(py::none(), py::none(), py::none());
        repeats = repeats || repeated;
    }
    const py::array source = repeats ? py::array(array[once]) : array;
    PyObject* converted = npy_api::get().PyArray_FromAny_(source.ptr(), dtype.inc_ref().ptr(), 0, 0,
                                                          npy_api::NPY_ARRAY_FORCECAST_ |
                                                              npy_api::NPY_ARRAY_ALIGNED_ |
                                                              npy_api::NPY_ARRAY_ENSUREARRAY_,
                                                          nullptr);
    if (!converted) throw py::error_already_set();
    py::object result = py::reinterpret_steal<py::object>(converted);
    return repeats ? py::array(numpy("broadcast_to")(result, tuple_of(shape))) : py::array(result);
}

}  // namespace

std::string shown(py::handle object) {
    return py::str(py::module_::import("elman._container").attr("show")(object));
}

py::array any_array(py::handle object, const char* argument) {
    refuse_masked(object, argument);
    try {
        return numpy("asarray")(object);
    } catch (py::error_already_set& error) {
        // PyTorch's bfloat16, which NumPy does not have, widens without rounding.
        if (error.matches(PyExc_TypeError) && py::hasattr(object, "bfloat16"))
            return numpy("asarray")(object.attr("float")());
        const bool rows = PyList_Check(object.ptr()) || PyTuple_Check(object.ptr());
        if (!rows || !error.matches(PyExc_ValueError)) throw;
        py::raise_from(error, py::module_::import("elman.errors").attr("ShapeError").ptr(),
                       (std::string(argument) + ": expected a regular array of numbers, got rows "
                                                "of different lengths")
                           .c_str());
        throw py::error_already_set();
    }
}

const NumpyTypes& NumpyTypes::fetch() {
    const npy_api& api = npy_api::get();
    const NumpyTypes* types =
        new NumpyTypes{reinterpret_cast<PyTypeObject*>(api.PyArray_Type_),
                       api.PyArray_DescrFromType_(npy_api::NPY_FLOAT_),
                       api.PyArray_DescrFromType_(npy_api::NPY_DOUBLE_), api.PyArray_NewFromDescr_};
    types_ = types;
    return *types;
}

bool NumpyTypes::is_equal(PyObject* descriptor, PyObject* native) {
    const auto* own = py::detail::array_descriptor_proxy(native);
    const auto* other = py::detail::array_descriptor_proxy(descriptor);
    const char foreign = PY_LITTLE_ENDIAN ? '>' : '<';
    return other->type_num == own->type_num && other->byteorder != foreign;
}

void check_shape(const py::array& array, const char* argument, const Shape& shape) {
    if (shape_of(array) != shape)
        throw ShapeError(std::string(argument) + ": expected " + text(shape) + ", got " +
                         text(shape_of(array)));
}

Shape shape_of(const py::array& array) {
    return Shape(array.shape(), array.shape() + array.ndim());
}

std::string text(const Shape& shape) {
    std::string list;
    for (Index size : shape) list += (list.empty() ? "" : ", ") + std::to_string(size);
    return "(" + list + (shape.size() == 1 ? ",)" : ")");
}

std::string text(const char* leading, const Shape& trailing) {
    std::string list = leading;
    for (Index size : trailing) list += ", " + std::to_string(size);
    return "(" + list + ")";
}

Shape concatenate(Shape shape, std::initializer_list<Index> more) {
    shape.insert(shape.end(), more);
    return shape;
}

Index product(const Shape& shape) {
    Index product = 1;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
    for (Index size : shape) {
        if (size > std::numeric_limits<Index>::max() / 16 / product)
            throw LimitError("an array of shape " + text(shape) +
                             " is larger than memory can address");
        product *= size;
    }
    return product;
}

// Takes a third of the time of py::array_t's constructor.
template <class Real>
py::array new_array(const Index* shape, int axes) {
    const NumpyTypes& numpy = NumpyTypes::get();
    Py_INCREF(numpy.dtype<Real>());
    PyObject* array = numpy.new_from_descr(numpy.ndarray, numpy.dtype<Real>(), axes, shape, nullptr,
                                           nullptr, 0, nullptr);
    if (!array) throw py::error_already_set();
    return py::reinterpret_steal<py::array>(array);
}

template <class Real>
py::array new_array(const Shape& shape) {
    product(shape);
    return new_array<Real>(shape.data(), static_cast<int>(shape.size()));
}

template <class Real>
py::array copy_array(const Shape& shape, const Real* values) {
    py::array array = new_array<Real>(shape);
    Real* to = static_cast<Real*>(array.mutable_data());
    const Index count = product(shape);
    Polled polled(work_of(count, kNumberWork));
    in_pieces(count, kNumberWork, polled.pause(), [&](Index first, Index last) {
        std::copy(values + first, values + last, to + first);
    });
    polled.finish();
    return array;
}

template <class Real>
void copy_into(const py::array& array, Real* to) {
    const Pinned pinned(array);
    const bool matrix = array.ndim() == 2;
    const Rows<const Real> rows = view_of<Real>(array, matrix).sequence(0);
    const Index count = matrix ? array.shape(0) : 1, size = count > 0 ? array.size() / count : 0;
    Polled polled(work_of(array.size(), kNumberWork));
    for (Index r = 0; r < count; ++r, to += size)
        in_pieces(size, kNumberWork, polled.pause(), [&](Index first, Index last) {
            const Real* row = rows.row(r);
            if (rows.stride == 1)
                std::copy(row + first, row + last, to + first);
            else
                for (Index k = first; k < last; ++k) to[k] = row[k * rows.stride];
        });
    polled.finish();
}

template <class Real>
py::array read_only_array(const Shape& shape, const Real* values, py::handle owner) {
    py::array view = py::array_t<Real>(shape, values, owner);
    py::detail::array_proxy(view.ptr())->flags &= ~npy_api::NPY_ARRAY_WRITEABLE_;
    return view;
}

template <class Real>
py::array as_real(py::handle object, const char* argument) {
    if (can_use<Real>(NumpyTypes::get(), object.ptr(), kReadable))
        return py::reinterpret_borrow<py::array>(object);
    const py::array array = any_array(object, argument);
    if (!is_real(array))
        throw DTypeError(std::string(argument) + ": expected real numbers, got dtype " +
                         dtype_name(array));
    return convert(array, py::dtype::of<Real>());
}

template <class Real>
py::array as_real(py::handle object, const char* argument, const Shape& shape) {
    py::array array = as_real<Real>(object, argument);
    check_shape(array, argument, shape);
    return array;
}

template <class Real>
std::vector<Real> copy_reals(py::handle object, const char* argument, const Shape& shape,
                             bool broadcast) {
    py::array array = as_real<Real>(object, argument);
    if (broadcast && array.ndim() > 0 && shape_of(array) != shape) {
        product(shape);
        try {
            if (array.shape(array.ndim() - 1) == shape.back())
                array = numpy("broadcast_to")(array, tuple_of(shape));
        } catch (py::error_already_set& error) {
            if (!error.matches(PyExc_ValueError)) throw;
        }
    }
    check_shape(array, argument, shape);
    return copy_of<Real>(numpy("ascontiguousarray")(array));
}

std::vector<Index> copy_integers(const py::array& array) {
    const bool fits = py::isinstance<py::array_t<Index, py::array::c_style>>(array) &&
                      array.flags() & npy_api::NPY_ARRAY_ALIGNED_;
    if (fits) return copy_of<Index>(array);  // through NumPy this takes 0.5 us per update
    return copy_of<Index>(numpy("ascontiguousarray")(convert(array, py::dtype::of<Index>())));
}

std::vector<Index> copy_lengths(py::handle object, const Shape& shape, Index largest) {
    const py::array array = any_array(object, "lengths");
    const char kind = array.dtype().kind();
    if (kind != 'i' && kind != 'u' && array.size() > 0)
        throw DTypeError("lengths: expected integers, got dtype " + dtype_name(array));
    if (shape_of(array) != shape)
        throw ShapeError("lengths: expected one per sequence, " + text(shape) + ", got " +
                         text(shape_of(array)));
    std::vector<Index> lengths = copy_integers(array);
    // Unsigned values beyond 63 bits have become negative.
    const auto wrong =
        std::find_if(lengths.begin(), lengths.end(), [&](Index n) { return n < 0 || n > largest; });
    if (wrong != lengths.end())
        throw ArgumentError("lengths: expected 0 to T = " + std::to_string(largest) + ", got " +
                            (kind == 'u' ? std::to_string(static_cast<std::uint64_t>(*wrong))
                                         : std::to_string(*wrong)));
    return lengths;
}

std::vector<Index> copy_offsets(py::handle object, Index rows) {
    const py::array array = any_array(object, "offsets");
    if (array.ndim() != 1 || array.size() == 0)
        throw ShapeError(
            "offsets: expected the start of each sequence and the end of the last, "
            "(sequences + 1,), got " +
            text(shape_of(array)));
    const char kind = array.dtype().kind();
    if (kind != 'i' && kind != 'u')
        throw DTypeError("offsets: expected integers, got dtype " + dtype_name(array));
    std::vector<Index> offsets = copy_integers(array);
    Index least = 0;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        if (offsets[i] < least || offsets[i] > rows)
            throw ArgumentError("offsets[" + std::to_string(i) + "]: expected " +
                                std::to_string(least) + " to " + std::to_string(rows) + ", got " +
                                (kind == 'u'
                                     ? std::to_string(static_cast<std::uint64_t>(offsets[i]))
                                     : std::to_string(offsets[i])));
        least = offsets[i];
    }
    return offsets;
}

std::vector<unsigned char> copy_mask(py::handle object, const Shape& shape) {
    py::array array = any_array(object, "mask");
    const char kind = array.dtype().kind();
    if (kind != 'b' && kind != 'i' && kind != 'u')
        throw DTypeError("mask: expected booleans, or integers 0 and 1, got dtype " +
                         dtype_name(array));
    if (kind != 'b' && array.size() > 0) {
        for (const char* end : {"min", "max"}) {
            const py::object value = array.attr(end)();
            if (!value.equal(py::int_(0)) && !value.equal(py::int_(1)))
                throw ArgumentError("mask: expected 0 or 1, got " + std::string(py::str(value)));
        }
    }
    product(shape);
    try {
        array = numpy("broadcast_to")(array, tuple_of(shape));
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_ValueError)) throw;
        throw ShapeError("mask: expected one value per step, " + text(shape) + ", got " +
                         text(shape_of(array)));
    }
    return copy_of<unsigned char>(numpy("ascontiguousarray")(array, py::arg("dtype") = "bool"));
}

template <class Real>
py::array check_out(py::handle out, const Shape& shape) {
    const std::string expected = std::string("out: expected an array of ") + real_name(Real());
    if (!py::isinstance<py::array>(out))
        throw DTypeError(expected + ", got " +
                         std::string(py::str(py::type::of(out).attr("__name__"))));
    py::array array = py::reinterpret_borrow<py::array>(out);
    if (!NumpyTypes::get().is<Real>(array.dtype().ptr()))
        throw DTypeError(expected + " in native byte order, got dtype " +
                         std::string(py::str(array.dtype().attr("str"))));
    check_shape(array, "out", shape);
    if (!array.writeable())
        throw ArgumentError("out: expected a writable array, got a read-only one");
    if (!(array.flags() & npy_api::NPY_ARRAY_ALIGNED_))
        throw ArgumentError("out: expected an aligned array, got an unaligned one");
    return array;
}

void check_overlap(const py::array& out, const py::array& in, const char* argument) {
    if (!py::cast<bool>(numpy("may_share_memory")(out, in))) return;
    bool shares = true;
    try {
        constexpr int work = 100000;  // limits an exact search that may not end
        shares = py::cast<bool>(numpy("shares_memory")(out, in, work));
    } catch (py::error_already_set&) {
    }
    if (shares)
        throw ArgumentError(std::string("out: expected separate memory, got an array that "
                                        "overlaps ") +
                            argument);
}

namespace {

template <class Real, class Array>
SequencesView<Real> make_view(Array& array, Real* data, bool has_time) {
    SequencesView<Real> view;
    view.data = data;
    const auto stride = [&](int axis) {
        return array.strides(axis) / static_cast<Index>(sizeof(Real));
    };
    const int own_axes = has_time ? 2 : 1;
    const int batch_axes = static_cast<int>(array.ndim()) - own_axes;
    for (int axis = 0; axis < batch_axes; ++axis) {
        view.shape.push_back(array.shape(axis));
        view.strides.push_back(stride(axis));
    }
    view.step_stride = has_time ? stride(batch_axes) : 0;
    view.stride = stride(batch_axes + own_axes - 1);
    return view;
}

}  // namespace

template <class Real>
SequencesView<const Real> view_of(const py::array& array, bool has_time) {
    return make_view<const Real>(array, static_cast<const Real*>(array.data()), has_time);
}

template <class Real>
SequencesView<Real> writable_view_of(py::array& array, bool has_time) {
    return make_view<Real>(array, static_cast<Real*>(array.mutable_data()), has_time);
}

// NumPy's resize(refcheck=False) reallocates an array unless it is weakly referenced.
Pinned::Pinned(py::handle array) {
    while (array && py::isinstance<py::array>(array)) {
        references_.push_back(py::weakref(array));
        array = py::detail::array_proxy(array.ptr())->base;
    }
}

#define ELMAN_INSTANTIATE(Real)                                                               \
    template py::array new_array<Real>(const Index*, int);                                    \
    template py::array new_array<Real>(const Shape&);                                         \
    template py::array read_only_array<Real>(const Shape&, const Real*, py::handle);          \
    template py::array as_real<Real>(py::handle, const char*);                                \
    template py::array as_real<Real>(py::handle, const char*, const Shape&);                  \
    template std::vector<Real> copy_reals<Real>(py::handle, const char*, const Shape&, bool); \
    template py::array copy_array<Real>(const Shape&, const Real*);                           \
    template void copy_into<Real>(const py::array&, Real*);                                   \
    template py::array check_out<Real>(py::handle, const Shape&);                             \
    template SequencesView<const Real> view_of<Real>(const py::array&, bool);                 \
    template SequencesView<Real> writable_view_of<Real>(py::array&, bool);
ELMAN_INSTANTIATE(float)
ELMAN_INSTANTIATE(double)
#undef ELMAN_INSTANTIATE

}  // namespace elman::python
