#include "threads.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#if defined(ELMAN_THREADS)
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>
#endif

namespace elman {
namespace {

// Starting and ending a thread takes 20 to 40 us, the time of 0.2 to 2 million multiply-adds. Four
// times that, since small steps share badly: with 2^21, updates of 64 units took 1.4 to 1.8 times
// as long on two threads of a Zen 5.
constexpr Index kWorkOfEach = Index(1) << 23;

std::atomic<Index>& most() {
    static std::atomic<Index> value{default_thread_limits().most};
    return value;
}

std::atomic<Index>& work_of_each() {
    static std::atomic<Index> value{default_thread_limits().work_of_each};
    return value;
}

}  // namespace

ThreadLimits thread_limits() {
    return {most(), work_of_each()};
}

void set_thread_limits(ThreadLimits limits) {
    most() = std::max<Index>(1, limits.most);
    work_of_each() = std::max<Index>(1, limits.work_of_each);
}

Index useful_threads(Index wanted, Index shares, Index work) {
    if (wanted <= 1) return 1;
    const Index busy = std::min(shares, work / work_of_each());
    return std::max<Index>(1, std::min({wanted, busy, most().load()}));
}

#if defined(ELMAN_THREADS)

ThreadLimits default_thread_limits() {
    return {std::max<Index>(1, std::thread::hardware_concurrency()), kWorkOfEach};
}

namespace {

using Lock = std::unique_lock<std::mutex>;

// Long enough for a thread that is about to finish, and for one whose part of a step of 1024 units
// takes a little longer (with 5 us: 1.1 times as long); negligible in a call that justifies a
// thread: waking one takes 5 us and more.
constexpr std::chrono::microseconds kSpin{20};
// The sleep of a waiting thread between two polls.
constexpr std::chrono::milliseconds kNap{10};

// Tells the processor that this thread only waits.
void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

template <class Done>
bool spin_until(Done done) {
    using Clock = std::chrono::steady_clock;
    for (Clock::time_point end{};;) {
        for (int i = 0; i < 16; ++i) {
            if (done()) return true;
            relax();
        }
        const Clock::time_point now = Clock::now();  // slower than most waits, so not read before
        if (end == Clock::time_point{}) end = now + kSpin;
        if (now >= end) return false;
    }
}

}  // namespace

// The calling thread opens a round by raising `round`; each thread with a part runs it and
// decrements `left`.
struct Team::Shared {
    std::mutex mutex;
    std::condition_variable opened;  // a round opened, or the end
    std::condition_variable closed;  // the round is complete
    std::atomic<Index> round{0};
    std::atomic<Index> left{0};  // threads still running their part
    bool ending = false;
    Index count = 0;
    const std::function<void(Index)>* work = nullptr;
    std::exception_ptr failure;  // the first exception
    std::vector<std::thread> threads;

    ~Shared() {
        {
            const Lock lock(mutex);
            ending = true;
        }
        opened.notify_all();
        for (std::thread& thread : threads) thread.join();
    }

    void start(Index wanted) {
        try {
            threads.reserve(static_cast<std::size_t>(wanted));
            for (Index i = 1; i <= wanted; ++i) threads.emplace_back([this, i] { serve(i); });
        } catch (const std::system_error&) {  // no more threads available
        } catch (const std::bad_alloc&) {     // no memory for them
        }
    }

    // The main function of thread `index`.
    void serve(Index index) noexcept {
        for (Index done = 0;;) {
            spin_until([&] { return round.load(std::memory_order_relaxed) != done; });
            Lock lock(mutex);
            opened.wait(lock, [&] { return ending || round != done; });
            if (round == done) return;
            done = round;  // a thread without a part may have missed rounds
            if (index >= count) continue;
            lock.unlock();
            do_part(index);
            lock.lock();
            if (--left == 0) closed.notify_one();
            if (ending) return;
        }
    }

    void do_part(Index index) noexcept {
        try {
            (*work)(index);
        } catch (...) {
            const Lock lock(mutex);
            if (!failure) failure = std::current_exception();
        }
    }

    void open(Index parts, const std::function<void(Index)>& of_part, bool last) {
        {
            const Lock lock(mutex);
            count = parts;
            work = &of_part;
            left = parts - 1;
            ending = last;
            ++round;
        }
        opened.notify_all();
    }

    void wait_for_the_others(Pause& pause) {
        pause.look();  // even if the others did all the work
        spin_until([&] { return left.load(std::memory_order_relaxed) == 0; });
        Lock lock(mutex);
        while (!closed.wait_for(lock, kNap, [&] { return left == 0; })) {
            lock.unlock();
            pause.look();
            lock.lock();
        }
    }
};

Team::Team(Index wanted) {
    if (wanted <= 1) return;
    shared_ = std::make_unique<Shared>();
    shared_->start(wanted - 1);
}

Team::~Team() = default;

Index Team::size() const {
    return shared_ ? static_cast<Index>(shared_->threads.size()) + 1 : 1;
}

void Team::run(Index count, const std::function<void(Index)>& work, Pause& pause, bool last) {
    if (count <= 1 || !shared_) return work(0);
    shared_->open(count, work, last);
    shared_->do_part(0);
    shared_->wait_for_the_others(pause);
    if (shared_->failure) std::rethrow_exception(std::exchange(shared_->failure, nullptr));
}

// On a cache line of its own, since waiting threads poll it. A thread increments `sleepers` before
// it reads the count for the last time, and a thread that raises the count reads `sleepers`
// afterwards. These operations are sequentially consistent, so at least one of the two sees the
// other and no sleeper is missed.
struct alignas(64) Counter::Shared {
    std::atomic<Index> count{0};
    std::atomic<int> sleepers{0};
    std::mutex mutex;
    std::condition_variable raised;
};

Counter::Counter() : shared_(std::make_unique<Shared>()) {}
Counter::~Counter() = default;

Index Counter::reached() const {
    return shared_->count.load(std::memory_order_acquire);
}

bool Counter::raise_to(Index count) {
    shared_->count.store(count);
    if (shared_->sleepers.load() == 0) return false;
    {
        const Lock lock(shared_->mutex);
    }  // the sleeper is inside wait_for
    shared_->raised.notify_all();
    return true;
}

bool Counter::spin_for(Index count) const {
    return spin_until([&] { return reached() >= count; });
}

bool Counter::wait_for(Index count, Poll& poll) {
    if (spin_for(count)) return true;
    ++shared_->sleepers;
    bool there = false;
    for (Lock lock(shared_->mutex);;) {
        there = shared_->raised.wait_for(lock, kNap, [&] { return shared_->count >= count; });
        if (there) break;
        lock.unlock();
        if (!poll.wait_on()) break;
        lock.lock();
    }
    --shared_->sleepers;
    return there;
}

#else

ThreadLimits default_thread_limits() {
    return {1, kWorkOfEach};
}

struct Team::Shared {};

Team::Team(Index) {}
Team::~Team() = default;

Index Team::size() const {
    return 1;
}

void Team::run(Index, const std::function<void(Index)>& work, Pause&, bool) {
    work(0);
}

struct Counter::Shared {
    Index count = 0;
};

Counter::Counter() : shared_(std::make_unique<Shared>()) {}
Counter::~Counter() = default;

Index Counter::reached() const {
    return shared_->count;
}

bool Counter::raise_to(Index count) {
    shared_->count = count;
    return false;
}

bool Counter::spin_for(Index count) const {
    return shared_->count >= count;
}

bool Counter::wait_for(Index count, Poll&) {
    return spin_for(count);
}

#endif

}  // namespace elman
