#include "leaf.hpp"

#include <algorithm>
#include <numeric>

#include "logarithm.hpp"
#include "units.hpp"

namespace elman {
namespace {

// Columns x steps of errors at a time: enough to hide what it costs to load and store gradients,
// few enough for the second level of cache.
constexpr Index kColumns = 256;

// From one column to the next: not a large power of two, which would map many columns to the same
// lines of a cache.
template <class Real>
Index stride_of(Index size) {
    constexpr Index line = kAlignment / sizeof(Real);
    const Index stride = padded<Real>(size);
    return stride % (8 * line) == 0 ? stride + line : stride;
}

template <class Real>
void resize(AlignedVector<Real>& numbers, Index count) {
    if (static_cast<Index>(numbers.size()) < count) numbers.resize(static_cast<std::size_t>(count));
}

template <class Real>
void copy_columns(Columns<const Real> from, Columns<Real> to, Index count) {
    for (Index n = 0; n < count; ++n)
        std::copy_n(from.data + n * from.stride, to.stride, to.data + n * to.stride);
}

constexpr double square(double v) {
    return v * v;
}

// error = factor (y - target), and the squares of the differences in four sums by index mod 4.
template <class Real>
void add_squares(const Real* y, const Real* target, Real factor, Real* error, Index size,
                 double (&sum)[4]) {
    constexpr Index kSums = 4;
    Index i = 0;
    for (; i + kSums <= size; i += kSums) {
        Real difference[kSums];
        for (Index k = 0; k < kSums; ++k) difference[k] = y[i + k] - target[i + k];
        for (Index k = 0; k < kSums; ++k) sum[k] += square(difference[k]);
        for (Index k = 0; k < kSums; ++k) error[i + k] = factor * difference[k];
    }
    for (Index k = 0; i + k < size; ++k) {
        const Real difference = y[i + k] - target[i + k];
        sum[k] += square(difference);
        error[i + k] = factor * difference;
    }
}

constexpr Elementwise kNothing{Function::identity, false};

}  // namespace

template <class Real>
TransposedWeights<Real>::TransposedWeights(const Model<Real>& model) {
    Index size = 0;
    const auto lay_out = [&](const PackedMatrix<Real>& W) {
        size += padded<Real>(model.kernels.packed_size(W.cols, W.rows));
        return PackedMatrix<Real>{nullptr, W.cols, W.rows, partial_sums(W.cols, W.rows)};
    };
    const auto& weights = model.weights;
    for (std::size_t l = 0; l < weights.layers().size(); ++l) {
        const auto& layer = weights.layers()[l];
        layers.push_back(
            {l ? lay_out(layer.input) : PackedMatrix<Real>{}, lay_out(layer.recurrent)});
    }
    if (weights.readout()) readout = lay_out(weights.readout()->input);

    arena_.resize(static_cast<std::size_t>(size));
    Real* next = arena_.data();
    const auto place = [&](PackedMatrix<Real>& W) {
        W.panels = next;
        next += padded<Real>(model.kernels.packed_size(W.rows, W.cols));
    };
    for (std::size_t l = 0; l < layers.size(); ++l) {
        if (l) place(layers[l].input);
        place(layers[l].recurrent);
    }
    if (weights.readout()) place(readout);
}

template <class Real>
void TransposedWeights<Real>::update(const Model<Real>& model, bool recurrent) {
    const auto transpose = [&](const PackedMatrix<Real>& from, const PackedMatrix<Real>& to) {
        model.kernels.transpose(from, arena_.data() + (to.panels - arena_.data()));
    };
    const auto& weights = model.weights;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        if (l) transpose(weights.layers()[l].input, layers[l].input);
        if (recurrent) transpose(weights.layers()[l].recurrent, layers[l].recurrent);
    }
    if (weights.readout()) transpose(weights.readout()->input, readout);
}

template <class Real>
Leaf<Real>::Leaf(const Model<Real>& model)
    : model_(model),
      input_stride_(stride_of<Real>(model.architecture.input_size)),
      output_stride_(stride_of<Real>(model.architecture.output_size())) {
    model.architecture.require_forward("net", "gradients are not computed of others");
    Index widest = padded<Real>(model.architecture.output_size());
    for (const LayerShape& shape : model.architecture.layers) {
        const Index stride = stride_of<Real>(shape.hidden_size);
        layers_.push_back({shape.hidden_size, stride, {}, {}, {}});
        widest = std::max(widest, stride);
        resize(layers_.back().carry, kLeaf * stride);
    }
    resize(zeros_, widest);
    resize(target_, output_stride_);
}

template <class Real>
double Leaf<Real>::run(const LeafTask<Real>& task, const TransposedWeights<Real>& transposed) {
    task_ = &task;
    transposed_ = &transposed;
    loss_ = 0;
    begin(task);
    forward();
    if (task.kept_states) keep_states();
    back();
    return loss_;
}

// Sorts the sequences into columns and cuts time where one of them ends.
template <class Real>
void Leaf<Real>::begin(const LeafTask<Real>& task) {
    const Examples<Real>& examples = task.examples;
    const Window& window = task.window;
    Index lengths[kLeaf];
    for (Index i = 0; i < task.count; ++i)
        lengths[i] = std::clamp<Index>(examples.length(task.sequences[i]) - window.first, 0,
                                       window.last - window.first);
    std::iota(order_, order_ + task.count, Index(0));
    if (examples.lengths)
        std::stable_sort(order_, order_ + task.count,
                         [&](Index a, Index b) { return lengths[a] > lengths[b]; });
    Index columns = 0;
    for (Index c = 0; c < task.count; ++c) {
        lengths_[c] = lengths[order_[c]];
        columns += lengths_[c] > 0;
        x_[c] = examples.x.sequence(sequence(c));
        if (examples.loss != Loss::cross_entropy)
            targets_[c] = examples.targets.sequence(sequence(c));
    }
    pieces_.clear();
    Index base = 0;
    for (Index first = 0; columns > 0;) {
        const Index last = lengths_[columns - 1];
        pieces_.push_back({first, last, columns, base});
        base += (last - first + 1) * columns;
        first = last;
        while (columns > 0 && lengths_[columns - 1] == last) --columns;
    }
    for (Layer& layer : layers_) resize(layer.states, base * layer.stride);
    const Index most = std::min(base, kColumns) + kLeaf;
    for (Layer& layer : layers_) resize(layer.errors, most * layer.stride);
    resize(inputs_, most * input_stride_);
    resize(outputs_, most * output_stride_);
    resize(logits_, most * output_stride_);
    resize(output_errors_, most * output_stride_);
}

template <class Real>
void Leaf<Real>::start_state(Index column, Index offset, Index size, Real* state) const {
    const Real* from = task_->states
                           ? task_->states + order_[column] * model_.architecture.state_size()
                           : model_.weights.initial_state();
    if (from)
        std::copy_n(from + offset, size, state);
    else
        std::fill_n(state, size, Real(0));
}

template <class Real>
void Leaf<Real>::forward() {
    for (const Piece& piece : pieces_) {
        Index offset = 0;
        for (Layer& layer : layers_) {
            Real* states = layer.states.data() + piece.base * layer.stride;
            if (piece.first == 0)
                for (Index c = 0; c < piece.columns; ++c)
                    start_state(c, offset, layer.size, states + c * layer.stride);
            else {
                const Piece& before = *(&piece - 1);
                const Index slot = before.column(before.last - before.first);
                copy_columns<Real>({layer.states.data() + slot * layer.stride, layer.stride},
                                   {states, layer.stride}, piece.columns);
            }
            offset += layer.size;
        }
        const Index at_once = std::max<Index>(1, kColumns / piece.columns);
        for (Index first = piece.first; first < piece.last; first += at_once) {
            const Segment segment{piece, first, std::min(piece.last, first + at_once), 0,
                                  piece.columns};
            Columns<const Real> below = inputs(segment);
            for (std::size_t l = 0; l < layers_.size(); ++l) {
                const auto& weights = model_.weights.layers()[l];
                const Slots<Real> states = slots(layers_[l], segment, 0);
                model_.kernels.unfold(weights.input, weights.recurrent, weights.bias, below,
                                      {states.data, states.stride}, piece.columns, segment.steps(),
                                      elementwise(weights.activation, true));
                below = {states.data + states.step, states.stride};
            }
        }
    }
}

// What the first layer reads: columns that follow each other, step by step.
template <class Real>
Columns<const Real> Leaf<Real>::inputs(const Segment& segment) {
    const Index first = task_->window.first + segment.first;
    const Rows<const Real>& row = x_[segment.lo];
    if (segment.columns() == 1 && reads_as_it_is<Real>(model_.input_units, row.stride))
        return {row.row(first), row.step_stride};
    for (Index c = segment.lo; c < segment.hi; ++c)
        for (Index t = 0; t < segment.steps(); ++t)
            read_input<Real>(
                model_.input_units, x_[c].row(first + t), x_[c].stride,
                inputs_.data() + (t * segment.columns() + c - segment.lo) * input_stride_,
                model_.architecture.input_size);
    return {inputs_.data(), input_stride_};
}

template <class Real>
void Leaf<Real>::keep_states() {
    const Index state_size = model_.architecture.state_size();
    for (Index c = 0; c < task_->count; ++c) {
        Real* state = task_->kept_states + order_[c] * state_size;
        const Index step = std::min(task_->kept_step, lengths_[c]);
        const auto piece = std::find_if(pieces_.begin(), pieces_.end(),
                                        [&](const Piece& p) { return step <= p.last; });
        Index offset = 0;
        for (Layer& layer : layers_) {
            if (step == 0)
                start_state(c, offset, layer.size, state + offset);
            else
                std::copy_n(
                    layer.states.data() + (piece->column(step - piece->first) + c) * layer.stride,
                    layer.size, state + offset);
            offset += layer.size;
        }
    }
}

template <class Real>
void Leaf<Real>::back() {
    const Index count = task_->count;
    const auto [steps, every] = task_->truncation;
    const Index longest = count ? lengths_[0] : 0;
    if (task_->state_gradients)
        std::fill_n(task_->state_gradients, count * model_.architecture.state_size(), Real(0));
    if (task_->examples.outputs == Outputs::last || steps == 0) {
        for (Index c = 0; c < count; ++c) {
            ends_[c] = lengths_[c];
            starts_[c] = steps ? std::max<Index>(0, ends_[c] - steps) : 0;
        }
        return back_through(task_->window.errors_from);
    }
    for (Index first = (longest - 1) / every * every; first >= 0; first -= every) {
        const Index start = std::max<Index>(0, first + every - steps);
        for (Index c = 0; c < count; ++c) {
            ends_[c] = std::min(lengths_[c], first + every);
            starts_[c] = std::min(start, ends_[c]);
        }
        back_through(first);
    }
}

// From the step where the errors of each column begin to the one where they stop flowing back.
template <class Real>
void Leaf<Real>::back_through(Index errors_from) {
    const Index count = task_->count;
    for (Layer& layer : layers_) std::fill(layer.carry.begin(), layer.carry.end(), Real(0));
    const auto reaching = [&](const Index* steps, Index last) {
        Index columns = 0;
        while (columns < count && steps[columns] >= last) ++columns;
        return columns;
    };
    bool newest = true;  // no errors from later steps yet
    for (Index last = count ? ends_[0] : 0; last > 0;) {
        const Index lo = reaching(starts_, last), hi = reaching(ends_, last);
        const Index next_end = hi < count ? ends_[hi] : 0;
        if (lo == hi) {  // these are done, shorter ones may follow
            last = next_end;
            newest = true;
            continue;
        }
        const Piece& piece = *std::find_if(pieces_.begin(), pieces_.end(),
                                           [&](const Piece& p) { return last <= p.last; });
        Index first = std::max(
            {piece.first, next_end, starts_[lo], last - std::max<Index>(1, kColumns / (hi - lo))});
        if (errors_from < last) first = std::max(first, errors_from);
        errors_of({piece, first, last, lo, hi}, first >= errors_from, newest);
        newest = false;
        last = first;
    }
    if (task_->state_gradients) add_state_gradients();
}

// The errors of all layers in one segment, and what they add to the gradients.
template <class Real>
void Leaf<Real>::errors_of(const Segment& segment, bool with_outputs, bool newest) {
    const Kernels<Real>& kernels = model_.kernels;
    const Index columns = segment.columns(), steps = segment.steps();
    Layer& top = layers_.back();
    Real* const top_errors = top.errors.data();
    if (with_outputs && task_->examples.outputs == Outputs::all) {
        output_errors(segment, {top_errors, top.stride});
    } else {
        if (task_->gradients) std::fill_n(top_errors, steps * columns * top.stride, Real(0));
        Index ending = segment.hi;  // those before it do not end here
        while (ending > segment.lo && ends_[ending - 1] == segment.last) --ending;
        if (with_outputs && ending < segment.hi)
            output_errors({segment.piece, segment.last - 1, segment.last, ending, segment.hi},
                          {top_errors + ((steps - 1) * columns + ending - segment.lo) * top.stride,
                           top.stride});
    }
    if (!task_->gradients) return;

    for (std::size_t l = layers_.size(); l-- > 0;) {
        Layer& layer = layers_[l];
        const auto& weights = model_.weights.layers()[l];
        const auto& transposed = transposed_->layers[l];
        const Slots<Real> errors{layer.errors.data(), layer.stride, columns * layer.stride};
        const Slots<Real> states = slots(layer, segment, 1);
        const Columns<Real> carry{layer.carry.data() + segment.lo * layer.stride, layer.stride};
        const Elementwise f = elementwise(weights.activation, true);
        Index rest = steps;
        if (newest) {
            --rest;
            kernels.differentiate(f, {states.data + rest * states.step, states.stride},
                                  {errors.data + rest * errors.step, errors.stride}, layer.size,
                                  columns);
        } else {
            copy_columns<Real>({carry.data, carry.stride},
                               {errors.data + steps * errors.step, errors.stride}, columns);
        }
        kernels.backpropagate(transposed.recurrent, {states.data, states.stride, states.step},
                              errors, columns, rest, f);
        copy_columns<Real>({errors.data, errors.stride}, carry, columns);

        const Slots<const Real> fixed{errors.data, errors.stride, errors.step};
        const Slots<Real> before = slots(layer, segment, 0);
        correlate(weights.recurrent, fixed, {before.data, before.stride, before.step}, columns,
                  steps);
        if (weights.has_bias) {
            Real* bias = task_->gradients + model_.weights.offset(weights.bias);
            kernels.add_columns(bias, fixed, layer.size, columns, steps);
        }
        if (l == 0) {
            const Columns<const Real> x = inputs(segment);
            correlate(weights.input, fixed, {x.data, x.stride, columns * x.stride}, columns, steps);
        } else {
            Layer& below = layers_[l - 1];
            const Slots<Real> x = slots(below, segment, 1);
            correlate(weights.input, fixed, {x.data, x.stride, x.step}, columns, steps);
            kernels.affine(transposed.input, {zeros_.data(), 0}, {errors.data, errors.stride},
                           {below.errors.data(), below.stride}, columns * steps, kNothing);
        }
    }
}

// The outputs of a segment, whose columns follow each other, their losses, and the errors that
// reach the top layer.
template <class Real>
void Leaf<Real>::output_errors(const Segment& segment, Columns<Real> top_errors) {
    const Kernels<Real>& kernels = model_.kernels;
    const Loss loss = task_->examples.loss;
    const Index columns = segment.columns(), steps = segment.steps();
    const Index count = columns * steps, size = model_.architecture.output_size();
    const Slots<Real> states = slots(layers_.back(), segment, 1);
    const auto* readout = model_.weights.readout();

    Columns<const Real> y{states.data, states.stride}, logits{};
    Columns<Real> errors = top_errors;
    if (readout) {
        const Columns<Real> outputs{outputs_.data(), output_stride_};
        const bool softmax = readout->activation.function == Function::softmax;
        const bool apart = softmax || loss != Loss::mse;  // the logits are wanted, or all in a sum
        kernels.affine(readout->input, {readout->bias, 0}, y, outputs, count,
                       apart ? kNothing : elementwise(readout->activation, false));
        if (loss != Loss::mse) {
            std::copy_n(outputs.data, count * output_stride_, logits_.data());
            logits = {logits_.data(), output_stride_};
        }
        if (softmax)
            kernels.softmax(outputs, size, count);
        else if (apart)
            kernels.apply(elementwise(readout->activation, false), outputs, size, count);
        y = {outputs.data, outputs.stride};
        errors = {output_errors_.data(), output_stride_};
    }
    for (Index t = steps - 1; t >= 0; --t)
        for (Index c = 0; c < columns; ++c) {
            const Index n = t * columns + c;
            step_error(segment.lo + c, segment.first + t, y.data + n * y.stride,
                       logits.data + n * logits.stride, errors.data + n * errors.stride);
        }
    if (!readout || !task_->gradients) return;

    if (loss == Loss::mse)
        kernels.differentiate(elementwise(readout->activation, false), y, errors, size, count);
    const Slots<const Real> fixed{errors.data, errors.stride, columns * errors.stride};
    correlate(readout->input, fixed, {states.data, states.stride, columns * states.stride}, columns,
              steps);
    if (readout->has_bias)
        kernels.add_columns(task_->gradients + model_.weights.offset(readout->bias), fixed, size,
                            columns, steps);
    kernels.affine(transposed_->readout, {zeros_.data(), 0}, {errors.data, errors.stride},
                   top_errors, count, kNothing);
}

// Adds the loss of one step, and gives its error: of the logits where the loss is fused with the
// activation, else of the output before its units.
template <class Real>
void Leaf<Real>::step_error(Index column, Index step, const Real* y, const Real* logits,
                            Real* error) {
    const Examples<Real>& examples = task_->examples;
    const Index size = model_.architecture.output_size();
    const Index at = task_->window.first + step;
    const double weight = examples.weight(sequence(column), at);
    if (weight == 0) {
        std::fill_n(error, size, Real(0));
        return;
    }
    const bool all = examples.outputs == Outputs::all;
    const double share = weight / task_->normalizer;
    if (examples.loss == Loss::cross_entropy) {
        const Index target =
            examples.classes[all ? sequence(column) * examples.steps + at : sequence(column)];
        const Real largest = *std::max_element(logits, logits + size);
        const double gap = static_cast<double>(largest) - static_cast<double>(logits[target]);
        loss_ += share * (gap - logarithm(*std::max_element(y, y + size)));
        const Real factor = static_cast<Real>(share);
        for (Index i = 0; i < size; ++i) error[i] = factor * (y[i] - Real(i == target));
        return;
    }
    const Rows<const Real>& targets = targets_[column];
    const Real* target = all ? targets.row(at) : targets.data;
    double sum[4] = {};
    if (examples.loss == Loss::bce) {
        const Real factor = static_cast<Real>(share / static_cast<double>(size));
        for (Index i = 0; i < size; ++i) {  // softplus(z) - t z
            const double z = logits[i], t = target[i * targets.stride], p = y[i];
            sum[i % 4] += std::max(z, 0.0) - t * z - logarithm(std::max(p, 1 - p));
            error[i] = factor * (y[i] - target[i * targets.stride]);
        }
    } else {
        const auto units = model_.output_units;
        const Real factor = static_cast<Real>(2 * share / static_cast<double>(size));
        const bool in_place = targets.stride == 1 && !units.shift && !units.scale;
        if (!in_place) {
            for (Index i = 0; i < size; ++i) {
                error[i] = in_output_units<Real>(units, y[i], i);
                target_[static_cast<std::size_t>(i)] = target[i * targets.stride];
            }
            y = error;
            target = target_.data();
        }
        add_squares(y, target, factor, error, size, sum);
        if (units.scale)
            for (Index i = 0; i < size; ++i) error[i] *= units.scale[i];
    }
    loss_ += share / static_cast<double>(size) * ((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// What reaches the states before the first step, of the columns whose errors flow so far.
template <class Real>
void Leaf<Real>::add_state_gradients() {
    const Index state_size = model_.architecture.state_size();
    Index offset = 0;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        Layer& layer = layers_[l];
        model_.kernels.affine(transposed_->layers[l].recurrent, {zeros_.data(), 0},
                              {layer.carry.data(), layer.stride},
                              {layer.errors.data(), layer.stride}, kLeaf, kNothing);
        for (Index c = 0; c < task_->count; ++c) {
            if (starts_[c] > 0 || ends_[c] == 0) continue;
            Real* gradient = task_->state_gradients + order_[c] * state_size + offset;
            for (Index i = 0; i < layer.size; ++i)
                gradient[i] += layer.errors[static_cast<std::size_t>(c * layer.stride + i)];
        }
        offset += layer.size;
    }
}

template <class Real>
void Leaf<Real>::correlate(const PackedMatrix<Real>& W, Slots<const Real> errors,
                           Slots<const Real> x, Index count, Index steps) {
    model_.kernels.correlate(W, task_->gradients + model_.weights.offset(W.panels), errors, x,
                             count, steps);
}

template class TransposedWeights<float>;
template class TransposedWeights<double>;
template class Leaf<float>;
template class Leaf<double>;

}  // namespace elman
