// gradients.cpp - bindings of the gradients.
#include <pybind11/stl.h>

#include <cmath>
#include <optional>

#include "examples.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

// The gradient of the start state: in the shape of the state argument, summed over broadcast axes,
// or (S,), summed over all sequences.
template <class Real>
py::array start_gradient(const CheckedSequences<Real>& given, const AlignedVector<Real>& states,
                         Index state_size) {
    const Shape passed =
        given.state_argument().empty() ? Shape{state_size} : given.state_argument();
    const Shape& batch = given.batch();
    const std::size_t missing = batch.size() + 1 - passed.size();
    std::vector<bool> kept(batch.size(), false);
    for (std::size_t axis = missing; axis < batch.size(); ++axis)
        kept[axis] = passed[axis - missing] == batch[axis];
    Polled polled(work_of(static_cast<Index>(states.size()), kNumberWork));
    const std::vector<Real> sums =
        sum_states(states.data(), state_size, batch, kept, polled.pause());
    polled.finish();
    return copy_array<Real>(passed, sums.data());
}

template <class Real>
py::dict named_gradients(const CheckedSequences<Real>& given, const Gradients<Real>& gradients) {
    const Parameters<Real>& parameters = gradients.parameters;
    py::dict tensors;
    for (const Tensor& tensor : parameters.tensors())
        tensors[py::str(tensor.name)] =
            copy_array<Real>(shape_of(tensor), parameters.data() + tensor.offset);
    if (!given.state_argument().empty() || !tensors.contains("initial_state"))
        tensors["initial_state"] =
            start_gradient(given, gradients.state, parameters.architecture().state_size());
    return tensors;
}

template <class Real>
void check_normalizer(const CheckedExamples<Real>& examples, std::optional<double> normalizer) {
    if (!normalizer) examples.require_counts();
    if (normalizer && (!(*normalizer > 0) || !std::isfinite(*normalizer)))
        throw ArgumentError("normalizer: expected a finite number above 0, got " +
                            std::string(py::str(py::float_(*normalizer))));
}

template <class Real>
py::tuple gradients_of_loss(const Network<Real>& network, const AnyExamples& any,
                            std::optional<Index> bptt_steps, std::optional<Index> update_every,
                            std::optional<double> normalizer, Index threads) {
    const CheckedExamples<Real>& examples = any.of<Real>(network.architecture());
    const Truncation truncation = truncation_of(bptt_steps, update_every, examples.get().outputs);
    check_normalizer(examples, normalizer);
    Polled polled(gradient_work(examples.given(), network.architecture()));
    const Gradients<Real> gradients = loss_and_gradients(network, examples.get(), truncation,
                                                         normalizer, threads, polled.pause());
    polled.finish();
    return py::make_tuple(gradients.loss, named_gradients(examples.given(), gradients));
}

template <class Real>
py::tuple gradients_of_errors(const Network<Real>& network, py::handle x, py::handle dL_dy,
                              py::handle dL_dh, py::handle lengths, py::handle state,
                              py::handle outputs, Index threads) {
    network.architecture().require_forward("net", "others have no gradients");
    const CheckedSequences<Real> given(network, "x", x, state, lengths);
    BackwardTask<Real> task;
    given.describe(task);
    task.outputs = outputs_from_name(outputs);
    task.with_x = true;
    const bool all = task.outputs == Outputs::all;
    const Index T = given.steps(), O = network.output_size(), S = network.state_size();
    const py::array dy =
        as_real<Real>(dL_dy, "dL_dy", all ? given.shape({T, O}) : given.shape({O}));
    const Pinned pinned_dy(dy);
    task.dL_dy = view_of<Real>(dy, all);
    py::array dh;
    if (!dL_dh.is_none()) {
        dh = as_real<Real>(dL_dh, "dL_dh", given.shape({T, S}));
        task.dL_dh = view_of<Real>(dh);
    }
    const Pinned pinned_dh(dh);
    Polled polled(gradient_work(given, network.architecture()));
    const Gradients<Real> gradients = backward(network, task, threads, polled.pause());
    polled.finish();
    return py::make_tuple(
        named_gradients(given, gradients),
        copy_array<Real>(given.shape({T, network.input_size()}), gradients.x.data()));
}

}  // namespace

void bind_gradients(py::module_& m) {
    m.def(
        "loss_and_gradients",
        [](const AnyNetwork& any, const AnyExamples& examples, std::optional<Index> bptt_steps,
           std::optional<Index> update_every, std::optional<double> normalizer, Index threads) {
            return any.visit([&](const auto& network) {
                return gradients_of_loss(network, examples, bptt_steps, update_every, normalizer,
                                         threads);
            });
        },
        py::arg("network"), py::arg("examples"), py::arg("bptt_steps"), py::arg("update_every"),
        py::arg("normalizer"), py::arg("threads"),
        "Return (loss, gradients by tensor name); initial_state is the gradient of `state`, if "
        "given.");
    m.def(
        "backward",
        [](const AnyNetwork& any, py::handle x, py::handle dL_dy, py::handle dL_dh,
           py::handle lengths, py::handle state, py::handle outputs, Index threads) {
            return any.visit([&](const auto& network) {
                return gradients_of_errors(network, x, dL_dy, dL_dh, lengths, state, outputs,
                                           threads);
            });
        },
        py::arg("network"), py::arg("x"), py::arg("dL_dy"), py::arg("dL_dh"), py::arg("lengths"),
        py::arg("state"), py::arg("outputs"), py::arg("threads"),
        "Return (gradients by tensor name, gradient of x).");
}

}  // namespace elman::python
