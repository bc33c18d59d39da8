// pool.cpp - elman.StreamPool. As in stream.cpp, step is a METH_FASTCALL method descriptor.
#include "elman/pool.hpp"

#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "network.hpp"
#include "rows.hpp"
#include "streams.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

struct AnyPool {
    std::variant<StreamPool<float>, StreamPool<double>> pool;
    py::object network;       // the elman.Network
    std::vector<Index> rows;  // of the call in progress

    // Without the interpreter's lock, so the network is set afterwards.
    template <class Real>
    AnyPool(const SharedNetwork<Real>& core, Index size, Nonfinite nonfinite, Pause& pause)
        : pool(std::in_place_type<StreamPool<Real>>, core, size, nonfinite, pause) {}
    template <class Real>
    AnyPool(StreamPool<Real>& of, PoolRows of_rows, Pause& pause)
        : pool(std::in_place_type<StreamPool<Real>>, of, of_rows, pause) {}
};

template <class Action>
auto with_pool(AnyPool& any, Action action) {
    return std::visit([&](auto& pool) { return action(pool); }, any.pool);
}

// Calls action(pool, rows) with the pool taken.
template <class Action>
auto with_rows(AnyPool& any, py::handle given, Action action) {
    const ChosenRows chosen(given);
    return with_pool(any, [&](auto& pool) {
        const TakenObject taken(pool.busy(), "pool");
        return action(pool, chosen.in(pool.size(), any.rows));
    });
}

template <class Real>
Index count_of(const StreamPool<Real>& pool, const PoolRows& rows) {
    return rows.all ? pool.size() : rows.count;
}

// The work of copying or writing the states of `count` rows.
template <class Real>
Index copy_work(const Network<Real>& network, Index count) {
    return work_of(count, work_of(network.state_size(), 2 * kNumberWork));
}

// For what only changes while the interpreter's lock is held: sizes and the network.
template <class Action>
auto look_at(AnyPool& any, Action action) {
    return with_pool(any, [&](auto& pool) {
#ifdef Py_GIL_DISABLED
        const TakenObject taken(pool.busy(), "pool");
#endif
        return action(pool);
    });
}

Index threads_from(PyObject* given) {
    if (PyLong_CheckExact(given))
        if (const Py_ssize_t threads = PyLong_AsSsize_t(given); threads >= 1) return threads;
    PyErr_Clear();
    const py::object size = py::module_::import("elman._arguments").attr("size");
    return py::cast<Index>(size("threads", py::handle(given)));
}

// The rows of a call for `count` of them. Another thread may have changed the mask.
template <class Real>
PoolRows rows_for(AnyPool& any, const StreamPool<Real>& pool, const ChosenRows& chosen,
                  Index count) {
    const PoolRows rows = chosen.in(pool.size(), any.rows);
    if (count_of(pool, rows) != count)
        throw ArgumentError("rows: the mask changed during the call");
    return rows;
}

template <class Real>
void check_unchanged(const py::array& array, const char* argument) {
    if (!can_use<Real>(NumpyTypes::get(), array.ptr(), kReadable))
        throw ArgumentError(std::string(argument) + ": the array changed during the call");
}

// A KeyboardInterrupt, or what else a handler has raised, says that the pool has not advanced.
void finish_polled(Polled& polled, const char* method) {
    try {
        polled.finish();
    } catch (py::error_already_set& error) {
        error.value().attr("add_note")(std::string("StreamPool.") + method +
                                       ": interrupted; no row has advanced");
        throw;
    }
}

// --- step ---

struct StepCall {
    PyObject* x = nullptr;
    PyObject* out = Py_None;
    PyObject* rows = Py_None;
    Index threads = 1;
};

// An array (m, size) as rows.
template <class Real>
inline Rows<Real> rows_of(PyObject* object) {
    const auto* array = py::detail::array_proxy(object);
    constexpr Index bytes = sizeof(Real);
    return {reinterpret_cast<Real*>(array->data), array->strides[0] / bytes,
            array->strides[1] / bytes};
}

// Whether an object is an array (count, size) that can be used in place.
template <class Real>
inline bool is_matrix(const NumpyTypes& numpy, PyObject* object, Index count, Index size,
                      int flags) {
    const auto* array = py::detail::array_proxy(object);
    return can_use<Real>(numpy, object, flags) && array->nd == 2 && array->dimensions[0] == count &&
           array->dimensions[1] == size;
}

// The first address of the numbers of a view (count, size), and the one behind its last number.
template <class Real>
[[gnu::always_inline]] inline std::pair<const Real*, const Real*> extent(Rows<Real> view,
                                                                         Index count, Index size) {
    const Index down = (count - 1) * view.step_stride, right = (size - 1) * view.stride;
    return {view.data + std::min<Index>(down, 0) + std::min<Index>(right, 0),
            view.data + std::max<Index>(down, 0) + std::max<Index>(right, 0) + 1};
}

// Whether y may be written while x is read: it is x, or apart from it.
template <class Real>
[[gnu::always_inline]] inline bool are_apart(Rows<const Real> x, Rows<Real> y, Index count,
                                             Index inputs, Index outputs) {
    if (count == 0) return true;
    if (x.data == y.data && inputs == outputs && (count == 1 || x.step_stride == y.step_stride) &&
        (inputs == 1 || x.stride == y.stride))
        return true;
    const auto [x_first, x_last] = extent(x, count, inputs);
    const auto [y_first, y_last] = extent(y, count, outputs);
    return x_last <= y_first || y_last <= x_first;
}

template <class Real>
[[noreturn]] void raise_refused_row(const StreamPool<Real>& pool, const char* argument,
                                    bool is_chunk, py::handle array) {
    const auto& [i, row, step, feature, rounded] = pool.refused();
    const py::object index = is_chunk ? py::object(py::make_tuple(i, step, feature))
                                      : py::object(py::make_tuple(i, feature));
    const std::string place = "row " + std::to_string(row) +
                              (is_chunk ? ", step " + std::to_string(step) : "") + ", feature " +
                              std::to_string(feature);
    raise_nonfinite(array, argument, index, rounded, place, "net.streams");
}

// The core's step; false for a refused sample. A long one releases the interpreter's lock.
template <class Real>
bool step_of(StreamPool<Real>& pool, const py::object& x, const py::object& y, PoolRows rows,
             Index count, Index threads) {
    const Rows<const Real> from = rows_of<const Real>(x.ptr());
    const Rows<Real> to = rows_of<Real>(y.ptr());
    const Index work = work_of(count, step_work(*pool.network()));
    if (work < kShortWork) {
        Pause pause;
        return pool.step(from, to, rows, threads, pause);
    }
    const Pinned target(y);
    Polled polled(work);
    const bool done = pool.step(from, to, rows, threads, polled.pause());
    finish_polled(polled, "step");
    return done;
}

// The usual case: all arrays can be used in place, the work is short, and no sample is refused.
// Otherwise returns null without doing anything. As in stream.cpp, the lock of the interpreter is
// held throughout, so it is enough to check that the pool is free.
template <class Real>
inline PyObject* short_pool_step(AnyPool& any, StreamPool<Real>& pool, const StepCall& call) {
    const NumpyTypes& numpy = NumpyTypes::get();
    const Network<Real>& network = *pool.network();
    const Index inputs = network.input_size(), outputs = network.output_size();
    if (call.rows != Py_None && !ChosenRows::fits(call.rows)) return nullptr;
#ifdef Py_GIL_DISABLED
    const Taken taken(pool.busy());
    if (!taken) return nullptr;
#else
    if (pool.busy().is_taken()) return nullptr;
#endif
    const PoolRows rows =
        call.rows == Py_None ? PoolRows() : ChosenRows(call.rows).in(pool.size(), any.rows);
    const Index count = count_of(pool, rows), shape[] = {count, outputs};
    if (!is_matrix<Real>(numpy, call.x, count, inputs, kReadable) ||
        work_of(count, step_work(network)) >= kShortWork)
        return nullptr;
    py::object made;
    if (call.out == Py_None) made = new_array<Real>(shape, 2);
    PyObject* const out = made ? made.ptr() : call.out;
    if (!is_matrix<Real>(numpy, out, count, outputs, kWritable)) return nullptr;
    const Rows<const Real> x = rows_of<const Real>(call.x);
    const Rows<Real> y = rows_of<Real>(out);
    if (!are_apart(x, y, count, inputs, outputs)) return nullptr;
    Pause pause;
    if (!pool.step(x, y, rows, call.threads, pause)) return nullptr;
    return py::handle(out).inc_ref().ptr();
}

// All other cases.
template <class Real>
PyObject* any_pool_step(AnyPool& any, StreamPool<Real>& pool, const StepCall& call) {
    const py::array x = as_real<Real>(call.x, "x");
    const Pinned input(x);
    const ChosenRows chosen(call.rows);
    check_unchanged<Real>(x, "x");
    const TakenObject taken(pool.busy(), "pool");
    const Index inputs = pool.network()->input_size(), outputs = pool.network()->output_size();
    const Index count = chosen.count(pool.size());
    check_shape(x, "x", {count, inputs});
    py::array y = call.out == Py_None ? new_array<Real>({count, outputs})
                                      : check_out<Real>(call.out, {count, outputs});
    if (!are_apart(rows_of<const Real>(x.ptr()), rows_of<Real>(y.ptr()), count, inputs, outputs))
        check_overlap(y, x, "x");
    const PoolRows rows = rows_for(any, pool, chosen, count);
    if (!step_of(pool, x, y, rows, count, call.threads))
        raise_refused_row(pool, "x", false, call.x);
    return y.release().ptr();
}

template <class Real>
inline PyObject* pool_step(AnyPool& any, StreamPool<Real>& pool, const StepCall& call) {
    PyObject* const done = short_pool_step(any, pool, call);
    return done ? done : any_pool_step(any, pool, call);
}

constexpr const char* kPoolStepDoc =
    "step($self, x, /, out=None, *, rows=None, threads=1)\n--\n\n"
    "Advance all rows, or some, by one step and return their outputs.\n"
    "\n"
    "Parameters\n"
    "----------\n"
    "x : array_like, shape (n, I), or (m, I) with `rows`\n"
    "    The inputs. An array of the network's dtype is read in place; other real numbers are\n"
    "    converted, which takes longer.\n"
    "out : ndarray, shape (n, O) or (m, O), optional\n"
    "    Array of the network's dtype for the outputs; may be `x`, but not overlap it otherwise.\n"
    "    After the first call a step then allocates no memory for arrays.\n"
    "rows : array_like, shape (m,) or (n,), optional\n"
    "    The rows to advance: m distinct indices from 0 to n - 1, in any order, or a mask of n\n"
    "    booleans. The other rows keep their state. By default all rows.\n"
    "threads : int\n"
    "    Number of threads, which end with the call. A step uses fewer if it is too short for\n"
    "    them; the results do not depend on their number.\n"
    "\n"
    "Returns\n"
    "-------\n"
    "ndarray, shape (n, O) or (m, O)\n"
    "    The outputs in the order of `x`, or `out`.\n"
    "\n"
    "Raises\n"
    "------\n"
    "ShapeError, DTypeError\n"
    "    If `x`, `out` or `rows` does not fit. No row advances.\n"
    "ArgumentError\n"
    "    If an index is out of range or given twice; if a number in `x` is not finite and\n"
    "    `nonfinite` is \"raise\"; if `out` overlaps `x`. No row advances, and `out` is "
    "unchanged.\n"
    "BusyError\n"
    "    If another thread is using this pool.\n"
    "KeyboardInterrupt\n"
    "    If Ctrl-C interrupts a long step. No row advances; `out` is unspecified.\n"
    "\n"
    "Examples\n"
    "--------\n"
    ">>> import numpy as np, elman\n"
    ">>> net = elman.Network(input_size=2, hidden_size=8, output_size=1, seed=0)\n"
    ">>> pool = net.streams(1000)\n"
    ">>> pool.step(np.zeros((1000, 2))).shape\n"
    "(1000, 1)\n"
    ">>> pool.step(np.zeros((2, 2)), rows=[7, 3]).shape\n"
    "(2, 1)\n";

PyObject* step_names[3];  // "out", "rows", "threads", interned

// Reads a keyword; false with an error set.
bool take_keyword(StepCall& call, bool has_out, PyObject* name, PyObject* value) {
    std::size_t which = 0;
    while (which < 3 && name != step_names[which]) ++which;
    for (std::size_t i = 0; which == 3 && i < 3; ++i)
        if (PyUnicode_Compare(name, step_names[i]) == 0) which = i;
    if (which == 0 && has_out)
        type_error("step() got multiple values for argument 'out'");
    else if (which == 3)
        type_error("step() got an unexpected keyword argument %R", name);
    else if (which == 0)
        call.out = value;
    else if (which == 1)
        call.rows = value;
    else
        call.threads = threads_from(value);
    return !PyErr_Occurred();
}

// Reads the arguments after x; false with an error set.
[[gnu::noinline]] bool take_arguments(StepCall& call, PyObject* const* args, Py_ssize_t count,
                                      PyObject* keywords) {
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError,
                     "step() takes from 1 to 2 positional arguments (x, out) but %zd were given",
                     count);
        return false;
    }
    call.x = args[0];
    if (count == 2) call.out = args[1];
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; ++i)
        if (!take_keyword(call, count == 2, PyTuple_GET_ITEM(keywords, i), args[count + i]))
            return false;
    return true;
}

// Whether the call is step(x, out=y) or step(x, out=y, rows=rows), the usual ones.
inline bool take_usual_arguments(StepCall& call, PyObject* const* args, Py_ssize_t count,
                                 PyObject* keywords) {
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    if (count != 1 || named < 1 || named > 2) return false;
    if (PyTuple_GET_ITEM(keywords, 0) != step_names[0]) return false;
    if (named == 2 && PyTuple_GET_ITEM(keywords, 1) != step_names[1]) return false;
    call.x = args[0];
    call.out = args[1];
    if (named == 2) call.rows = args[2];
    return true;
}

PyObject* stream_pool_step(PyObject* self, PyObject* const* args, Py_ssize_t count,
                           PyObject* keywords) noexcept {
    auto* any = held_by<AnyPool>(self);
    if (!any) return type_error("this StreamPool was not created by Network.streams()");
    try {
        StepCall call;
        if (!take_usual_arguments(call, args, count, keywords) &&
            !take_arguments(call, args, count, keywords))
            return nullptr;
        if (auto* single = std::get_if<StreamPool<float>>(&any->pool))
            return pool_step(*any, *single, call);
        return pool_step(*any, *std::get_if<StreamPool<double>>(&any->pool), call);
    } catch (...) {
        set_python_error();
        return nullptr;
    }
}

PyMethodDef pool_step_method = {
    "step", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&stream_pool_step)),
    METH_FASTCALL | METH_KEYWORDS, kPoolStepDoc};

// --- run ---

// The steps of a chunk with these lengths.
Index steps_of(Index count, Index steps, const std::vector<Index>& lengths, bool ragged) {
    if (!ragged) return work_of(count, steps);
    Index sum = 0;
    for (const Index length : lengths) sum += length;
    return sum;
}

template <class Real>
py::array run_pool(AnyPool& any, StreamPool<Real>& pool, py::handle chunk, py::handle out,
                   py::handle given_rows, py::handle given_lengths, Index threads) {
    const bool ragged = !given_lengths.is_none();
    const py::array x = as_real<Real>(chunk, "chunk");
    const Pinned input(x);
    const ChosenRows chosen(given_rows);
    py::object numbers;
    if (ragged) numbers = any_array(given_lengths, "lengths");
    check_unchanged<Real>(x, "chunk");
    const TakenObject taken(pool.busy(), "pool");
    const Index inputs = pool.network()->input_size(), outputs = pool.network()->output_size();
    const Index count = chosen.count(pool.size());
    if (x.ndim() != 3 || x.shape(0) != count || x.shape(2) != inputs)
        throw ShapeError("chunk: expected (" + std::to_string(count) + ", T, " +
                         std::to_string(inputs) + "), got " + text(shape_of(x)));
    const Index steps = x.shape(1);
    std::vector<Index> lengths;
    if (ragged) lengths = copy_lengths(numbers, {count}, steps);
    const Shape shape{count, steps, outputs};
    py::array y = out.is_none() ? new_array<Real>(shape) : check_out<Real>(out, shape);
    std::optional<Pinned> target;
    if (!out.is_none()) {
        target.emplace(y);
        check_overlap(y, x, "chunk");
    }
    const PoolRows rows = rows_for(any, pool, chosen, count);
    Polled polled(
        work_of(count + steps_of(count, steps, lengths, ragged), step_work(*pool.network())));
    const bool done = pool.run(view_of<Real>(x), writable_view_of<Real>(y), steps,
                               ragged ? lengths.data() : nullptr, rows, threads, polled.pause());
    finish_polled(polled, "run");
    if (!done) raise_refused_row(pool, "chunk", true, chunk);
    return y;
}

// --- states ---

template <class Real>
py::array states_of(AnyPool& any, StreamPool<Real>& pool, py::handle given) {
    const ChosenRows chosen(given);
    const TakenObject taken(pool.busy(), "pool");
    const PoolRows rows = chosen.in(pool.size(), any.rows);
    const Index count = count_of(pool, rows);
    py::array array = new_array<Real>({count, pool.network()->state_size()});
    Real* const states = static_cast<Real*>(array.mutable_data());
    Polled polled(copy_work(*pool.network(), count));
    pool.get_state(states, rows, polled.pause());
    polled.finish();
    return array;
}

template <class Real>
void check_states(const std::vector<Real>& states, Index size) {
    for (std::size_t i = 0; i < states.size(); ++i)
        if (!std::isfinite(states[i]))
            throw ArgumentError("state: expected finite numbers, got " +
                                std::string(py::str(py::float_(double(states[i])))) + " at " +
                                text({static_cast<Index>(i) / size, static_cast<Index>(i) % size}) +
                                "; net.streams(nonfinite=\"propagate\") accepts it");
}

template <class Real>
void set_states(AnyPool& any, StreamPool<Real>& pool, py::handle value, py::handle given,
                bool checked) {
    const py::array array = as_real<Real>(value, "state");
    const ChosenRows chosen(given);
    const TakenObject taken(pool.busy(), "pool");
    const Index size = pool.network()->state_size();
    const Shape shape{chosen.count(pool.size()), size};
    const std::vector<Real> states = copy_reals<Real>(array, "state", shape, true);
    if (checked && pool.nonfinite() != Nonfinite::propagate) check_states(states, size);
    const PoolRows rows = rows_for(any, pool, chosen, shape[0]);
    Polled polled(copy_work(*pool.network(), shape[0]));
    pool.set_state(states.data(), rows, polled.pause());
    polled.finish();
}

template <class Real>
void reset_rows(StreamPool<Real>& pool, PoolRows rows) {
    Polled polled(copy_work(*pool.network(), count_of(pool, rows)));
    pool.reset(rows, polled.pause());
    polled.finish();
}

// --- other calls ---

// A network of another dtype has states of other numbers.
template <class Real>
void swap_network(AnyPool& any, StreamPool<Real>& pool, const py::object& network) {
    const py::object held = py::module_::import("elman._pool").attr("core")(network);
    const auto* core = std::get_if<SharedNetwork<Real>>(&py::cast<AnyNetwork&>(held).network);
    if (!core)
        throw ArgumentError(std::string("network: expected dtype ") + real_name(Real()) + ", got " +
                            std::string(py::str(network.attr("dtype"))));
    const TakenObject taken(pool.busy(), "pool");
    pool.set_network(*core);
    any.network = network;
}

std::unique_ptr<AnyPool> copy_pool(AnyPool& any, py::handle rows) {
    return with_rows(any, rows, [&](auto& pool, PoolRows of_rows) {
        Polled polled(copy_work(*pool.network(), count_of(pool, of_rows)));
        auto copy = std::make_unique<AnyPool>(pool, of_rows, polled.pause());
        polled.finish();
        copy->network = any.network;
        return copy;
    });
}

// Calls action(), which takes memory for the states of n rows; the error has their bytes.
template <class Action>
auto with_room(const py::object& network, Index n, Action action) {
    try {
        return action();
    } catch (const std::bad_alloc&) {
        const py::object too_many = py::module_::import("elman._arguments").attr("too_many");
        throw LimitError(py::cast<std::string>(
            too_many("n", n, network.attr("state_size"), network.attr("dtype"))));
    }
}

// Rows are swapped while the lock is held: others may look at their number.
template <class Real>
void resize_rows(StreamPool<Real>& pool, Index n) {
    const TakenObject taken(pool.busy(), "pool");
    Polled polled(copy_work(*pool.network(), n));
    StreamPool<Real> resized(pool.network(), n, pool.nonfinite(), polled.pause());
    resized.copy_from(pool, polled.pause());
    polled.finish();
    pool.swap(resized);
}

void resize_pool(AnyPool& any, py::handle given) {
    const py::object size = py::module_::import("elman._arguments").attr("size");
    const auto n = py::cast<Index>(size("n", given, 0));
    with_room(any.network, n, [&] { with_pool(any, [&](auto& pool) { resize_rows(pool, n); }); });
}

template <class Real>
std::unique_ptr<AnyPool> make_pool(const SharedNetwork<Real>& core, const py::object& network,
                                   Index n, Nonfinite nonfinite, py::handle state) {
    Polled polled(copy_work(*core, n));
    auto made = std::make_unique<AnyPool>(core, n, nonfinite, polled.pause());
    polled.finish();
    made->network = network;
    if (!state.is_none())
        with_pool(*made, [&](auto& p) { set_states(*made, p, state, py::none(), false); });
    return made;
}

void bind_pool_calls(py::class_<AnyPool>& pool);
void bind_pool_properties(py::class_<AnyPool>& pool);

}  // namespace

void bind_pool(py::module_& m) {
    py::class_<AnyPool> pool(m, "StreamPool", py::is_final(), plain_metaclass(),
                             py::custom_type_setup(&let_collector_see_network<AnyPool>),
                             R"(Many sequences in real time, which advance together.

Each of the n rows is an independent sequence with the bits of a `Stream`, whatever rows it
advances with. A call advances all rows it is for, or none: also if it is refused or interrupted.
Created by `Network.streams()`. For one thread at a time, as a stream.)");
    bind_pool_calls(pool);
    bind_pool_properties(pool);
    const char* names[] = {"out", "rows", "threads"};
    for (std::size_t i = 0; i < 3; ++i) step_names[i] = PyUnicode_InternFromString(names[i]);
    PyObject* descriptor =
        PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(pool.ptr()), &pool_step_method);
    if (!descriptor) throw py::error_already_set();
    forbid_construction(pool);
    pool.attr("step") = py::reinterpret_steal<py::object>(descriptor);

    m.def(
        "streams",
        [](const AnyNetwork& any, const py::object& network, Index n, py::handle nonfinite,
           py::handle state) {
            const Nonfinite policy = nonfinite_from_name(nonfinite);
            return with_room(network, n, [&] {
                return std::visit(
                    [&](const auto& core) { return make_pool(core, network, n, policy, state); },
                    any.network);
            });
        },
        py::arg("core"), py::arg("network"), py::arg("n"), py::arg("nonfinite"),
        py::arg("state") = py::none(),
        "Return a pool of n rows in this state, even if it is not finite; by default in the\n"
        "network's initial state.");
}

namespace {

void bind_pool_calls(py::class_<AnyPool>& pool) {  // NOLINT(readability-function-size): a list
    pool.def(
            "run",
            [](AnyPool& any, py::handle chunk, py::handle out, py::handle rows, py::handle lengths,
               const py::object& threads) {
                const Index wanted = threads_from(threads.ptr());
                return with_pool(any, [&](auto& p) {
                    return run_pool(any, p, chunk, out, rows, lengths, wanted);
                });
            },
            py::arg("chunk"), py::arg("out") = py::none(), py::kw_only(),
            py::arg("rows") = py::none(), py::arg("lengths") = py::none(), py::arg("threads") = 1,
            R"(Advance all rows, or some, by a chunk of steps each.

Parameters
----------
chunk : array_like, shape (n, T, I), or (m, T, I) with `rows`
    The inputs.
out : ndarray, shape (n, T, O) or (m, T, O), optional
    Array of the network's dtype for the outputs. It must not share memory with `chunk`.
rows : array_like, shape (m,) or (n,), optional
    The rows to advance, as for `step`.
lengths : array_like of int, shape (n,) or (m,), optional
    Number of steps of each, 0 to T; by default T. What follows in `chunk` is padding: it is not
    read, and its outputs are zero.
threads : int
    Number of threads, which end with the call; the results do not depend on it.

Returns
-------
ndarray, shape (n, T, O) or (m, T, O)
    The outputs, or `out`; the same bits as T single steps.

Raises
------
ShapeError, DTypeError, ArgumentError, BusyError, KeyboardInterrupt
    As for `step`; all of `chunk` is checked before the first step. No row advances.)")
        .def(
            "get_state",
            [](AnyPool& any, py::handle rows) {
                return with_pool(any, [&](auto& p) { return states_of(any, p, rows); });
            },
            py::arg("rows") = py::none(), R"(Return a copy of the states of some rows.

Parameters
----------
rows : array_like, shape (m,) or (n,), optional
    The rows, as for `step`; by default all.

Returns
-------
ndarray, shape (m, state_size) or (n, state_size)
    In the order of `rows`.)")
        .def(
            "set_state",
            [](AnyPool& any, py::handle state, py::handle rows) {
                with_pool(any, [&](auto& p) { set_states(any, p, state, rows, true); });
            },
            py::arg("state"), py::arg("rows") = py::none(), R"(Set the states of some rows.

Parameters
----------
state : array_like, shape (m, state_size), (n, state_size) or (state_size,)
    The states in the order of `rows`, or one for all of them. NaN and infinities are accepted
    only if `nonfinite` is "propagate".
rows : array_like, shape (m,) or (n,), optional
    The rows, as for `step`; by default all.)")
        .def(
            "reset",
            [](AnyPool& any, py::handle rows) {
                with_rows(any, rows, [](auto& p, PoolRows of_rows) { reset_rows(p, of_rows); });
            },
            py::arg("rows") = py::none(),
            R"(Reset some rows to the network's initial state, or to zeros.

Parameters
----------
rows : array_like, shape (m,) or (n,), optional
    The rows, as for `step`; by default all.)")
        .def("copy", &copy_pool, py::arg("rows") = py::none(),
             R"(Return a pool of the same network with a copy of the states.

Parameters
----------
rows : array_like, shape (m,) or (n,), optional
    The rows to copy, as for `step`, in this order; by default all.

Returns
-------
StreamPool)")
        .def("resize", &resize_pool, py::arg("n"),
             R"(Change the number of rows.

Parameters
----------
n : int
    The first n rows are kept; new ones begin in the network's initial state.

Raises
------
ArgumentError, LimitError
    If `n` is negative, or more rows than memory can address. Nothing changes.)");
}

void bind_pool_properties(py::class_<AnyPool>& pool) {  // NOLINT(readability-function-size)
    pool.def_property(
            "state",
            [](AnyPool& any) {
                py::array array =
                    with_pool(any, [&](auto& p) { return states_of(any, p, py::none()); });
                array.attr("setflags")(py::arg("write") = false);
                return array;
            },
            [](AnyPool& any, py::handle value) {
                with_pool(any, [&](auto& p) { set_states(any, p, value, py::none(), true); });
            },
            "The states after the last step, shape (n, state_size). Reading returns a copy that "
            "is read-only: `set_state` changes rows. Assigning is `set_state` of all rows.")
        .def_property(
            "network",
            [](AnyPool& any) { return look_at(any, [&](auto&) { return any.network; }); },
            [](AnyPool& any, const py::object& network) {
                with_pool(any, [&](auto& p) { swap_network(any, p, network); });
            },
            "The network of this pool. Assigning continues all rows with another network of the "
            "same sizes and dtype, from their states; others are refused with an "
            "`ArgumentError`, and nothing changes.")
        .def_property_readonly(
            "nonfinite",
            [](AnyPool& any) {
                return with_pool(any, [](auto& p) { return name(p.nonfinite()); });
            },
            "What a sample that is not finite does: \"raise\", \"hold\" or \"propagate\"; see "
            "`Network.streams`.")
        .def_property_readonly(
            "nbytes",
            [](AnyPool& any) {
                return with_pool(any, [&](auto& p) {
                    const TakenObject taken(p.busy(), "pool");  // a call may grow its scratch
                    return p.bytes() + static_cast<Index>(sizeof(AnyPool) - sizeof p +
                                                          any.rows.capacity() * sizeof(Index));
                });
            },
            "The bytes of memory of this pool, without its network.")
        .def("__len__",
             [](AnyPool& any) { return look_at(any, [](auto& p) { return p.size(); }); });
    bind_sizes_and_copies(pool, "elman._pool", "The number of values in the state of a row.");
}

}  // namespace

}  // namespace elman::python
