// stream.cpp - elman.Stream. All of it is pybind11 except step, which is called a million times a
// second: a METH_FASTCALL method descriptor that reads the fields of an array directly.
#include "elman/stream.hpp"

#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "network.hpp"
#include "streams.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

struct AnyStream {
    std::variant<Stream<float>, Stream<double>> stream;
    py::object network;  // the elman.Network

    template <class Real>
    AnyStream(const SharedNetwork<Real>& core, py::object made_from, Nonfinite nonfinite)
        : stream(std::in_place_type<Stream<Real>>, core, nonfinite),
          network(std::move(made_from)) {}
    AnyStream(const AnyStream& other) = default;
};

// The error for a refused sample; `array` is the argument as the user gave it.
template <class Real>
[[noreturn]] void raise_refused(const typename Stream<Real>::Refused& refused, const char* argument,
                                bool is_chunk, py::handle array) {
    const auto& [step, feature, rounded] = refused;
    const py::object index =
        is_chunk ? py::object(py::make_tuple(step, feature)) : py::object(py::int_(feature));
    const std::string place = (is_chunk ? "step " + std::to_string(step) + ", " : "") + "feature " +
                              std::to_string(feature);
    raise_nonfinite(array, argument, index, rounded, place, "net.stream");
}

// A step long enough to release the interpreter's lock. Other threads may change the arrays
// meanwhile, so it works on copies. Returns false for a refused sample.
template <class Real>
bool long_step(Stream<Real>& stream, Row<const Real> x, Row<Real> y) {
    const Network<Real>& network = *stream.network();
    std::vector<Real> input, output(static_cast<std::size_t>(network.output_size()));
    for (Index i = 0; i < network.input_size(); ++i) input.push_back(x.data[i * x.stride]);
    bool done;
    {
        const Unlocked unlocked;
        done = stream.step(input.data(), output.data());
    }
    if (!done) return false;
    Real* to = y.data;
    for (const Real value : output) {
        *to = value;
        to += y.stride;
    }
    return true;
}

// The usual case: both arrays can be used in place, the work is short, and the sample is not
// refused. Otherwise returns false without doing anything.
//
// The interpreter's lock is held throughout, so it is enough to check that the stream is free:
// taking it would cost 7 ns and wait for the previous step to retire. Without a GIL it must be
// taken.
template <class Real>
inline bool short_step(Stream<Real>& stream, PyObject* x, PyObject* out) {
    const Network<Real>& network = *stream.network();
    const NumpyTypes& numpy = NumpyTypes::get();
    if (!is_row<Real>(numpy, out, network.output_size(), kWritable) ||  // first: often None
        !is_row<Real>(numpy, x, network.input_size(), kReadable) ||
        step_work(network) >= kShortWork)
        return false;
#ifdef Py_GIL_DISABLED
    const Taken taken(stream.busy());
    if (!taken) return false;
#else
    if (stream.busy().is_taken()) return false;
#endif
    const Row<const Real> from = row_of<const Real>(x);
    const Row<Real> to = row_of<Real>(out);
    return stream.step(from.data, from.stride, to.data, to.stride);
}

// All other cases.
template <class Real>
PyObject* step(Stream<Real>& stream, PyObject* x, PyObject* out) {
    const Network<Real>& network = *stream.network();
    py::object converted;  // before taking the stream: it may run code that uses the stream
    const bool in_place = is_row<Real>(NumpyTypes::get(), x, network.input_size(), kReadable);
    if (!in_place) converted = as_real<Real>(x, "x", {network.input_size()});
    const Row<const Real> from = row_of<const Real>(in_place ? x : converted.ptr());
    const Index output_size = network.output_size();
    py::array result =
        out == Py_None ? new_array<Real>(&output_size, 1) : check_out<Real>(out, {output_size});
    const Row<Real> to = row_of<Real>(result.ptr());

    bool done;
    typename Stream<Real>::Refused refused;
    {
        const TakenObject taken(stream.busy(), "stream");
        if (step_work(network) < kShortWork) {
            done = stream.step(from.data, from.stride, to.data, to.stride);
        } else {
            const Pinned target(result);
            done = long_step(stream, from, to);
        }
        refused = stream.refused();
    }
    if (!done) raise_refused<Real>(refused, "x", false, x);
    return result.release().ptr();
}

constexpr const char* kStepDoc =
    "step($self, x, /, out=None)\n--\n\n"
    "Advance by one step and return its output.\n"
    "\n"
    "Parameters\n"
    "----------\n"
    "x : array_like, shape (I,)\n"
    "    The input. An array of the network's dtype is read in place; other real numbers are\n"
    "    converted, which takes longer.\n"
    "out : ndarray, shape (O,), optional\n"
    "    Array of the network's dtype for the output; may be `x`. The step then allocates\n"
    "    nothing.\n"
    "\n"
    "Returns\n"
    "-------\n"
    "ndarray, shape (O,)\n"
    "    The output, or `out`.\n"
    "\n"
    "Raises\n"
    "------\n"
    "ShapeError, DTypeError\n"
    "    If `x` or `out` does not fit this network. The state is unchanged.\n"
    "ArgumentError\n"
    "    If a number in `x` is not finite and `nonfinite` is \"raise\". The state and `out` are\n"
    "    unchanged.\n"
    "BusyError\n"
    "    If another thread is using this stream.\n"
    "\n"
    "Examples\n"
    "--------\n"
    ">>> import numpy as np, elman\n"
    ">>> net = elman.Network(input_size=2, hidden_size=8, output_size=1, seed=0)\n"
    ">>> stream = net.stream()\n"
    ">>> y = np.empty(1, np.float32)\n"
    ">>> for x in np.zeros((3, 2), np.float32):\n"
    "...     _ = stream.step(x, out=y)\n";

PyObject* out_name = nullptr;  // "out", interned

// The argument `out`, Py_None if it is not given, or null with an error set.
[[gnu::noinline]] PyObject* any_out_argument(PyObject* const* args, Py_ssize_t count,
                                             PyObject* keywords) {
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError,
                     "step() takes from 1 to 2 positional arguments (x, out) but %zd were given",
                     count);
        return nullptr;
    }
    PyObject* out = count == 2 ? args[1] : nullptr;
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; ++i) {
        PyObject* name = PyTuple_GET_ITEM(keywords, i);
        if (name != out_name && PyUnicode_Compare(name, out_name) != 0)
            return type_error("step() got an unexpected keyword argument %R", name);
        if (out) return type_error("step() got multiple values for argument 'out'");
        out = args[count + i];
    }
    return out ? out : Py_None;
}

// The same; the usual call, step(x, out=y), is inlined.
inline PyObject* out_argument(PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    const bool usual = count == 1 && keywords && PyTuple_GET_SIZE(keywords) == 1 &&
                       PyTuple_GET_ITEM(keywords, 0) == out_name;
    return usual ? args[1] : any_out_argument(args, count, keywords);
}

// Not inlined: the short step is faster without saving its registers.
template <class Real>
[[gnu::noinline]] PyObject* any_step(Stream<Real>& stream, PyObject* x, PyObject* out) noexcept {
    try {
        return step(stream, x, out);
    } catch (...) {
        set_python_error();
        return nullptr;
    }
}

template <class Real>
inline PyObject* step_or_error(Stream<Real>& stream, PyObject* x, PyObject* out) noexcept {
    if (short_step(stream, x, out)) {
        Py_INCREF(out);
        return out;
    }
    return any_step(stream, x, out);
}

PyObject* stream_step(PyObject* self, PyObject* const* args, Py_ssize_t count,
                      PyObject* keywords) noexcept {
    auto* any = held_by<AnyStream>(self);
    if (!any) return type_error("this Stream was not created by Network.stream()");
    PyObject* out = out_argument(args, count, keywords);
    if (!out) return nullptr;
    if (auto* single = std::get_if<Stream<float>>(&any->stream))
        return step_or_error(*single, args[0], out);
    return step_or_error(*std::get_if<Stream<double>>(&any->stream), args[0], out);
}

PyMethodDef step_method = {"step",
                           reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&stream_step)),
                           METH_FASTCALL | METH_KEYWORDS, kStepDoc};

// Runs a chunk (T, I). Ctrl-C leaves the stream after the last complete step.
template <class Real>
py::array run_chunk(Stream<Real>& stream, py::handle chunk, py::handle out) {
    const Network<Real>& network = *stream.network();
    const py::array x = as_real<Real>(chunk, "chunk");
    if (x.ndim() != 2 || x.shape(1) != network.input_size())
        throw ShapeError("chunk: expected (T, " + std::to_string(network.input_size()) + "), got " +
                         text(shape_of(x)));
    const Pinned input(x);
    const Index steps = x.shape(0);
    const Shape shape{steps, network.output_size()};
    py::array y = out.is_none() ? new_array<Real>(shape) : check_out<Real>(out, shape);
    std::optional<Pinned> target;  // a new array is not visible to other threads
    if (!out.is_none()) {
        target.emplace(y);
        check_overlap(y, x, "chunk");
    }

    Index done;
    typename Stream<Real>::Refused refused;
    {
        const TakenObject taken(stream.busy(), "stream");
        Polled polled(work_of(steps, step_work(network)));
        done = stream.run(view_of<Real>(x).sequence(0), writable_view_of<Real>(y).sequence(0),
                          steps, polled.pause());
        polled.finish();
        refused = stream.refused();
    }
    if (done < steps) raise_refused<Real>(refused, "chunk", true, chunk);
    return y;
}

template <class Real>
py::array state_of(Stream<Real>& stream) {
    py::array array = new_array<Real>({stream.network()->state_size()});
    const TakenObject taken(stream.busy(), "stream");
    stream.get_state(static_cast<Real*>(array.mutable_data()));
    return array;
}

template <class Real>
void set_state(Stream<Real>& stream, py::handle value, bool checked) {
    const std::vector<Real> state =
        copy_reals<Real>(value, "state", {stream.network()->state_size()});
    if (checked && stream.nonfinite() != Nonfinite::propagate)
        for (std::size_t i = 0; i < state.size(); ++i)
            if (!std::isfinite(state[i]))
                throw ArgumentError("state: expected finite numbers, got " +
                                    std::string(py::str(py::float_(double(state[i])))) + " at " +
                                    std::to_string(i) +
                                    "; net.stream(nonfinite=\"propagate\") accepts it");
    const TakenObject taken(stream.busy(), "stream");
    stream.set_state(state.data());
}

template <class Action>
auto with_stream(AnyStream& any, Action action) {
    return std::visit([&](auto& stream) { return action(stream); }, any.stream);
}

}  // namespace

void bind_stream(py::module_& m) {  // NOLINT(readability-function-size): a list
    py::class_<AnyStream> stream(m, "Stream", py::is_final(), plain_metaclass(),
                                 py::custom_type_setup(&let_collector_see_network<AnyStream>),
                                 R"(One sequence in real time.

Keeps the state: every step continues from the previous one. Created by `Network.stream()`. For
one thread at a time: a call from a second thread raises `BusyError`. A process forked while another
thread is in a call inherits a stream that stays busy, and must create a new one.

Streams of one network share it, also after they were pickled together.)");
    stream
        .def(
            "run",
            [](AnyStream& any, py::handle chunk, py::handle out) {
                return with_stream(any, [&](auto& s) { return run_chunk(s, chunk, out); });
            },
            py::arg("chunk"), py::arg("out") = py::none(), R"(Advance by a chunk of steps.

Parameters
----------
chunk : array_like, shape (T, I)
    The inputs.
out : ndarray, shape (T, O), optional
    Array of the network's dtype for the outputs. It must not share memory with `chunk`.

Returns
-------
ndarray, shape (T, O)
    The outputs, or `out`; the same bits as T single steps.

Raises
------
ShapeError, DTypeError, ArgumentError
    As for `step`; all of `chunk` is checked before the first step. The state and `out` are
    unchanged.
BusyError
    If another thread is using this stream.)")
        .def_property(
            "state",
            [](AnyStream& any) { return with_stream(any, [](auto& s) { return state_of(s); }); },
            [](AnyStream& any, py::handle value) {
                with_stream(any, [&](auto& s) { set_state(s, value, true); });
            },
            "The state after the last step, shape (state_size,): the layers' hidden states from "
            "the bottom up. Reading returns a copy; assigning checks and copies: NaN and "
            "infinities "
            "are accepted only if `nonfinite` is \"propagate\".")
        .def(
            "reset",
            [](AnyStream& any) {
                with_stream(any, [](auto& s) {
                    const TakenObject taken(s.busy(), "stream");
                    s.reset();
                });
            },
            "Reset the state to the network's initial state, or to zeros.")
        .def(
            "copy",
            [](AnyStream& any) {
                return with_stream(any, [&](auto& s) {
                    const TakenObject taken(s.busy(), "stream");
                    return std::make_unique<AnyStream>(any);
                });
            },
            "Return a stream of the same network with a copy of the state.")
        .def_property_readonly(
            "nonfinite",
            [](AnyStream& any) {
                return with_stream(any, [](auto& s) { return name(s.nonfinite()); });
            },
            "What a sample that is not finite does: \"raise\", \"hold\" or \"propagate\"; see "
            "`Network.stream`.")
        .def_property_readonly(
            "nbytes",
            [](AnyStream& any) {
                return with_stream(any, [](auto& s) {
                    return s.bytes() + static_cast<Index>(sizeof(AnyStream) - sizeof s);
                });
            },
            "The bytes of memory of this stream, without its network.")
        .def_property_readonly(
            "network", [](const AnyStream& any) { return any.network; },
            "The network of this stream.");
    bind_sizes_and_copies(stream, "elman._stream", "The number of values in the state.");

    out_name = PyUnicode_InternFromString("out");
    PyObject* descriptor =
        PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(stream.ptr()), &step_method);
    if (!descriptor) throw py::error_already_set();
    forbid_construction(stream);
    stream.attr("step") = py::reinterpret_steal<py::object>(descriptor);

    m.def(
        "stream",
        [](const AnyNetwork& any, const py::object& network, py::handle nonfinite,
           py::handle state) {
            const Nonfinite policy = nonfinite_from_name(nonfinite);
            return std::visit(
                [&](const auto& core) {
                    auto made = std::make_unique<AnyStream>(core, network, policy);
                    if (!state.is_none())
                        with_stream(*made, [&](auto& s) { set_state(s, state, false); });
                    return made;
                },
                any.network);
        },
        py::arg("core"), py::arg("network"), py::arg("nonfinite"), py::arg("state") = py::none(),
        "Return a stream in this state, even if it is not finite; by default in the network's\n"
        "initial state.");
}

}  // namespace elman::python
