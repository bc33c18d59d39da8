#include "elman/gradient.hpp"

#include <numeric>
#include <stdexcept>
#include <utility>

#include "backpropagation.hpp"

namespace elman {

Loss loss_from_name(const std::string& name) {
    if (name == "mse") return Loss::mse;
    if (name == "bce") return Loss::bce;
    if (name == "cross_entropy") return Loss::cross_entropy;
    throw std::invalid_argument("loss: expected mse, bce or cross_entropy, got '" + name + "'");
}

namespace {

template <class Real>
std::vector<Index> all_sequences(const Examples<Real>& examples) {
    std::vector<Index> sequences(static_cast<std::size_t>(examples.sequences));
    std::iota(sequences.begin(), sequences.end(), Index(0));
    return sequences;
}

}  // namespace

template <class Real>
double total_weight(const Examples<Real>& examples) {
    return sum_of_weights(examples, all_sequences(examples).data(), examples.sequences,
                          {0, examples.steps, 0});
}

template <class Real>
Gradients<Real> loss_and_gradients(const Network<Real>& network, const Examples<Real>& examples,
                                   Truncation truncation, std::optional<double> normalizer,
                                   Index threads) {
    const Model<Real> model{network.architecture(), network.kernels(), network.packed(),
                            network.input_units(), network.output_units()};
    const std::vector<Index> sequences = all_sequences(examples);
    Gradients<Real> result{0, Parameters<Real>(network.architecture()),
                           std::vector<Real>(static_cast<std::size_t>(
                               examples.sequences * network.architecture().state_size()))};
    Backpropagation<Real> backpropagation(model);
    result.loss = backpropagation.run({examples,
                                       sequences.data(),
                                       examples.sequences,
                                       {0, examples.steps, 0},
                                       examples.state,
                                       normalizer ? *normalizer : total_weight(examples),
                                       truncation,
                                       true,
                                       result.state.data(),
                                       0,
                                       nullptr},
                                      threads);
    network.packed().unpack(backpropagation.gradients(), result.parameters);
    return result;
}

template double total_weight(const Examples<float>&);
template double total_weight(const Examples<double>&);
template Gradients<float> loss_and_gradients(const Network<float>&, const Examples<float>&,
                                             Truncation, std::optional<double>, Index);
template Gradients<double> loss_and_gradients(const Network<double>&, const Examples<double>&,
                                              Truncation, std::optional<double>, Index);

}  // namespace elman
