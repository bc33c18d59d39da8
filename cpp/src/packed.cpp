#include "elman/packed.hpp"

#include <algorithm>

#include "kernels/table.hpp"

namespace elman {

template <class Real>
PackedMatrix<Real> packed_matrix(const Real* panels, Index rows, Index cols) {
    return {panels, rows, cols, partial_sums(rows, cols)};
}

template <class Real>
Layout<Real>::Layout(const Architecture& a, const Kernels<Real>& kernels) : kernels_(&kernels) {
    const std::vector<Tensor> tensors = tensors_of(a, sizeof(Real));
    auto tensor = tensors.begin();
    const auto matrix = [&](Index rows, Index cols) {
        const Index offset = place(kernels.packed_size(rows, cols));
        pieces_.push_back({rows, cols, false, (tensor++)->offset, offset});
        return offset;
    };
    const auto vector = [&](bool present, Index rows) {
        const Index offset = place(rows);
        if (present) pieces_.push_back({rows, 1, true, (tensor++)->offset, offset});
        return offset;
    };
    Index state = 0;
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const LayerShape& layer = a.layers[l];
        const Index input = a.layer_input_size(l), hidden = layer.hidden_size;
        const auto add = [&](bool reverse, Index column, const Activation& f, bool bias) {
            const Index W_xh = matrix(hidden, input), W_hh = matrix(hidden, hidden);
            const Index b_h = vector(bias, hidden);
            halves_.push_back({l, reverse, input, hidden, column, state, f, bias, W_xh, W_hh, b_h});
            state += hidden;
        };
        add(layer.direction == Direction::reverse, 0, layer.activation, layer.bias);
        if (layer.bidirectional()) add(true, hidden, layer.reverse_activation, layer.reverse_bias);
    }
    if (a.readout) {
        const Index input = a.layers.back().output_size(), output = a.readout->output_size;
        const Index W_hy = matrix(output, input), b_y = vector(a.readout->bias, output);
        readout_ = {input, output, a.readout->activation, a.readout->bias, W_hy, b_y};
    }
    if (a.initial_state) initial_state_ = vector(true, a.state_size());
}

template <class Real>
Index Layout<Real>::place(Index count) {
    const Index offset = size_;
    size_ += padded<Real>(count);
    return offset;
}

template <class Real>
void Layout<Real>::pack(const Parameters<Real>& parameters, Real* arena, Pause& pause) const {
    for (const Piece& piece : pieces_) {
        if (pause.stopped()) return;
        const Real* tensor = parameters.data() + piece.tensor;
        Real* packed = arena + piece.offset;
        if (piece.vector)
            std::copy_n(tensor, piece.rows, packed);
        else
            in_pieces(piece.rows, piece.cols * kNumberWork, pause, [&](Index first, Index last) {
                kernels_->pack(tensor, piece.rows, piece.cols, first, last, packed);
            });
    }
}

template <class Real>
void Layout<Real>::unpack(const Real* arena, Parameters<Real>& parameters, Pause& pause) const {
    for (const Piece& piece : pieces_) {
        if (pause.stopped()) return;
        const Real* packed = arena + piece.offset;
        Real* tensor = parameters.data() + piece.tensor;
        if (piece.vector)
            std::copy_n(packed, piece.rows, tensor);
        else
            in_pieces(piece.rows, piece.cols * kNumberWork, pause, [&](Index first, Index last) {
                kernels_->unpack(packed_matrix(packed, piece.rows, piece.cols), first, last,
                                 tensor);
            });
    }
}

template <class Real>
PackedMatrix<Real> Layout<Real>::W_xh(const Half& half, const Real* arena) const {
    return packed_matrix(arena + half.W_xh, half.hidden_size, half.input_size);
}

template <class Real>
PackedMatrix<Real> Layout<Real>::W_hh(const Half& half, const Real* arena) const {
    return packed_matrix(arena + half.W_hh, half.hidden_size, half.hidden_size);
}

template <class Real>
PackedMatrix<Real> Layout<Real>::W_hy(const Real* arena) const {
    return packed_matrix(arena + readout_->W_hy, readout_->output_size, readout_->input_size);
}

template PackedMatrix<float> packed_matrix(const float*, Index, Index);
template PackedMatrix<double> packed_matrix(const double*, Index, Index);
template class Layout<float>;
template class Layout<double>;

}  // namespace elman
