// cell.cpp - one tanh layer by LIBXSMM's fused cell, and its readout by Eigen.
//
//   h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h),   y_t = sigmoid(W_hy h_t + b_y)
//
// Arrays of NumPy are (T, B, I) and so on.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <Eigen/Core>
#include <stdexcept>
#include <vector>

#include "fused.hpp"
#include "update.hpp"

namespace py = pybind11;
using Array = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;
using Vector = Eigen::VectorXf;

namespace {

// Blocks of 64 where they divide a size, else one block.
int block_of(int size) {
    return size % 64 == 0 ? 64 : size;
}

Matrix matrix(const Array& a) {
    return Eigen::Map<const Matrix>(a.data(), a.shape(1), a.shape(0)).transpose();
}

// W (K, C) as blocks of (C, K): the cell reads [K / bk][C / bc][bc][bk].
std::vector<float> packed(const Array& W) {
    const int K = static_cast<int>(W.shape(0)), C = static_cast<int>(W.shape(1));
    const int bk = block_of(K), bc = block_of(C);
    std::vector<float> blocks;
    for (int k = 0; k < K; k += bk) {
        for (int c = 0; c < C; c += bc) {
            for (int i = c; i < c + bc; ++i) {
                for (int j = k; j < k + bk; ++j) blocks.push_back(W.at(j, i));
            }
        }
    }
    return blocks;
}

}  // namespace

class Cell {
  public:
    Cell(const Array& W_xh, const Array& W_hh, const Array& b_h, const Array& W_hy,
         const Array& b_y, bool sigmoid, int T, int B)
        : T_(T),
          B_(B),
          I_(static_cast<int>(W_xh.shape(1))),
          H_(static_cast<int>(W_hh.shape(0))),
          w_(packed(W_xh)),
          r_(packed(W_hh)),
          b_(b_h.data(), b_h.data() + b_h.size()),
          W_xh_(matrix(W_xh)),
          W_hh_(matrix(W_hh)),
          W_hy_(matrix(W_hy)),
          b_y_(Eigen::Map<const Vector>(b_y.data(), b_y.size())),
          sigmoid_(sigmoid),
          start_(static_cast<size_t>(B) * H_),
          h_(static_cast<size_t>(T) * B * H_),
          x_(static_cast<size_t>(T) * B * I_),
          cell_(T, B, I_, H_, block_of(B), block_of(I_), block_of(H_)) {
        product_ = libxsmm_smmfunction(libxsmm_smmdispatch(H_, B, H_, nullptr, nullptr, nullptr,
                                                           nullptr, nullptr, nullptr, nullptr));
        if (product_ == nullptr) throw std::runtime_error("LIBXSMM has no kernel for this size");
        bind(x_, LIBXSMM_DNN_RNN_REGULAR_INPUT);
        bind(start_, LIBXSMM_DNN_RNN_REGULAR_HIDDEN_STATE_PREV);
        bind(w_, LIBXSMM_DNN_RNN_REGULAR_WEIGHT);
        bind(r_, LIBXSMM_DNN_RNN_REGULAR_RECUR_WEIGHT);
        bind(b_, LIBXSMM_DNN_RNN_REGULAR_BIAS);
        bind(h_, LIBXSMM_DNN_RNN_REGULAR_HIDDEN_STATE);
        cell_.prepare(LIBXSMM_DNN_COMPUTE_KIND_FWD);
    }

    // x (T, B, I) -> y (T, B, O), from the initial state.
    Array run(const Array& x, const Array& h_0) {
        std::copy(x.data(), x.data() + x.size(), x_.begin());
        for (int n = 0; n < B_; ++n) {
            std::copy(h_0.data(), h_0.data() + H_, start_.begin() + static_cast<long>(n) * H_);
        }
        cell_.run(LIBXSMM_DNN_COMPUTE_KIND_FWD);
        return read();
    }

    // The same by LIBXSMM's kernel for products and Eigen's tanh.
    Array run_products(const Array& x, const Array& h_0) {
        const Eigen::Map<const Matrix> inputs(x.data(), W_xh_.cols(), static_cast<long>(T_) * B_);
        Eigen::Map<Matrix> h(h_.data(), H_, inputs.cols());
        h.noalias() = W_xh_ * inputs;
        h.colwise() += Eigen::Map<const Vector>(b_.data(), H_);
        Matrix before = Eigen::Map<const Vector>(h_0.data(), H_).replicate(1, B_);
        const float* state = before.data();
        for (int t = 0; t < T_; ++t) {
            auto u = h.middleCols(static_cast<long>(t) * B_, B_);
            product_(W_hh_.data(), state, u.data());
            u = u.array().tanh();
            state = u.data();
        }
        return read();
    }

  private:
    Array read() const {
        Array y({static_cast<py::ssize_t>(T_), static_cast<py::ssize_t>(B_), b_y_.size()});
        const Eigen::Map<const Matrix> h(h_.data(), H_, static_cast<long>(T_) * B_);
        Eigen::Map<Matrix> out(y.mutable_data(), b_y_.size(), h.cols());
        out.noalias() = W_hy_ * h;
        out.colwise() += b_y_;
        if (sigmoid_) out = (1.0F + (-out.array()).exp()).inverse();
        return y;
    }

    void bind(std::vector<float>& data, libxsmm_dnn_tensor_type type) {
        cell_.bind(data.data(), type);
    }

    int T_, B_, I_, H_;
    std::vector<float> w_, r_, b_;
    Matrix W_xh_, W_hh_, W_hy_;
    Vector b_y_;
    bool sigmoid_;
    std::vector<float> start_, h_, x_;
    FusedCell cell_;
    libxsmm_smmfunction product_ = nullptr;
};

PYBIND11_MODULE(cell, m) {
    py::class_<Cell>(m, "Cell")
        .def(py::init<Array, Array, Array, Array, Array, bool, int, int>())
        .def("run", &Cell::run)
        .def("run_products", &Cell::run_products);
    add_update(m);
}
