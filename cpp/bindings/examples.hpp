// examples.hpp - training examples, converted and checked once for many calls.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "elman/gradient.hpp"
#include "sequences.hpp"

namespace elman::python {

// Additional checks, and the name of the weights in errors.
struct ExampleRules {
    bool reachable = false;  // targets of mse must lie in the range of the outputs
    std::string weights = "weights";
};

// The arrays may be the user's; they are not copied if they fit.
template <class Real>
class CheckedExamples {
  public:
    CheckedExamples(const SharedNetwork<Real>& network, py::handle x, py::handle y,
                    const std::string& loss, py::handle outputs, py::handle lengths,
                    py::handle state, py::handle weights, ExampleRules rules = {});

    const Examples<Real>& get() const { return examples_; }
    const CheckedSequences<Real>& given() const { return given_; }
    bool counts() const { return counts_; }  // any step has a weight
    void require_counts() const;             // throws unless counts()

    // Refuses examples checked for a network with other sizes or outputs.
    void require(const Architecture& architecture) const;

  private:
    struct Wrong {
        Index index;  // in the flat array
        double value;
    };
    using Found = std::optional<Wrong>;

    void check_loss() const;
    void check_state() const;
    void take_weights(py::handle weights);
    void take_targets(py::handle y);
    void find_ranges();
    std::string expected_target(const Wrong& wrong) const;
    void take_classes(py::handle y);
    Found wrong_weight(Pause& pause) const;
    Found wrong_x(Pause& pause) const;
    Found not_finite(const SequencesView<const Real>& view, Index size, Pause& pause) const;
    Found wrong_target(Pause& pause) const;
    Found wrong_class(Pause& pause) const;
    template <class Each>
    Found find_counted(Pause& pause, Index size, Each each) const;
    template <class Find>
    Found polled(Index of_a_step, Find find) const;

    SharedNetwork<Real> network_;
    ExampleRules rules_;
    CheckedSequences<Real> given_;
    py::array y_;
    std::optional<Pinned> pinned_y_;
    Shape counted_;  // the shape of the weights
    std::vector<Index> classes_;
    std::vector<double> weights_;
    std::vector<Range> ranges_;  // of the targets, by outputs
    Examples<Real> examples_;
    bool counts_ = false;
};

template <class Real>
using SharedExamples = std::shared_ptr<const CheckedExamples<Real>>;

struct AnyExamples {
    std::variant<SharedExamples<float>, SharedExamples<double>> examples;

    template <class Real>
    const CheckedExamples<Real>& of(const Architecture& architecture) const {
        const auto* shared = std::get_if<SharedExamples<Real>>(&examples);
        if (!shared) throw ArgumentError("examples: expected examples for a network of this dtype");
        (*shared)->require(architecture);
        return **shared;
    }
};

// `bptt_steps` None: no truncation; `update_every` None: equal to `bptt_steps`.
Truncation truncation_of(std::optional<Index> bptt_steps, std::optional<Index> update_every,
                         Outputs outputs);

// The work of a forward and a backward pass, in multiply-adds.
template <class Real>
Index gradient_work(const CheckedSequences<Real>& given, const Architecture& architecture) {
    return given.work(work_of(3, architecture.multiply_adds() + 512));
}

}  // namespace elman::python
