// streams.cpp - samples that are not finite, one by one and in chunks: refused, skipped as a masked
// step, or computed with; and the memory of a stream.
#include <cfenv>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "elman/sequence.hpp"
#include "elman/stream.hpp"
#include "memory.hpp"

using elman::Index;
using elman::Nonfinite;
using elman::Stream;

namespace {

constexpr Index kSteps = 150;  // several chunks

template <class Real>
using Numbers = std::vector<Real>;

template <class Real>
using Shared = std::shared_ptr<const elman::Network<Real>>;

template <class Real>
std::vector<Real> bad_values() {
    using Limits = std::numeric_limits<Real>;
    return {Limits::quiet_NaN(), -Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()};
}

template <class Real>
Numbers<Real> inputs(Index count) {
    Numbers<Real> x(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>(i % 19) / 8 - 1;
    return x;
}

template <class Real>
Numbers<Real> state_of(const Stream<Real>& stream) {
    Numbers<Real> state(static_cast<std::size_t>(stream.network()->state_size()));
    stream.get_state(state.data());
    return state;
}

template <class Real>
Shared<Real> plain(Index input_size, elman::Isa isa) {
    elman::Architecture shape;
    shape.input_size = input_size;
    shape.layers = {{5, elman::Function::tanh}};
    shape.readout = elman::ReadoutShape{2, elman::Function::sigmoid};
    return random_network<Real>(shape, isa);
}

// A bad value at every place of samples of every size: all are refused, and nothing changes.
template <class Real>
void test_every_place(elman::Isa isa, const std::string& title) {
    bool refused = true, kept = true, placed = true, accepted = true;
    for (Index size = 1; size <= 40; ++size) {
        Stream<Real> stream(plain<Real>(size, isa));
        Numbers<Real> x = inputs<Real>(size), y = {7, 7};
        const Numbers<Real> before = state_of(stream);
        for (Index i = 0; i < size; ++i) {
            Real& value = x[static_cast<std::size_t>(i)];
            const Real good = value;
            for (const Real bad : bad_values<Real>()) {
                value = bad;
                refused = refused && !stream.step(x.data(), y.data());
                kept = kept && state_of(stream) == before && y == Numbers<Real>{7, 7};
                const auto [step, feature, found] = stream.refused();
                placed = placed && step == 0 && feature == i &&
                         (std::isnan(bad) ? std::isnan(found) : found == bad);
            }
            value = good;
        }
        for (const Real most : {std::numeric_limits<Real>::max(), std::numeric_limits<Real>::min(),
                                std::numeric_limits<Real>::denorm_min(), Real(0)}) {
            const Numbers<Real> positive(x.size(), most), negative(x.size(), -most);
            accepted = accepted && stream.step(positive.data(), y.data());
            accepted = accepted && stream.step(negative.data(), y.data());
        }
    }
    check(refused, title + ": a sample with NaN or infinity is refused");
    check(kept, title + ": a refused sample changes nothing");
    check(placed, title + ": the refused value is reported");
    check(accepted, title + ": every finite sample is accepted");
}

template <class Real>
void test_rounding_modes(elman::Isa isa, const std::string& title) {
    for (const int mode : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
        Stream<Real> stream(plain<Real>(21, isa));
        const Numbers<Real> x = inputs<Real>(21);
        Numbers<Real> y(2);
        std::fesetround(mode);
        const bool done = stream.step(x.data(), y.data());
        std::fesetround(FE_TONEAREST);
        check(done, title + ": a finite sample is accepted in every rounding mode");
    }
}

// What counts is the input of the first layer: (x - 0.5) / 1e-30 is infinite.
template <class Real>
void test_scaling(elman::Isa isa, const std::string& title) {
    const Real large = sizeof(Real) == 4 ? Real(1e20) : Real(1e290);
    elman::Architecture shape;
    shape.input_size = 3;
    shape.layers = {{4, elman::Function::tanh}};
    shape.input_mean = shape.input_std = true;
    elman::Parameters<Real> parameters(shape);
    initialize(parameters, elman::Uniform{}, 1990, never());
    fill(parameters, "input_std", [](Index, Index) { return 1e-30; });
    Stream<Real> stream(std::make_shared<const elman::Network<Real>>(std::move(parameters), isa));
    const Real x[] = {0, large, 0};
    Numbers<Real> y(4);
    check(!stream.step(x, y.data()), title + ": overflow in the scaling is refused");
    check(stream.refused().feature == 1 && stream.refused().value == large,
          title + ": the value is reported as it was given");
    const Real wide[] = {0, 9, large, 9, 0, 9};
    check(!stream.step(wide, 2, y.data(), 1), title + ": also in a strided sample");
    check(stream.run({wide, 0, 2}, {y.data(), 0, 1}, 3, never()) == 0 &&
              stream.refused().step == 0 && stream.refused().feature == 1,
          title + ": also in a chunk");
}

// Samples with a few bad ones: the first, two neighbours, the last of a chunk, the last of all.
template <class Real>
struct Samples {
    Index size;
    Numbers<Real> x, cleaned;
    std::vector<unsigned char> mask = std::vector<unsigned char>(kSteps, 1);

    explicit Samples(Index input_size)
        : size(input_size), x(inputs<Real>(kSteps * size)), cleaned(x) {
        std::size_t next = 0;
        for (const Index step : {Index(0), Index(2), Index(3), Index(63), Index(64), kSteps - 1}) {
            const auto at = static_cast<std::size_t>(step * size + step % size);
            x[at] = bad_values<Real>()[next++ % 4];
            cleaned[at] = 100;  // a masked step is not read
            mask[static_cast<std::size_t>(step)] = 0;
        }
    }
};

template <class Real>
struct Results {
    Numbers<Real> y, state;

    bool operator==(const Results& other) const {
        const auto same = [](const Numbers<Real>& a, const Numbers<Real>& b) {
            bool equal = a.size() == b.size();
            for (std::size_t i = 0; equal && i < a.size(); ++i)
                equal = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
            return equal;
        };
        return same(y, other.y) && same(state, other.state);
    }
};

template <class Real>
Results<Real> run_masked(const elman::Network<Real>& network, const Numbers<Real>& x,
                         const unsigned char* mask) {
    Results<Real> results{Numbers<Real>(static_cast<std::size_t>(kSteps * network.output_size())),
                          Numbers<Real>(static_cast<std::size_t>(network.state_size()))};
    elman::SequenceTask<Real> task;
    task.sequences = 1;
    task.steps = kSteps;
    task.x = {x.data(), {1}, {0}, network.input_size(), 1};
    task.output = {results.y.data(), {1}, {0}, network.output_size(), 1};
    task.final_state = results.state.data();
    task.mask = mask;
    task.hold_outputs = true;
    run_sequences(network, task, 1, never());
    return results;
}

// By steps, and by chunks of several sizes.
template <class Real>
Results<Real> streamed(const Shared<Real>& network, const Numbers<Real>& x, Nonfinite nonfinite,
                       Index chunk) {
    const Index inputs = network->input_size(), outputs = network->output_size();
    Stream<Real> original(network, nonfinite);
    Stream<Real> stream(original);  // a copy has the same policy
    Numbers<Real> y(static_cast<std::size_t>(kSteps * outputs));
    for (Index t = 0; t < kSteps; t += chunk) {
        const Real* from = x.data() + t * inputs;
        Real* to = y.data() + t * outputs;
        const Index n = std::min(chunk, kSteps - t);
        const bool done = chunk == 1
                              ? stream.step(from, to)
                              : stream.run({from, inputs, 1}, {to, outputs, 1}, n, never()) == n;
        check(done, "a stream that does not raise goes on");
    }
    return {y, state_of(stream)};
}

template <class Real>
void test_policies(const Shared<Real>& network, const std::string& title) {
    const Samples<Real> samples(network->input_size());
    const Results<Real> held = run_masked(*network, samples.cleaned, samples.mask.data());
    const Results<Real> all = run_masked<Real>(*network, samples.x, nullptr);
    for (const Index chunk : {Index(1), Index(2), Index(67), kSteps}) {
        const std::string chunks = title + ", chunks of " + std::to_string(chunk);
        check(streamed(network, samples.x, Nonfinite::hold, chunk) == held,
              chunks + ": held like a masked step");
        check(streamed(network, samples.x, Nonfinite::propagate, chunk) == all,
              chunks + ": propagated as in a sequence");
    }

    Stream<Real> stream(network);
    check(stream.nonfinite() == Nonfinite::raise, title + ": the default is to raise");
    Numbers<Real> y(static_cast<std::size_t>(kSteps * network->output_size()), Real(7));
    const Numbers<Real> untouched = y, before = state_of(stream);
    const elman::Rows<const Real> x{samples.x.data() + samples.size, samples.size, 1};
    const elman::Rows<Real> to{y.data(), network->output_size(), 1};
    check(stream.run(x, to, kSteps - 1, never()) == 0, title + ": a chunk is refused");
    check(stream.refused().step == 1 && stream.refused().feature == 2 % samples.size,
          title + ": the first bad value of a chunk is reported");
    check(y == untouched && state_of(stream) == before, title + ": before the first step");
    check(stream.run(x, to, 1, never()) == 1, title + ": a finite chunk is not");
}

// The memory of a stream is what it says, and little.
template <class Real>
void test_bytes(const Shared<Real>& network, const std::string& title) {
    const Stream<Real> original(network);
    const long before = memory::bytes();
    const Stream<Real> stream(original);  // checks nothing, so it allocates what it keeps
    const long taken = memory::bytes() - before;
    check(stream.bytes() == taken + static_cast<long>(sizeof stream),
          title + ": bytes() counts all memory of a stream");
    const Index numbers = network->input_size() + 2 * network->state_size() +
                          network->output_size() + 128;  // whole cache lines
    check(stream.bytes() < 800 + numbers * static_cast<Index>(sizeof(Real)),
          title + ": a stream keeps the memory of one step");
}

template <class Real>
void test_packed_bytes(elman::Isa isa, const std::string& title) {
    memory::watch();
    const auto network = random_network<Real>(everything(), isa);
    bool found = false;
    for (const memory::Piece& piece : memory::watched())
        found = found || (piece.start == network->arena() &&
                          static_cast<Index>(piece.size) == network->bytes());
    check(found, title + ": bytes() counts the packed weights");
}

}  // namespace

int main() {
    for_each_isa_and_dtype([](elman::Isa isa, auto zero) {
        using Real = decltype(zero);
        const std::string title = std::string(name(isa)) + " " + dtype<Real>();
        test_every_place<Real>(isa, title);
        test_rounding_modes<Real>(isa, title);
        test_scaling<Real>(isa, title);
        test_packed_bytes<Real>(isa, title);
        for (const Shared<Real>& network :
             {plain<Real>(1, isa), plain<Real>(17, isa), random_network<Real>(everything(), isa)}) {
            test_policies(network, title);
            test_bytes(network, title);
        }
    });
    return failures != 0;
}
