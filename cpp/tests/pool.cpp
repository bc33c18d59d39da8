// pool.cpp - a pool allocates nothing after its first step of a kind, a row has the bits of a
// stream, and a stopped or refused call advances no row.
#include "elman/pool.hpp"

#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "check.hpp"
#include "memory.hpp"

using elman::Index;
using elman::PoolRows;
using elman::StreamPool;

namespace {

constexpr Index kRows = 200;  // several blocks

template <class Real>
using Numbers = std::vector<Real>;

template <class Real>
Numbers<Real> numbers(Index count) {
    Numbers<Real> x(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>(i % 19) / 8 - 1;
    return x;
}

// Every third row, from the last to the first.
std::vector<Index> some_rows() {
    std::vector<Index> rows;
    for (Index row = kRows - 1; row >= 0; row -= 3) rows.push_back(row);
    return rows;
}

template <class Real>
struct Calls {
    explicit Calls(const elman::Network<Real>& network)
        : inputs(network.input_size()),
          outputs(network.output_size()),
          x(numbers<Real>(kRows * inputs)),
          y(static_cast<std::size_t>(kRows * outputs)) {}

    bool step(StreamPool<Real>& pool, PoolRows of_rows, elman::Pause& pause, Index threads = 1) {
        return pool.step({x.data(), inputs, 1}, {y.data(), outputs, 1}, of_rows, threads, pause);
    }

    const Index inputs, outputs;
    Numbers<Real> x, y;
};

template <class Real>
Numbers<Real> states_of(StreamPool<Real>& pool) {
    Numbers<Real> states(static_cast<std::size_t>(pool.size() * pool.network()->state_size()));
    pool.get_state(states.data(), {}, never());
    return states;
}

template <class Real>
void test_allocations(const std::shared_ptr<const elman::Network<Real>>& network,
                      const std::string& title) {
    StreamPool<Real> pool(network, kRows);
    Calls<Real> calls(*network);
    const std::vector<Index> rows = some_rows();
    bool done = true;
    const long before = memory::allocations();
    for (int t = 0; t < 100; ++t) {
        elman::Pause pause;
        done = calls.step(pool, {}, pause) && done;
        done = calls.step(pool, {rows.data(), Index(rows.size())}, pause) && done;
        pool.reset({rows.data(), 5}, never());
    }
    const long allocations = memory::allocations() - before;
    check(allocations == 0, title + ": steps and resets allocate nothing");
    check(done, title + ": all steps are done");
}

template <class Real>
void test_bits(const std::shared_ptr<const elman::Network<Real>>& network,
               const std::string& title) {
    StreamPool<Real> pool(network, kRows);
    std::vector<std::unique_ptr<elman::Stream<Real>>> streams;
    for (Index i = 0; i < kRows; ++i)
        streams.push_back(std::make_unique<elman::Stream<Real>>(network));
    Calls<Real> calls(*network);
    std::vector<Index> all(kRows), some = some_rows();
    std::iota(all.begin(), all.end(), 0);
    bool same = true;
    for (const std::vector<Index>& rows : {all, some, some, all}) {
        const bool done = calls.step(pool, {rows.data(), Index(rows.size())}, never());
        Numbers<Real> y(static_cast<std::size_t>(calls.outputs));
        for (std::size_t i = 0; i < rows.size(); ++i) {
            elman::Stream<Real>& stream = *streams[static_cast<std::size_t>(rows[i])];
            const auto n = static_cast<Index>(i);
            same = stream.step(calls.x.data() + n * calls.inputs, y.data()) && done && same &&
                   std::equal(y.begin(), y.end(), calls.y.begin() + n * calls.outputs);
        }
    }
    check(same, title + ": a row has the bits of a stream");
}

template <class Real>
void test_atomic(const std::shared_ptr<const elman::Network<Real>>& network,
                 const std::string& title) {
    StreamPool<Real> pool(network, kRows);
    Calls<Real> calls(*network);
    const std::vector<Index> rows = some_rows();
    const Numbers<Real> given(static_cast<std::size_t>(kRows * network->state_size()), Real(1));
    for (const PoolRows& of_rows : {PoolRows(), PoolRows(rows.data(), Index(rows.size()))}) {
        check(calls.step(pool, of_rows, never()), title + ": a step is done");
        const Numbers<Real> before = states_of(pool);
        elman::Pause stopped([] { return false; });
        while (!stopped.stopped()) stopped.look();
        check(!calls.step(pool, of_rows, stopped) && states_of(pool) == before,
              title + ": a stopped step advances no row");
        pool.set_state(given.data(), of_rows, stopped);
        pool.reset(of_rows, stopped);
        check(states_of(pool) == before, title + ": a stopped call sets no state");
        Real& last = calls.x[rows.size() * static_cast<std::size_t>(calls.inputs) - 1];
        const Real good = std::exchange(last, std::numeric_limits<Real>::infinity());
        const Numbers<Real> y = calls.y;
        check(!calls.step(pool, of_rows, never()) && states_of(pool) == before && calls.y == y,
              title + ": a refused step changes nothing");
        last = good;
        check(pool.refused().i == Index(rows.size()) - 1 &&
                  pool.refused().row == of_rows.row(pool.refused().i) &&
                  pool.refused().feature == calls.inputs - 1,
              title + ": the refused value is reported");
    }
}

template <class Real>
void test_refused_rows(const std::shared_ptr<const elman::Network<Real>>& network,
                       const std::string& title) {
    StreamPool<Real> pool(network, kRows);
    Calls<Real> calls(*network);
    const Numbers<Real> before = states_of(pool);
    for (const std::vector<Index>& rows :
         {std::vector<Index>{0, kRows}, {-1}, {3, 4, 3}, std::vector<Index>(kRows + 1)}) {
        bool refused = false;
        try {
            (void)calls.step(pool, {rows.data(), Index(rows.size())}, never());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        check(refused && states_of(pool) == before, title + ": wrong rows are refused");
    }
}

}  // namespace

int main() {
    for_each_isa_and_dtype([](elman::Isa isa, auto zero) {
        using Real = decltype(zero);
        const auto network = random_network<Real>(everything(), isa);
        const std::string title = std::string(name(isa)) + " " + dtype<Real>();
        test_allocations<Real>(network, title);
        test_bits<Real>(network, title);
        test_atomic<Real>(network, title);
        test_refused_rows<Real>(network, title);
    });
    return failures != 0;
}
