#include "transposes.hpp"

#include "arenas.hpp"

namespace elman {

template <class Real>
Transposes<Real>::Transposes(const Model<Real>& model, bool with_x, Pause& pause)
    : with_x_(with_x) {
    Index size = 0;
    const auto place = [&](Index rows, Index cols) {
        const Index offset = size;
        size += padded<Real>(model.kernels.packed_size(rows, cols));
        return Matrix{offset, rows, cols};
    };
    for (const Half& half : model.layout.halves()) {
        const bool down = half.layer > 0 || with_x;
        halves_.push_back({down ? place(half.input_size, half.hidden_size) : Matrix{},
                           place(half.hidden_size, half.hidden_size)});
    }
    if (const Readout* readout = model.layout.readout())
        W_hy_ = place(readout->input_size, readout->output_size);
    arena_ = zeros<Real>(size, pause);
}

template <class Real>
void Transposes<Real>::update(const Model<Real>& model, bool recurrent) {
    const auto transpose = [&](const PackedMatrix<Real>& W, const Matrix& to) {
        model.kernels.transpose(W, arena_.data() + to.offset);
    };
    const Layout<Real>& layout = model.layout;
    for (std::size_t l = 0; l < halves_.size(); ++l) {
        const Half& half = layout.halves()[l];
        if (l > 0 || with_x_) transpose(layout.W_xh(half, model.weights), halves_[l].W_xh);
        if (recurrent) transpose(layout.W_hh(half, model.weights), halves_[l].W_hh);
    }
    if (layout.readout()) transpose(layout.W_hy(model.weights), W_hy_);
}

template class Transposes<float>;
template class Transposes<double>;

}  // namespace elman
