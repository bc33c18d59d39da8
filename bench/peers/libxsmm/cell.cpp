// cell.cpp - one tanh layer by LIBXSMM's fused cell, and its readout by Eigen.
//
//   h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h),   y_t = sigmoid(W_hy h_t + b_y)
//
// Arrays of NumPy are (T, B, I) and so on; LIBXSMM calls I, H and B C, K and N.
#include <libxsmm.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <Eigen/Core>
#include <stdexcept>
#include <string>
#include <vector>

#include "update.hpp"

namespace py = pybind11;
using Array = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;
using Vector = Eigen::VectorXf;

namespace {

void check(libxsmm_dnn_err_t status) {
    // Codes below are warnings of an unusual blocking.
    if (status >= LIBXSMM_DNN_ERR_GENERAL) {
        throw std::runtime_error(std::string("LIBXSMM: ") + libxsmm_dnn_get_error(status));
    }
}

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
          h_(static_cast<size_t>(T) * B * H_) {
        product_ = libxsmm_smmfunction(libxsmm_smmdispatch(H_, B, H_, nullptr, nullptr, nullptr,
                                                           nullptr, nullptr, nullptr, nullptr));
        if (product_ == nullptr) throw std::runtime_error("LIBXSMM has no kernel for this size");
        const int I = static_cast<int>(W_xh.shape(1));
        libxsmm_dnn_rnncell_desc desc{};
        desc.threads = 1;
        desc.K = H_;
        desc.N = B;
        desc.C = I;
        desc.max_T = T;
        desc.bk = block_of(H_);
        desc.bn = block_of(B);
        desc.bc = block_of(I);
        desc.cell_type = LIBXSMM_DNN_RNNCELL_RNN_TANH;
        desc.datatype_in = desc.datatype_out = LIBXSMM_DNN_DATATYPE_F32;
        desc.buffer_format = LIBXSMM_DNN_TENSOR_FORMAT_NC;
        desc.filter_format = LIBXSMM_DNN_TENSOR_FORMAT_CKPACKED;
        libxsmm_dnn_err_t status;
        cell_ = libxsmm_dnn_create_rnncell(desc, &status);
        check(status);
        x_.resize(static_cast<size_t>(T) * B * I);
        bind(x_, LIBXSMM_DNN_RNN_REGULAR_INPUT);
        bind(start_, LIBXSMM_DNN_RNN_REGULAR_HIDDEN_STATE_PREV);
        bind(w_, LIBXSMM_DNN_RNN_REGULAR_WEIGHT);
        bind(r_, LIBXSMM_DNN_RNN_REGULAR_RECUR_WEIGHT);
        bind(b_, LIBXSMM_DNN_RNN_REGULAR_BIAS);
        bind(h_, LIBXSMM_DNN_RNN_REGULAR_HIDDEN_STATE);
        const auto kind = LIBXSMM_DNN_COMPUTE_KIND_FWD;
        scratch_.resize(libxsmm_dnn_rnncell_get_scratch_size(cell_, kind, &status) + 64);
        check(status);
        check(libxsmm_dnn_rnncell_bind_scratch(cell_, kind, scratch_.data()));
        inner_.resize(libxsmm_dnn_rnncell_get_internalstate_size(cell_, kind, &status) + 64);
        check(status);
        check(libxsmm_dnn_rnncell_bind_internalstate(cell_, kind, inner_.data()));
    }

    Cell(const Cell&) = delete;
    Cell& operator=(const Cell&) = delete;

    ~Cell() {
        for (libxsmm_dnn_tensor* tensor : tensors_) libxsmm_dnn_destroy_tensor(tensor);
        libxsmm_dnn_destroy_rnncell(cell_);
    }

    // x (T, B, I) -> y (T, B, O), from the initial state.
    Array run(const Array& x, const Array& h_0) {
        std::copy(x.data(), x.data() + x.size(), x_.begin());
        for (int n = 0; n < B_; ++n) {
            std::copy(h_0.data(), h_0.data() + H_, start_.begin() + static_cast<long>(n) * H_);
        }
        check(libxsmm_dnn_rnncell_execute_st(cell_, LIBXSMM_DNN_COMPUTE_KIND_FWD, 0, 0));
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
        libxsmm_dnn_err_t status;
        auto* layout = libxsmm_dnn_rnncell_create_tensor_datalayout(cell_, type, &status);
        check(status);
        auto* tensor = libxsmm_dnn_link_tensor(layout, data.data(), &status);
        check(status);
        libxsmm_dnn_destroy_tensor_datalayout(layout);
        tensors_.push_back(tensor);
        check(libxsmm_dnn_rnncell_bind_tensor(cell_, tensor, type));
    }

    int T_, B_, H_;
    std::vector<float> w_, r_, b_;
    Matrix W_xh_, W_hh_, W_hy_;
    Vector b_y_;
    bool sigmoid_;
    std::vector<float> start_, h_, x_;
    std::vector<char> scratch_, inner_;
    std::vector<libxsmm_dnn_tensor*> tensors_;
    libxsmm_smmfunction product_ = nullptr;
    libxsmm_dnn_rnncell* cell_ = nullptr;
};

PYBIND11_MODULE(cell, m) {
    py::class_<Cell>(m, "Cell")
        .def(py::init<Array, Array, Array, Array, Array, bool, int, int>())
        .def("run", &Cell::run)
        .def("run_products", &Cell::run_products);
    add_update(m);
}
