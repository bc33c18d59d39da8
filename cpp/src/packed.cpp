#include "elman/packed.hpp"

#include <algorithm>

#include "kernels/table.hpp"

namespace elman {

template <class Real>
PackedParameters<Real>::PackedParameters(const Architecture& a, const Kernels<Real>& kernels)
    : kernels_(kernels) {
    // The pieces are laid out from address 0, then moved to where the arena is.
    Index size = 0;
    const auto take = [&](Index count) {
        const Index first = size;
        size += padded<Real>(count);
        return first;
    };
    struct Offsets {
        Index input, recurrent, bias;
    };
    std::vector<Offsets> offsets;
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const Index rows = a.layers[l].hidden_size;
        const Index input = take(kernels.packed_size(rows, a.layer_input_size(l)));
        const Index recurrent = take(kernels.packed_size(rows, rows));
        offsets.push_back({input, recurrent, take(rows)});
    }
    has_readout_ = a.readout.has_value();
    const Index top = a.layers.back().hidden_size;
    Offsets readout{};
    if (has_readout_) {
        readout.input = take(kernels.packed_size(a.readout->output_size, top));
        readout.bias = take(a.readout->output_size);
    }
    const Index initial_state = a.initial_state ? take(a.state_size()) : 0;

    // On huge pages: no difference (H = 512: 14.3 us a step, H = 1024: 62 us).
    arena_.resize(static_cast<std::size_t>(size));
    const auto matrix = [&](Index offset, Index rows, Index cols) {
        return PackedMatrix<Real>{data() + offset, rows, cols, partial_sums(rows, cols)};
    };
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const LayerShape& layer = a.layers[l];
        const Index rows = layer.hidden_size;
        layers_.push_back({matrix(offsets[l].input, rows, a.layer_input_size(l)),
                           matrix(offsets[l].recurrent, rows, rows), data() + offsets[l].bias,
                           layer.bias, layer.activation});
    }
    if (has_readout_)
        readout_ = {matrix(readout.input, a.readout->output_size, top),
                    {},
                    data() + readout.bias,
                    a.readout->bias,
                    a.readout->activation};
    if (a.initial_state) initial_state_ = data() + initial_state;
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
    for (std::size_t l = 0; l < layers_.size(); ++l)
        visit("layers." + std::to_string(l) + ".", layers_[l], "W_xh", "b_h");
    if (has_readout_) visit("readout.", readout_, "W_hy", "b_y");
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
