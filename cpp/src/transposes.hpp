// transposes.hpp - the transposed weights, used in backpropagation.
#pragma once

#include <vector>

#include "model.hpp"

namespace elman {

template <class Real>
class Transposes {
  public:
    // W_xh of the first layer is transposed only `with_x`: no other error needs it. Discard the
    // object if the pause was stopped.
    Transposes(const Model<Real>& model, bool with_x, Pause& pause);

    // Transposes the current weights; W_hh only if `recurrent`.
    void update(const Model<Real>& model, bool recurrent);

    // (I, H), (H, H) and (H, O)
    PackedMatrix<Real> W_xh(std::size_t half) const { return view(halves_[half].W_xh); }
    PackedMatrix<Real> W_hh(std::size_t half) const { return view(halves_[half].W_hh); }
    PackedMatrix<Real> W_hy() const { return view(W_hy_); }

  private:
    struct Matrix {
        Index offset, rows, cols;
    };
    struct Pair {
        Matrix W_xh, W_hh;
    };
    PackedMatrix<Real> view(const Matrix& m) const {
        return packed_matrix(arena_.data() + m.offset, m.rows, m.cols);
    }

    const bool with_x_;
    std::vector<Pair> halves_;
    Matrix W_hy_{};
    AlignedVector<Real> arena_;
};

extern template class Transposes<float>;
extern template class Transposes<double>;

}  // namespace elman
