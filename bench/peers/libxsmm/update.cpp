// One update of a network of one tanh layer: forward, backward, clipping by norm and Adam.
//
//   h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h),   y_t = W_hy h_t + b_y
//
// Sequences lie side by side: the states of B sequences at one time are B columns. The bias b_h is
// the last column of W_xh, whose input is 1. H and O are rounded up to whole vectors; the weights
// added are zero and stay zero. Time is cut into chunks whose columns stay in the nearer caches.
#include "update.hpp"

#include <libxsmm.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "fused.hpp"

namespace py = pybind11;
using Array = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;
using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

namespace {

constexpr int vector_width = EIGEN_MAX_ALIGN_BYTES / 4;
constexpr int most_columns = 128;  // of a chunk

int rounded_up(int n) {
    return (n + vector_width - 1) / vector_width * vector_width;
}

// The largest number of steps that divides T, with at most `most_columns` columns.
int steps_of_chunk(int T, int B) {
    int steps = 1;
    for (int s = 2; s <= T && s * B <= most_columns; ++s) {
        if (T % s == 0) steps = s;
    }
    return steps;
}

// C = A B or C += A B, with A (m, k), and B (k, n) or, transposed, (n, k).
class Product {
  public:
    enum Kind { sets, adds, adds_transposed };

    Product(Kind kind, int m, int n, int k, int lda, int ldb, int ldc) {
        const float beta = kind == sets ? 0.0F : 1.0F;
        const int flags = kind == adds_transposed ? LIBXSMM_GEMM_FLAG_TRANS_B : 0;
        kernel_ = libxsmm_smmdispatch(m, n, k, &lda, &ldb, &ldc, nullptr, &beta, &flags, nullptr);
        if (kernel_ == nullptr) throw std::runtime_error("LIBXSMM has no kernel for this size");
    }

    void operator()(const float* A, const float* B, float* C) const { kernel_(A, B, C); }

  private:
    libxsmm_smmfunction kernel_ = nullptr;
};

struct Constants {
    float rate, beta1, beta2, epsilon, clip_norm, norm_epsilon;
};

// The weights, or their gradients, in one vector.
class Parameters {
  public:
    Parameters(int inputs, int H, int O)
        : flat_(Eigen::VectorXf::Zero(static_cast<long>(H) * (inputs + H + O) + O)),
          W_x(flat_.data(), H, inputs),
          W_h(W_x.data() + W_x.size(), H, H),
          W_y(W_h.data() + W_h.size(), O, H),
          b_y(W_y.data() + W_y.size(), O, 1) {}

    Eigen::ArrayWrapper<Eigen::VectorXf> all() { return flat_.array(); }

  private:
    Eigen::VectorXf flat_;

  public:
    Eigen::Map<Matrix> W_x, W_h, W_y, b_y;
};

Eigen::Map<const Rows> map(const Array& a) {
    const long columns = a.shape(a.ndim() - 1);
    return {a.data(), a.size() / columns, columns};
}

Array array(const Rows& values) {
    Array out({values.rows(), values.cols()});
    std::copy(values.data(), values.data() + values.size(), out.mutable_data());
    return out;
}

}  // namespace

class Update {
  public:
    Update(const Array& W_xh, const Array& W_hh, const Array& b_h, const Array& W_hy,
           const Array& b_y, const Array& x, const Array& y, const Constants& constants)
        : T_(static_cast<int>(x.shape(0))),
          B_(static_cast<int>(x.shape(1))),
          I_(static_cast<int>(x.shape(2))),
          H_(static_cast<int>(W_hh.shape(0))),
          O_(static_cast<int>(y.shape(2))),
          chunk_(steps_of_chunk(T_, B_)),
          n_(chunk_ * B_),
          R_(rounded_up(H_)),
          Q_(rounded_up(O_)),
          constants_(constants),
          w_(I_ + 1, R_, Q_),
          g_(I_ + 1, R_, Q_),
          m_(Eigen::ArrayXf::Zero(w_.all().size())),
          v_(m_),
          x_(Matrix::Ones(I_ + 1, T_ * B_)),
          y_(Matrix::Zero(Q_, T_ * B_)),
          h_(Matrix::Zero(R_, (T_ + 1) * B_)),
          error_(Q_, n_),
          d_(R_, n_ + B_),
          W_hT_(R_, R_),
          W_yT_(R_, Q_),
          of_x_(Product::sets, R_, n_, I_ + 1, R_, I_ + 1, R_),
          of_h_(Product::adds, R_, B_, H_, R_, R_, R_),
          of_y_(Product::adds, Q_, n_, H_, Q_, R_, Q_),
          back_y_(Product::sets, R_, n_, O_, R_, Q_, R_),
          to_x_(Product::adds_transposed, R_, I_ + 1, n_, R_, I_ + 1, R_),
          to_h_(Product::adds_transposed, R_, H_, n_, R_, R_, R_),
          to_y_(Product::adds_transposed, Q_, H_, n_, Q_, R_, Q_) {
        w_.W_x.topRows(H_) << map(W_xh), map(b_h).transpose();
        w_.W_h.topLeftCorner(H_, H_) = map(W_hh);
        w_.W_y.topLeftCorner(O_, H_) = map(W_hy);
        w_.b_y.topRows(O_) = map(b_y).transpose();
        x_.topRows(I_) = map(x).transpose();
        y_.topRows(O_) = map(y).transpose();
    }

    virtual ~Update() = default;

    // Returns the loss before the update.
    float update() {
        forward();
        g_.all().setZero();
        libxsmm_otrans(W_hT_.data(), w_.W_h.data(), sizeof(float), R_, R_, R_, R_);
        libxsmm_otrans(W_yT_.data(), w_.W_y.data(), sizeof(float), Q_, R_, Q_, R_);
        const float squares = backward();
        adam();
        return squares / static_cast<float>(T_ * B_ * O_);
    }

    py::dict parameters() const {
        py::dict found;
        found["W_xh"] = array(w_.W_x.topLeftCorner(H_, I_));
        found["W_hh"] = array(w_.W_h.topLeftCorner(H_, H_));
        found["b_h"] = array(w_.W_x.col(I_).head(H_).transpose()).attr("ravel")();
        found["W_hy"] = array(w_.W_y.topLeftCorner(O_, H_));
        found["b_y"] = array(w_.b_y.topRows(O_).transpose()).attr("ravel")();
        return found;
    }

  protected:
    // The state before step t.
    float* before(int t) { return h_.data() + static_cast<long>(t) * B_ * R_; }

    virtual void forward() {
        for (int t = 0; t < T_; ++t) {
            if (t % chunk_ == 0) of_x_(w_.W_x.data(), &x_(0, t * B_), before(t + 1));
            if (t > 0) of_h_(w_.W_h.data(), before(t), before(t + 1));
            auto u = h_.middleCols((t + 1) * B_, B_).array();
            u = u.tanh();
        }
    }

    // Returns the squared errors of all steps, and finds the gradients.
    virtual float backward() {
        float squares = 0.0F;
        for (int t = T_ - chunk_; t >= 0; t -= chunk_) {
            if (t + chunk_ < T_) d_.rightCols(B_) = d_.leftCols(B_);
            squares += readout(t, d_.data());
            backward(t);
        }
        return squares;
    }

    // The errors of a chunk from step t, and the gradients of the readout and of its inputs.
    float readout(int t, float* d) {
        error_ = (-y_.middleCols(t * B_, n_)).colwise() + w_.b_y.col(0);
        of_y_(w_.W_y.data(), before(t + 1), error_.data());
        const float squares = error_.squaredNorm();
        error_ *= 2.0F / static_cast<float>(T_ * B_ * O_);
        to_y_(error_.data(), before(t + 1), g_.W_y.data());
        g_.b_y += error_.rowwise().sum();
        back_y_(W_yT_.data(), error_.data(), d);
        return squares;
    }

    // The gradients of the sums before tanh in a chunk, and those of the weights of the layer.
    void backward(int t) {
        for (int s = chunk_ - 1; s >= 0; --s) {
            if (t + s + 1 < T_) of_h_(W_hT_.data(), &d_(0, (s + 1) * B_), &d_(0, s * B_));
            auto h = h_.middleCols((t + s + 1) * B_, B_).array();
            d_.middleCols(s * B_, B_).array() *= 1.0F - h.square();
        }
        to_x_(d_.data(), &x_(0, t * B_), g_.W_x.data());
        to_h_(d_.data(), before(t), g_.W_h.data());
    }

    void adam() {
        const auto& [rate, beta1, beta2, epsilon, clip_norm, norm_epsilon] = constants_;
        ++count_;
        auto g = g_.all();
        const float norm = g.matrix().norm();
        g *= std::min(1.0F, clip_norm / (norm + norm_epsilon));
        m_ += (1.0F - beta1) * (g - m_);
        v_ += (1.0F - beta2) * (g.square() - v_);
        const float of_m = rate / (1.0F - std::pow(beta1, count_));
        const float of_v = 1.0F / std::sqrt(1.0F - std::pow(beta2, count_));
        w_.all() -= of_m * m_ / (of_v * v_.sqrt() + epsilon);
    }

    int T_, B_, I_, H_, O_, chunk_, n_, R_, Q_;
    Constants constants_;
    Parameters w_, g_;
    Eigen::ArrayXf m_, v_;
    Matrix x_, y_, h_, error_, d_, W_hT_, W_yT_;
    Product of_x_, of_h_, of_y_, back_y_, to_x_, to_h_, to_y_;
    int count_ = 0;
};

// The same with the fused cell, whose input 1 stands for its bias.
class FusedUpdate : public Update {
  public:
    FusedUpdate(const Array& W_xh, const Array& W_hh, const Array& b_h, const Array& W_hy,
                const Array& b_y, const Array& x, const Array& y, const Constants& constants)
        : Update(W_xh, W_hh, b_h, W_hy, b_y, x, y, constants),
          dh_(R_, T_ * B_),
          zero_(Eigen::VectorXf::Zero(R_)),
          of_bias_(R_ / 16 + 1),
          cell_(T_, B_, I_ + 1, R_, B_, I_ + 1, R_) {
        cell_.bind(x_.data(), LIBXSMM_DNN_RNN_REGULAR_INPUT);
        cell_.bind(h_.data(), LIBXSMM_DNN_RNN_REGULAR_HIDDEN_STATE_PREV);
        cell_.bind(w_.W_x.data(), LIBXSMM_DNN_RNN_REGULAR_WEIGHT);
        cell_.bind(w_.W_h.data(), LIBXSMM_DNN_RNN_REGULAR_RECUR_WEIGHT);
        cell_.bind(W_hT_.data(), LIBXSMM_DNN_RNN_REGULAR_RECUR_WEIGHT_TRANS);
        cell_.bind(zero_.data(), LIBXSMM_DNN_RNN_REGULAR_BIAS);
        cell_.bind(before(1), LIBXSMM_DNN_RNN_REGULAR_HIDDEN_STATE);
        cell_.bind(g_.W_x.data(), LIBXSMM_DNN_RNN_GRADIENT_WEIGHT);
        cell_.bind(g_.W_h.data(), LIBXSMM_DNN_RNN_GRADIENT_RECUR_WEIGHT);
        cell_.bind(of_bias_.data()->values, LIBXSMM_DNN_RNN_GRADIENT_BIAS);
        cell_.bind(dh_.data(), LIBXSMM_DNN_RNN_GRADIENT_HIDDEN_STATE);
        // For gradients of x, which are not computed.
        cell_.bind(w_.W_x.data(), LIBXSMM_DNN_RNN_REGULAR_WEIGHT_TRANS);
        cell_.bind(x_.data(), LIBXSMM_DNN_RNN_GRADIENT_INPUT);
        cell_.prepare(LIBXSMM_DNN_COMPUTE_KIND_ALL);
    }

  private:
    void forward() override { cell_.run(LIBXSMM_DNN_COMPUTE_KIND_FWD); }

    float backward() override {
        float squares = 0.0F;
        for (int t = 0; t < T_; t += chunk_) squares += readout(t, &dh_(0, t * B_));
        cell_.run(LIBXSMM_DNN_COMPUTE_KIND_UPD);
        return squares;
    }

    struct alignas(64) Line {
        float values[16];
    };

    Matrix dh_;
    Eigen::VectorXf zero_;
    std::vector<Line> of_bias_;  // the cell writes whole lines
    FusedCell cell_;
};

void add_update(py::module_& m) {
    py::class_<Constants>(m, "Constants").def(py::init<float, float, float, float, float, float>());
    py::class_<Update>(m, "Update")
        .def(py::init<Array, Array, Array, Array, Array, Array, Array, Constants>())
        .def("update", &Update::update)
        .def("parameters", &Update::parameters);
    py::class_<FusedUpdate, Update>(m, "FusedUpdate")
        .def(py::init<Array, Array, Array, Array, Array, Array, Array, Constants>());
}
