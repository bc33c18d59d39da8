#include "rows.hpp"

#include <cstdint>
#include <string>

namespace elman::python {
namespace {

using py::detail::npy_api;

constexpr int kBool = npy_api::NPY_BOOL_;
constexpr int kIndex = sizeof(Index) == 8 ? npy_api::NPY_INT64_ : npy_api::NPY_INT32_;

int type_number(PyObject* array) {
    return py::detail::array_descriptor_proxy(py::detail::array_proxy(array)->descr)->type_num;
}

// An array of np.intp or bool.
py::array as_rows(py::handle object, bool& is_unsigned) {
    py::array array = any_array(object, "rows");
    const char kind = array.dtype().kind();
    is_unsigned = kind == 'u';
    if (kind != 'b' && kind != 'i' && kind != 'u' && array.size() > 0)
        throw DTypeError("rows: expected indices or a mask, got dtype " +
                         std::string(py::str(array.dtype())));
    if (array.ndim() != 1)
        throw ShapeError("rows: expected indices (m,) or a mask of all rows, got " +
                         text(shape_of(array)));
    const py::dtype type = kind == 'b' ? py::dtype::of<bool>() : py::dtype::of<Index>();
    return py::module_::import("numpy").attr("ascontiguousarray")(array, type);
}

}  // namespace

// Exactly an ndarray (size,) of native, aligned np.intp or bool.
bool ChosenRows::fits(PyObject* rows) {
    if (Py_TYPE(rows) != NumpyTypes::get().ndarray) return false;
    const auto* array = py::detail::array_proxy(rows);
    const auto* type = py::detail::array_descriptor_proxy(array->descr);
    constexpr char foreign = PY_LITTLE_ENDIAN ? '>' : '<';
    const bool fits =
        type->type_num == kBool || (type->type_num == kIndex && type->byteorder != foreign);
    return fits && array->nd == 1 && (array->flags & kReadable) == kReadable;
}

ChosenRows::ChosenRows(py::handle rows) : all_(rows.is_none()) {
    if (all_) return;
    array_ = fits(rows.ptr()) ? py::reinterpret_borrow<py::object>(rows)
                              : py::object(as_rows(rows, unsigned_));
    mask_ = type_number(array_.ptr()) == kBool;
}

void ChosenRows::check_mask(const Vector& given, Index size) {
    if (given.size != size)
        throw ShapeError("rows: expected a mask of all rows, " + text(Shape{size}) + ", got " +
                         text(Shape{given.size}));
}

Index ChosenRows::count(Index size) const {
    if (all_) return size;
    const Vector given = vector();
    if (!mask_) return given.size;
    check_mask(given, size);
    Index count = 0;
    for (Index i = 0; i < size; ++i) count += given.at<unsigned char>(i) != 0;
    return count;
}

PoolRows ChosenRows::in(Index size, std::vector<Index>& memory) const {
    if (all_) return {};
    const Vector given = vector();
    if (mask_) check_mask(given, size);
    if (static_cast<Index>(memory.size()) < given.size)
        memory.resize(static_cast<std::size_t>(given.size));
    Index* const rows = memory.data();
    Index count = given.size;
    if (mask_) {
        count = 0;
        for (Index i = 0; i < given.size; ++i) {
            rows[count] = i;
            count += given.at<unsigned char>(i) != 0;
        }
    } else {
        for (Index i = 0; i < count; ++i) rows[i] = given.at<Index>(i);
    }
    for (Index i = 0; unsigned_ && i < count; ++i)
        if (rows[i] < 0)  // beyond 63 bits
            throw ArgumentError("rows: expected 0 to " + std::to_string(size - 1) + ", got " +
                                std::to_string(static_cast<std::uint64_t>(rows[i])));
    return {rows, count};
}

}  // namespace elman::python
