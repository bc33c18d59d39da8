// rows.hpp - the argument rows= of a pool: distinct indices or a boolean mask; None: all rows.
//
//   const ChosenRows chosen(argument);              // may run code of the user
//   const TakenObject taken(pool.busy(), "pool");
//   pool.step(x, y, chosen.in(pool.size(), memory), ...);
#pragma once

#include <vector>

#include "arrays.hpp"
#include "elman/pool.hpp"

namespace elman::python {

class ChosenRows {
  public:
    // Refuses what is neither indices (m,) nor a mask (n,). An array of np.intp or bool is used in
    // place: no code of the user may run until the last use of this object.
    explicit ChosenRows(py::handle rows);

    // m for a pool of `size` rows.
    Index count(Index size) const;

    // The rows of a pool of `size`, written to `memory`, which grows if it is too small. Whether
    // they are distinct and in range is checked by the pool.
    PoolRows in(Index size, std::vector<Index>& memory) const;

    // Whether the argument is used in place.
    static bool fits(PyObject* rows);

  private:
    struct Vector {
        const char* data;
        Index size, stride;  // in bytes

        template <class Number>
        Number at(Index i) const {
            return *reinterpret_cast<const Number*>(data + i * stride);
        }
    };
    Vector vector() const {
        const auto* array = py::detail::array_proxy(array_.ptr());
        return {array->data, array->dimensions[0], array->strides[0]};
    }
    static void check_mask(const Vector& given, Index size);

    py::object array_;
    bool all_, mask_ = false, unsigned_ = false;
};

}  // namespace elman::python
