#include "elman/packed.hpp"

#include <algorithm>

#include "kernels/table.hpp"

namespace elman {

template <class Real>
PackedParameters<Real>::PackedParameters(const Architecture& a, const Kernels<Real>& kernels)
    : kernels_(kernels) {
    // Twice: to see how much memory the pieces take, and to place them in it.
    lay_out(a);
    // On huge pages: no difference (H = 512: 14.3 us a step, H = 1024: 62 us).
    arena_.resize(static_cast<std::size_t>(laid_out_));
    lay_out(a);
}

template <class Real>
void PackedParameters<Real>::lay_out(const Architecture& a) {
    laid_out_ = 0;
    layers_.clear();
    reverses_.clear();
    const auto vector = [&](Index count) {
        const Real* piece = arena_.empty() ? nullptr : data() + laid_out_;
        laid_out_ += padded<Real>(count);
        return piece;
    };
    const auto matrix = [&](Index rows, Index cols) {
        const Real* panels = vector(kernels_.packed_size(rows, cols));
        return PackedMatrix<Real>{panels, rows, cols, partial_sums(rows, cols)};
    };
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const LayerShape& layer = a.layers[l];
        const Index rows = layer.hidden_size;
        layers_.push_back({matrix(rows, a.layer_input_size(l)), matrix(rows, rows), vector(rows),
                           layer.bias, layer.activation});
        reverses_.emplace_back();
        if (layer.bidirectional())
            reverses_.back() = Layer{matrix(rows, a.layer_input_size(l)), matrix(rows, rows),
                                     vector(rows), layer.reverse_bias, layer.reverse_activation};
    }
    if (a.readout)
        readout_ = Layer{matrix(a.readout->output_size, a.layers.back().output_size()),
                         {},
                         vector(a.readout->output_size),
                         a.readout->bias,
                         a.readout->activation};
    if (a.initial_state) initial_state_ = vector(a.state_size());
}

// matrix(W, tensor) and vector(piece, tensor) for each of the tensors that are here too.
template <class Real>
template <class MatrixWork, class VectorWork>
void PackedParameters<Real>::for_each_tensor(const Parameters<Real>& parameters, MatrixWork matrix,
                                             VectorWork vector) const {
    const auto visit = [&](const std::string& prefix, const Layer& layer, const char* input,
                           const char* bias) {
        for (const Tensor& tensor : parameters.tensors()) {
            if (tensor.name == prefix + input) matrix(layer.input, tensor);
            if (tensor.name == prefix + "W_hh") matrix(layer.recurrent, tensor);
            if (tensor.name == prefix + bias) vector(layer.bias, tensor);
        }
    };
    const Architecture& a = parameters.architecture();
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const std::vector<std::string> prefixes = a.prefixes(l);
        visit(prefixes[0], layers_[l], "W_xh", "b_h");
        if (reverses_[l]) visit(prefixes[1], *reverses_[l], "W_xh", "b_h");
    }
    if (readout_) visit("readout.", *readout_, "W_hy", "b_y");
    for (const Tensor& tensor : parameters.tensors())
        if (tensor.name == "initial_state") vector(initial_state_, tensor);
}

template <class Real>
void PackedParameters<Real>::pack(const Parameters<Real>& parameters) {
    for_each_tensor(
        parameters,
        [&](const PackedMatrix<Real>& W, const Tensor& tensor) {
            kernels_.pack(parameters.data() + tensor.offset, W.rows, W.cols,
                          data() + offset(W.panels));
        },
        [&](const Real* piece, const Tensor& tensor) {
            std::copy_n(parameters.data() + tensor.offset, tensor.rows, data() + offset(piece));
        });
}

template <class Real>
void PackedParameters<Real>::unpack(const Real* arena, Parameters<Real>& parameters) const {
    for_each_tensor(
        parameters,
        [&](PackedMatrix<Real> W, const Tensor& tensor) {
            W.panels = arena + offset(W.panels);
            kernels_.unpack(W, parameters.data() + tensor.offset);
        },
        [&](const Real* piece, const Tensor& tensor) {
            std::copy_n(arena + offset(piece), tensor.rows, parameters.data() + tensor.offset);
        });
}

template class PackedParameters<float>;
template class PackedParameters<double>;

}  // namespace elman
