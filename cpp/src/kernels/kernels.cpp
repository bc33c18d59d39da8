// kernels.cpp - compiled once per instruction set; exports one KernelTable and nothing else.
#include "cell.hpp"

namespace elman {
namespace ELMAN_SET {

// 2^-24 survives in a product that is not rounded before the addition: (1 + 2^-12)^2 - 1 - 2^-11.
static bool self_test() {
    alignas(64) float one[16];
    alignas(64) double two[8];
    const volatile float a = 0x1.001p0f;
    const volatile double b = 0x1.0000001p0;
    store<float>(one, fma(broadcast<float>(a), broadcast<float>(a), broadcast<float>(-0x1.002p0f)));
    store<double>(
        two, fma(broadcast<double>(b), broadcast<double>(b), broadcast<double>(-0x1.0000002p0)));
    return (one[0] == 0x1p-24f) == kFused && (two[0] == 0x1p-56) == kFused;
}

template <class Real>
static constexpr Kernels<Real> kernels() {
    Kernels<Real> k;
    k.packed_size = packed_size<Real>;
    k.pack = pack<Real>;
    k.unpack = unpack<Real>;
    k.transpose = transpose<Real>;
    k.product = product<Real>;
    k.close_stride = close_stride<Real>;
    k.unfold = unfold<Real>;
    k.cut = cut<Real>;
    k.recur = recur<Real>;
    k.apply = apply<Real>;
    k.softmax = softmax<Real>;
    k.gather = gather<Real>;
    k.scatter = scatter<Real>;
    k.differentiate = differentiate<Real>;
    k.backpropagate = backpropagate<Real>;
    k.correlate = correlate<Real>;
    k.add_columns = add_columns<Real>;
    k.square_rows = square_rows<Real>;
    return k;
}

extern const KernelTable table;
const KernelTable table = {kernels<float>(), kernels<double>(), kFused, self_test};

}  // namespace ELMAN_SET
}  // namespace elman
