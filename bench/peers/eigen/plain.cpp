// plain.cpp - a straightforward Elman network with Eigen and pybind11.
//
//   h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h),   y_t = sigmoid(W_hy h_t + b_y)
//
// A column is one step of one sequence: rows of NumPy arrays are columns here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <Eigen/Core>
#include <array>
#include <vector>

namespace py = pybind11;

template <class Real>
class Network {
  public:
    using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
    using Vector = Eigen::Matrix<Real, Eigen::Dynamic, 1>;
    using Columns = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;
    using Array = py::array_t<Real, py::array::c_style | py::array::forcecast>;

    Network(const py::list& layers, const Array& W_hy, const Array& b_y, bool sigmoid)
        : W_hy_(matrix(W_hy)), b_y_(vector(b_y)), sigmoid_(sigmoid) {
        for (const py::handle& layer : layers) {
            const auto [W_xh, W_hh, b_h, h_0] = py::cast<std::array<Array, 4>>(layer);
            const Vector h = vector(h_0);
            layers_.push_back({matrix(W_xh), matrix(W_hh), vector(b_h), h, h, h});
        }
    }

    Array step(const Array& x) {
        Eigen::Map<const Vector> below(x.data(), x.size());
        for (Layer& layer : layers_) {
            layer.u = layer.b_h;
            layer.u.noalias() += layer.W_xh * below;
            layer.u.noalias() += layer.W_hh * layer.h;
            layer.h = layer.u.array().tanh();
            new (&below) Eigen::Map<const Vector>(layer.h.data(), layer.h.size());
        }
        Array y(b_y_.size());
        Eigen::Map<Vector> out(y.mutable_data(), b_y_.size());
        out = b_y_;
        out.noalias() += W_hy_ * below;
        squash(out);
        return y;
    }

    // x (T, I) or (B, T, I): layer by layer, with one input product for all steps.
    Array run(const Array& x) const {
        const Eigen::Index T = x.shape(x.ndim() - 2), B = x.ndim() == 3 ? x.shape(0) : 1;
        std::vector<py::ssize_t> shape(x.shape(), x.shape() + x.ndim());
        shape.back() = b_y_.size();
        Array y(shape);

        Matrix below = Eigen::Map<const Matrix>(x.data(), x.shape(x.ndim() - 1), B * T);
        for (const Layer& layer : layers_) {
            Matrix h(layer.b_h.size(), B * T);
            h.noalias() = layer.W_xh * below;
            h.colwise() += layer.b_h;
            B == 1 ? recur(layer, h) : recur(layer, h, B, T);
            below.swap(h);
        }
        Eigen::Map<Matrix> out(y.mutable_data(), b_y_.size(), B * T);
        out.noalias() = W_hy_ * below;
        out.colwise() += b_y_;
        squash(out);
        return y;
    }

  private:
    struct Layer {
        Matrix W_xh, W_hh;
        Vector b_h, h_0, h, u;
    };

    static Matrix matrix(const Array& a) {
        return Eigen::Map<const Matrix>(a.data(), a.shape(1), a.shape(0)).transpose();
    }

    static Vector vector(const Array& a) { return Eigen::Map<const Vector>(a.data(), a.size()); }

    // One sequence: column t of h becomes the state after step t.
    static void recur(const Layer& layer, Matrix& h) {
        Vector state = layer.h_0;
        for (Eigen::Index t = 0; t < h.cols(); ++t) {
            h.col(t).noalias() += layer.W_hh * state;
            state = h.col(t).array().tanh();
            h.col(t) = state;
        }
    }

    // B sequences: step t of sequence b is column b * T + t.
    static void recur(const Layer& layer, Matrix& h, Eigen::Index B, Eigen::Index T) {
        const Eigen::Index H = h.rows();
        Matrix state = layer.h_0.replicate(1, B);
        for (Eigen::Index t = 0; t < T; ++t) {
            Columns u(h.data() + t * H, H, B, Eigen::OuterStride<>(T * H));
            u.noalias() += layer.W_hh * state;
            state = u.array().tanh();
            u = state;
        }
    }

    template <class Values>
    void squash(Values& y) const {
        if (sigmoid_) y = (Real(1) + (-y.array()).exp()).inverse();
    }

    std::vector<Layer> layers_;
    Matrix W_hy_;
    Vector b_y_;
    bool sigmoid_;
};

template <class Real>
void bind(py::module_& m, const char* name) {
    using N = Network<Real>;
    py::class_<N>(m, name)
        .def(py::init<py::list, typename N::Array, typename N::Array, bool>())
        .def("step", &N::step)
        .def("run", &N::run);
}

PYBIND11_MODULE(plain, m) {
    bind<float>(m, "Float32");
    bind<double>(m, "Float64");
}
