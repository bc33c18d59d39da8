// gradient.hpp - back-propagation: errors through a layer and through time, and what they add to
// the gradients of weights.
//
// Gradients lie in memory as the packed weights do: the vectors of rows of one column together.
#pragma once

#include "cell.hpp"

namespace elman {
namespace ELMAN_ISA {

// The address of W[row, 0] in packed panels, and the distance to W[row, 1].
template <class Real>
struct PackedRows {
    Index cols;
    EvenParts parts;

    PackedRows(Index rows, Index columns) : cols(columns), parts(vectors<Real>(rows), kPanel) {}

    // each(first_row, panel_rows, panel) for all panels, `panels` being the first one.
    template <class Pointer, class Each>
    void for_each(Pointer panels, Each each) const {
        for (Index part = 0; part < parts.count; ++part) {
            const Index first_row = parts.begin(part) * kLanes<Real>;
            const Index panel_rows = parts.size(part) * kLanes<Real>;
            each(first_row, panel_rows, panels + first_row * cols);
        }
    }
};

template <class Real>
static void unpack(const PackedMatrix<Real>& W, Real* values) {
    PackedRows<Real>(W.rows, W.cols)
        .for_each(W.panels, [&](Index first_row, Index panel_rows, const Real* panel) {
            const Index rows = W.rows - first_row < panel_rows ? W.rows - first_row : panel_rows;
            for (Index r = 0; r < rows; ++r)
                for (Index k = 0; k < W.cols; ++k)
                    values[(first_row + r) * W.cols + k] = panel[k * panel_rows + r];
        });
}

// Panel by panel of W, so that its rows are read from one place.
template <class Real>
static void transpose(const PackedMatrix<Real>& W, Real* panels) {
    const PackedRows<Real> to(W.cols, W.rows);
    PackedRows<Real>(W.rows, W.cols)
        .for_each(W.panels, [&](Index first_row, Index panel_rows, const Real* from) {
            const Index rows = W.rows - first_row < panel_rows ? W.rows - first_row : panel_rows;
            to.for_each(panels, [&](Index first_col, Index panel_cols, Real* panel) {
                const Index cols =
                    W.cols - first_col < panel_cols ? W.cols - first_col : panel_cols;
                for (Index r = 0; r < rows; ++r) {
                    Real* column = panel + (first_row + r) * panel_cols;
                    for (Index k = 0; k < cols; ++k)
                        column[k] = from[(first_col + k) * panel_rows + r];
                }
            });
        });
}

// e f'(v) in terms of y = f(v)
template <class Real>
ELMAN_INLINE Packet<Real> relu_back(Packet<Real> e, Packet<Real> y) {
    const Packet<Real> zero = broadcast<Real>(0);
    return select(less(zero, y), e, zero);
}
template <class Real>
ELMAN_INLINE Packet<Real> tanh_back(Packet<Real> e, Packet<Real> y) {  // 1 - y^2
    const Packet<Real> minus = broadcast<Real>(Real(-0.0));
    return mul(e, fma(bit_xor(y, minus), y, broadcast<Real>(1)));
}
template <class Real>
ELMAN_INLINE Packet<Real> sigmoid_back(Packet<Real> e, Packet<Real> y) {  // y - y^2
    const Packet<Real> minus = broadcast<Real>(Real(-0.0));
    return mul(e, fma(bit_xor(y, minus), y, y));
}

// Calls each(g) with g(e, y) = e f'(v) in terms of y = f(v), faded, for a fused function.
template <class Real, class Each>
ELMAN_INLINE void with_derivative(Function f, Each each) {
    using P = Packet<Real>;
    const P limit = fade_limit<Real>(true);
    const auto faded = [=](P d) ELMAN_INLINED { return fade<Real>(d, d, limit); };
    switch (f) {
        case Function::relu:
            return each([=](P e, P y) ELMAN_INLINED { return faded(relu_back<Real>(e, y)); });
        case Function::tanh:
            return each([=](P e, P y) ELMAN_INLINED { return faded(tanh_back<Real>(e, y)); });
        case Function::sigmoid:
            return each([=](P e, P y) ELMAN_INLINED { return faded(sigmoid_back<Real>(e, y)); });
        default:
            return each([=](P e, P) ELMAN_INLINED { return faded(e); });
    }
}

// The values where an activation begins and ceases to be clipped: nothing, if it never is.
template <class Real>
struct Ends {
    Packet<Real> lower, upper;
    explicit Ends(const Activation& f)
        : lower(broadcast<Real>(-Constants<Real>::infinity)),
          upper(broadcast<Real>(Constants<Real>::infinity)) {
        if (f.clip > DBL_MAX) return;
        const Packet<Real> limit = broadcast<Real>(static_cast<Real>(f.clip));
        with_activation<Real>(f, [&](auto function) ELMAN_INLINED {
            const Packet<Real> a = function(bit_xor(limit, broadcast<Real>(Real(-0.0))));
            const Packet<Real> b = function(limit);
            lower = select(less(b, a), b, a);
            upper = select(less(b, a), a, b);
        });
    }
};

// The same for any activation but softmax, which is trainable and so rises or falls everywhere.
// Where it is clipped the derivative is 0.
template <class Real, class Each>
ELMAN_INLINE void with_general_derivative(const Activation& f, Each each) {
    using P = Packet<Real>;
    const Real alpha_value = static_cast<Real>(f.alpha), beta_value = static_cast<Real>(f.beta);
    const P alpha = broadcast<Real>(alpha_value);
    const P zero = broadcast<Real>(0), one = broadcast<Real>(1);
    const P minus = broadcast<Real>(Real(-0.0));
    const P limit = fade_limit<Real>(true);
    const Ends<Real> ends(f);
    const auto inside = [&](auto derivative) ELMAN_INLINED {
        each([=](P e, P y) ELMAN_INLINED {
            const P below_upper = select(less(y, ends.upper), derivative(e, y), zero);
            const P d = select(less(ends.lower, y), below_upper, zero);
            return fade<Real>(d, d, limit);
        });
    };
    switch (f.function) {
        case Function::relu:
        case Function::thresholded_relu:
            return inside([](P e, P y) ELMAN_INLINED { return relu_back<Real>(e, y); });
        case Function::tanh:
            return inside([](P e, P y) ELMAN_INLINED { return tanh_back<Real>(e, y); });
        case Function::sigmoid:
            return inside([](P e, P y) ELMAN_INLINED { return sigmoid_back<Real>(e, y); });
        case Function::leaky_relu:
            return inside([=](P e, P y)
                              ELMAN_INLINED { return select(less(zero, y), e, mul(e, alpha)); });
        case Function::elu:  // alpha e^v
            return inside([=](P e, P y) ELMAN_INLINED {
                return select(less(zero, y), e, mul(e, add(y, alpha)));
            });
        case Function::hard_sigmoid:
            return inside([=](P e, P y) ELMAN_INLINED {
                const P below_one = select(less(y, one), mul(e, alpha), zero);
                return select(less(zero, y), below_one, zero);
            });
        case Function::softsign:  // (1 - |y|)^2
            return inside([=](P e, P y) ELMAN_INLINED {
                const P rest = sub(one, abs(y));
                return mul(e, mul(rest, rest));
            });
        case Function::softplus:  // sigmoid(v) = 1 - e^-y
            return inside([=](P e, P y) ELMAN_INLINED {
                return mul(bit_xor(e, minus), expm1<Real>(bit_xor(y, minus)));
            });
        case Function::scaled_tanh: {  // alpha beta (1 - (y / alpha)^2)
            const P slope = broadcast<Real>(alpha_value * beta_value);
            const P divisor = broadcast<Real>(alpha_value == 0 ? Real(1) : alpha_value);
            return inside([=](P e, P y) ELMAN_INLINED {
                return tanh_back<Real>(mul(e, slope), div(y, divisor));
            });
        }
        case Function::affine:
            return inside([=](P e, P) ELMAN_INLINED { return mul(e, alpha); });
        default:
            return inside([](P e, P) ELMAN_INLINED { return e; });
    }
}

// e = y (e - sum(e y)); the padding of e is zero
template <class Real>
static void softmax_back(Columns<const Real> y, Columns<Real> e, Index rows, Index count) {
    for (Index n = 0; n < count; ++n) {
        const Real* p = y.data + n * y.stride;
        Real* d = e.data + n * e.stride;
        for (Index i = 0; i < rows; ++i) d[i] *= p[i];
        const Real total = sum_of_rows(d, rows);
        for (Index i = 0; i < rows; ++i) d[i] -= p[i] * total;
    }
}

template <class Real>
static void differentiate(Elementwise f, Columns<const Real> y, Columns<Real> e, Index rows,
                          Index count) {
    constexpr int lanes = kLanes<Real>;
    const Index whole = vectors<Real>(rows) * lanes;
    const auto each = [&](auto function) ELMAN_INLINED {
        for (Index n = 0; n < count; ++n)
            for (Index i = 0; i < whole; i += lanes) {
                Real* d = e.data + n * e.stride + i;
                store<Real>(d, function(load<Real>(d), load<Real>(y.data + n * y.stride + i)));
            }
    };
    if (!f.general) return with_derivative<Real>(f.function, each);
    if (f.general->function == Function::softmax) return softmax_back<Real>(y, e, rows, count);
    with_general_derivative<Real>(*f.general, each);
}

// d_t = f'(h_t) (e_t + W d_(t+1)) for one column and one panel.
template <class Real, int V>
static void one_panel_back(const PackedMatrix<Real>& W, const Real* h, const Real* after, Real* d,
                           Function f) {
    Packet<Real> v[V], y[V];
    load<Real>(d, v);
    accumulate<Real>(W.panels, W.cols, W.partial_sums, after, v);
    load<Real>(h, y);
    with_derivative<Real>(f, [&](auto function) ELMAN_INLINED {
        ELMAN_EACH (i, V) v[i] = function(v[i], y[i]);
    });
    store<Real>(d, v);
}

template <class Real>
static void backpropagate(const PackedMatrix<Real>& W, Slots<const Real> h, Slots<Real> d,
                          Index count, Index steps, Elementwise f) {
    const Index size = vectors<Real>(W.rows);
    const EvenParts panels(size, kPanel);
    for (Index t = steps - 1; t >= 0; --t) {
        Real* now = d.data + t * d.step;
        const Real* after = now + d.step;
        const Real* states = h.data + t * h.step;
        if (count == 1 && size <= kPanel && !f.general) {
            constexpr decltype(&one_panel_back<Real, 1>) functions[kPanel] = {
                one_panel_back<Real, 1>, one_panel_back<Real, 2>, one_panel_back<Real, 3>,
                one_panel_back<Real, 4>};
            functions[size - 1](W, states, after, now, f.function);
            continue;
        }
        const Elementwise nothing{Function::identity, false};
        if (count == 1)
            affine_column<Real>(W, panels, now, after, now, nothing, t % 2 != 0);
        else
            affine_columns<Real>(W, panels, {now, d.stride}, {after, d.stride}, {now, d.stride},
                                 count, nothing);
        differentiate<Real>(f, {states, h.stride}, {now, d.stride}, W.rows, count);
    }
}

// G = G + sum of d x^T for a panel of V vectors and N columns of G, in registers.
template <class Real, int V, int N>
static void correlate_tile(Real* G, Slots<const Real> d, Slots<const Real> x, Index count,
                           Index steps) {
    constexpr int lanes = kLanes<Real>;
    Packet<Real> sum[N * V];
    load<Real>(G, sum);
    for (Index t = steps - 1; t >= 0; --t) {
        const Real* errors = d.data + t * d.step;
        const Real* inputs = x.data + t * x.step;
        for (Index n = 0; n < count; ++n, errors += d.stride, inputs += x.stride) {
            Packet<Real> error[V];
            ELMAN_EACH (v, V) error[v] = load<Real>(errors + v * lanes);
            ELMAN_EACH (k, N) {
                const Packet<Real> input = broadcast<Real>(inputs[k]);
                ELMAN_EACH (v, V) sum[k * V + v] = fma(error[v], input, sum[k * V + v]);
            }
        }
    }
    store<Real>(G, sum);
}

template <class Real>
using CorrelateTile = void (*)(Real* G, Slots<const Real> d, Slots<const Real> x, Index count,
                               Index steps);

// By the number of columns of G, which fill the registers: kAccumulators / V at most.
template <class Real, int V>
struct CorrelateTiles {
    static constexpr int kMost = kAccumulators / V;
    CorrelateTile<Real> of[kMost + 1];

    constexpr CorrelateTiles() : of{} { fill<kMost>(); }

  private:
    template <int N>
    constexpr void fill() {
        of[N] = correlate_tile<Real, V, N>;
        if constexpr (N > 1) fill<N - 1>();
    }
};

template <class Real, int V>
static void correlate_panel(Real* G, Index cols, Slots<const Real> d, Slots<const Real> x,
                            Index count, Index steps) {
    static constexpr CorrelateTiles<Real, V> tiles;
    const EvenParts groups(cols, tiles.kMost);
    for (Index group = 0; group < groups.count; ++group) {
        const int size = groups.size(group);
        tiles.of[size](G, d, x, count, steps);
        G += size * V * kLanes<Real>;
        x.data += size;
    }
}

// So many columns at a time that a panel of errors stays in the nearest cache.
template <class Real>
static void correlate(const PackedMatrix<Real>& W, Real* G, Slots<const Real> d,
                      Slots<const Real> x, Index count, Index steps) {
    constexpr Index kColumns = 128;
    constexpr decltype(&correlate_panel<Real, 1>) functions[kPanel] = {
        correlate_panel<Real, 1>, correlate_panel<Real, 2>, correlate_panel<Real, 3>,
        correlate_panel<Real, 4>};
    const Index at_once = count < kColumns ? kColumns / count : 1;
    const PackedRows<Real> rows(W.rows, W.cols);
    for (Index last = steps; last > 0; last -= at_once) {
        const Index some = last < at_once ? last : at_once;
        const Index first = last - some;
        rows.for_each(G, [&](Index row, Index panel_rows, Real* panel) {
            functions[panel_rows / kLanes<Real> - 1](
                panel, W.cols, {d.data + first * d.step + row, d.stride, d.step},
                {x.data + first * x.step, x.stride, x.step}, count, some);
        });
    }
}

// g = g + sum of d for V vectors.
template <class Real, int V>
static void add_vectors(Real* g, Slots<const Real> d, Index count, Index steps) {
    Packet<Real> sum[V], error[V];
    load<Real>(g, sum);
    for (Index t = steps - 1; t >= 0; --t) {
        const Real* errors = d.data + t * d.step;
        for (Index n = 0; n < count; ++n, errors += d.stride) {
            load<Real>(errors, error);
            ELMAN_EACH (v, V) sum[v] = add(sum[v], error[v]);
        }
    }
    store<Real>(g, sum);
}

template <class Real>
static void add_columns(Real* g, Slots<const Real> d, Index rows, Index count, Index steps) {
    constexpr decltype(&add_vectors<Real, 1>) functions[kPanel] = {
        add_vectors<Real, 1>, add_vectors<Real, 2>, add_vectors<Real, 3>, add_vectors<Real, 4>};
    const EvenParts parts(vectors<Real>(rows), kPanel);
    for (Index part = 0; part < parts.count; ++part) {
        const Index first = parts.begin(part) * kLanes<Real>;
        functions[parts.size(part) - 1](g + first, {d.data + first, d.stride, d.step}, count,
                                        steps);
    }
}

// For each row of W the sum of G[row, k]^2 over k in order.
template <class Real>
static void square_rows(const PackedMatrix<Real>& W, const Real* G, Real* sums) {
    constexpr int lanes = kLanes<Real>;
    PackedRows<Real>(W.rows, W.cols)
        .for_each(G, [&](Index first_row, Index panel_rows, const Real* panel) {
            for (Index v = 0; v < panel_rows; v += lanes) {
                Packet<Real> sum = broadcast<Real>(0);
                for (Index k = 0; k < W.cols; ++k) {
                    const Packet<Real> g = load<Real>(panel + k * panel_rows + v);
                    sum = fma(g, g, sum);
                }
                store<Real>(sums + first_row + v, sum);
            }
        });
}

}  // namespace ELMAN_ISA
}  // namespace elman
