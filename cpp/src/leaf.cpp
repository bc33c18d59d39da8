#include "leaf.hpp"

#include <algorithm>
#include <numeric>

#include "arenas.hpp"
#include "loss.hpp"
#include "scaling.hpp"
#include "start_state.hpp"

namespace elman {
namespace {

// Columns x steps of errors at a time: enough to hide the cost of loading and storing gradients,
// few enough for the L2 cache. Counted by cachegrind for caches of 32 and 512 KiB at H = 256: 128
// save 6 % of the misses of the L2, below 1 % of an update; 64 cost 10 %.
constexpr Index kColumnSteps = 256;

// The stride between columns: an odd number of cache lines, unless it is small. `correlate` reads a
// line or two of each of many columns: with an even number they would share half of the cache's
// sets, or fewer.
template <class Real>
Index stride_of(Index size) {
    constexpr Index line = kAlignment / sizeof(Real);
    const Index stride = padded<Real>(size);
    return stride >= 4 * line && stride % (2 * line) == 0 ? stride + line : stride;
}

// Grows the vector; its contents are lost.
template <class Real>
void resize(AlignedVector<Real>& numbers, Index count, Poll poll) {
    if (static_cast<Index>(numbers.size()) >= count) return;
    AlignedVector<Real>().swap(numbers);
    numbers = zeros<Real>(count, poll);
}

// Copies columns of the same stride, padding included.
template <class Real>
void copy(Columns<const Real> from, Columns<Real> to, Index count) {
    std::copy_n(from.data, count * to.stride, to.data);
}

}  // namespace

template <class Real>
Leaf<Real>::Leaf(const Model<Real>& model)
    : model_(model),
      multiply_adds_(model.architecture.multiply_adds()),
      input_stride_(stride_of<Real>(model.architecture.input_size)),
      output_stride_(stride_of<Real>(model.architecture.output_size())) {
    Index widest = std::max(input_stride_, output_stride_);
    for (const Half& half : halves()) {
        const Index stride = stride_of<Real>(half.hidden_size);
        const AlignedVector<Real> columns(static_cast<std::size_t>(kLeaf * stride));
        layers_.push_back({half.hidden_size, stride, {}, {}, columns, columns});
        widest = std::max(widest, stride);
    }
    zeros_.resize(static_cast<std::size_t>(widest));
}

template <class Real>
double Leaf<Real>::run(const BatchTask<Real>& task, const Transposes<Real>& transposes,
                       Real* gradients, Poll& poll) {
    task_ = &task;
    transposes_ = &transposes;
    gradients_ = gradients;
    poll_ = &poll;
    begin();
    if (!poll.go_on(0)) return 0;
    forward();
    if (gradients && poll.go_on(0)) backward();
    return task.examples ? loss() : 0;
}

// Sorts the sequences into columns and cuts time where a sequence ends.
template <class Real>
void Leaf<Real>::begin() {
    const Sequences<Real>& inputs = task_->inputs;
    const Window& window = task_->window;
    const auto length = [&](Index i) {
        return std::clamp<Index>(inputs.length(task_->sequences[i]) - window.first, 0,
                                 window.last - window.first);
    };
    if (inputs.lengths) {
        order_ = longest_first(task_->count, length);
    } else {
        order_.resize(static_cast<std::size_t>(task_->count));
        std::iota(order_.begin(), order_.end(), Index(0));
    }
    timetable_.plan(task_->count, [&](Index column) { return length(order(column)); });
    for (Index c = 0; c < task_->count; ++c) {
        x_[c] = inputs.x.sequence(sequence(c));
        if (task_->given)
            y_[c] = task_->given->dL_dy.sequence(sequence(c));
        else if (task_->examples->loss != Loss::cross_entropy)
            y_[c] = task_->examples->targets.sequence(sequence(c));
    }
    read_ = {};
    reserve();
}

template <class Real>
void Leaf<Real>::reserve() {
    slots_.clear();
    Index slots = 0;
    for (const Stretch& stretch : timetable_.stretches()) {
        slots_.push_back(slots);
        slots += (stretch.steps() + 1) * stretch.columns;
    }
    const Index most = std::min(slots, kColumnSteps) + kLeaf;
    for (Layer& layer : layers_) {
        resize(layer.states, (gradients_ ? slots : most) * layer.stride, *poll_);
        if (gradients_) resize(layer.errors, most * layer.stride, *poll_);
    }
    resize(inputs_, most * input_stride_, *poll_);
    resize(outputs_, most * output_stride_, *poll_);
    resize(output_errors_, most * output_stride_, *poll_);
    if (loss_of_logits()) resize(logits_, most * output_stride_, *poll_);
    if (task_->examples)
        losses_.assign(static_cast<std::size_t>(all_outputs() ? timetable_.rows() : task_->count),
                       0);
}

template <class Real>
typename Leaf<Real>::Segment Leaf<Real>::segment(std::size_t stretch, Index first, Index last,
                                                 Index lo, Index hi) const {
    const Stretch& s = timetable_.stretches()[stretch];
    const Index before = (first - s.first) * s.columns;
    // Without gradients only the states of the current segment are kept.
    return {
        first, last, lo, hi, s.columns, s.row + before, gradients_ ? slots_[stretch] + before : 0};
}

// The part with an output that counts: every step, or the last steps of the columns that end here.
template <class Real>
typename Leaf<Real>::Segment Leaf<Real>::counted(const Segment& segment) const {
    if (all_outputs()) return segment;
    Segment ending = segment;
    const Index before = segment.steps() - 1;
    ending.first += before;
    ending.row += before * segment.width;
    ending.slot += before * segment.width;
    ending.lo = segment.hi;
    while (ending.lo > segment.lo && timetable_.length(ending.lo - 1) == segment.last) --ending.lo;
    return ending;
}

template <class Real>
void Leaf<Real>::forward() {
    const Index state_size = model_.architecture.state_size();
    for (Index c = 0; c < task_->count; ++c) {
        const Real* given = task_->states ? task_->states + order(c) * state_size : nullptr;
        for (std::size_t l = 0; l < layers_.size(); ++l)
            start_state(given, model_.initial_state(), halves()[l], carry(layers_[l]).column(c));
        if (task_->kept_states && kept_step(c) == 0)
            start_state(given, model_.initial_state(), 0, state_size,
                        task_->kept_states + order(c) * state_size);
    }
    for (std::size_t i = 0; i < timetable_.stretches().size(); ++i) {
        const Stretch& stretch = timetable_.stretches()[i];
        const Index at_once = std::max<Index>(1, kColumnSteps / stretch.columns);
        for (Index first = stretch.first; first < stretch.last; first += at_once) {
            const Index last = std::min(stretch.last, first + at_once);
            const Segment s = segment(i, first, last, 0, stretch.columns);
            unfold(s);
            if (task_->kept_states) keep_states(s);
            if (!poll_->go_on(s.steps() * s.columns() * multiply_adds_)) return;
            if (gradients_ || s.last <= task_->window.errors_from) continue;
            const Segment ending = counted(s);
            if (ending.columns() > 0)
                step_errors(ending, outputs(ending), {output_errors_.data(), output_stride_});
        }
    }
}

// Computes the hidden states of all layers over a segment, starting from the carry, and updates the
// carry.
template <class Real>
void Leaf<Real>::unfold(const Segment& segment) {
    const Index columns = segment.columns();
    Columns<const Real> below = inputs(segment);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const Half& half = halves()[l];
        const Slots<Real> h = states(layers_[l], segment);
        copy<Real>(carry(layers_[l]), h.at(0), columns);
        model_.kernels.unfold(model_.layout.W_xh(half, model_.weights),
                              model_.layout.W_hh(half, model_.weights), model_.weights + half.b_h,
                              below, h, columns, segment.steps(), half.activation);
        if (segment.last < timetable_.longest())
            copy<Real>(h.at(segment.steps()), carry(layers_[l]), columns);
        below = h.at(1);
    }
}

// The input of the first layer: contiguous columns, step by step. The backward pass begins with the
// segment that the forward pass read last. (All kept, up to 128 KiB: an update of 32 units takes
// 0.98 times as long, and more memory.)
template <class Real>
Columns<const Real> Leaf<Real>::inputs(const Segment& segment) {
    if (!read_.same(segment)) {
        read_ = segment;
        read_x_ = read_inputs(model_.input_scaling, x_ + segment.lo,
                              task_->window.first + segment.first, segment.columns(),
                              segment.steps(), Columns<Real>{inputs_.data(), input_stride_},
                              model_.architecture.input_size);
    }
    return read_x_;
}

// Stores the states of the columns whose kept step is in the segment.
template <class Real>
void Leaf<Real>::keep_states(const Segment& segment) {
    const Index state_size = model_.architecture.state_size();
    for (Index c = segment.lo; c < segment.hi; ++c) {
        const Index step = kept_step(c);
        if (step <= segment.first || step > segment.last) continue;
        Real* kept = task_->kept_states + order(c) * state_size;
        for (std::size_t l = 0; l < layers_.size(); ++l)
            std::copy_n(states(layers_[l], segment).at(step - segment.first).column(c - segment.lo),
                        layers_[l].size, kept + halves()[l].state);
    }
}

// y = g(W_hy h + b_y), unscaled, of a segment with contiguous columns; also the logits if the loss
// needs them. A cross-entropy needs the softmax, of a log_softmax readout too.
template <class Real>
Columns<const Real> Leaf<Real>::outputs(const Segment& segment) {
    const Columns<const Real> h = states(layers_.back(), segment).at(1);
    const Readout* readout = model_.layout.readout();
    if (!readout) return h;
    const Kernels<Real>& kernels = model_.kernels;
    const Activation& g = readout->activation;
    const bool elementwise = is_elementwise(g.function);
    const bool apart = !elementwise || loss_of_logits();
    const Index count = segment.columns() * segment.steps();
    const Columns<Real> y{outputs_.data(), output_stride_};
    kernels.product(model_.layout.W_hy(model_.weights), {model_.weights + readout->b_y, 0}, h, y,
                    count, apart ? kIdentity : g);
    if (loss_of_logits()) std::copy_n(y.data, count * y.stride, logits_.data());
    if (!elementwise)
        kernels.softmax(loss_of_logits() ? Function::softmax : g.function, y, readout->output_size,
                        count);
    else if (apart)
        kernels.apply(g, false, y, readout->output_size, count);
    return y;
}

// The losses and errors of all steps of a segment, with respect to the logits if the loss is
// defined on them, else to the unscaled outputs.
template <class Real>
void Leaf<Real>::step_errors(const Segment& segment, Columns<const Real> y, Columns<Real> errors) {
    const Index columns = segment.columns(), steps = segment.steps();
    const bool squares_alone = this->squares_alone();
    const double share = 1 / task_->normalizer;
    for (Index c = segment.lo; c < segment.hi; ++c) {
        const Index first = c - segment.lo;  // of its columns in y and errors
        const auto n = [=](Index t) { return first + t * columns; };
        if (task_->given) {
            for (Index t = 0; t < steps; ++t)
                given_error(c, segment.first + t, errors.column(n(t)));
            continue;
        }
        double* losses = &loss_of(all_outputs() ? segment.row + c : c);
        if (squares_alone) {
            squared_errors<Real>({y.column(first), y.stride * columns}, target(c, segment.first),
                                 y_[c], {errors.column(first), errors.stride * columns},
                                 model_.architecture.output_size(), share, losses, segment.width,
                                 steps);
            continue;
        }
        for (Index t = 0; t < steps; ++t)
            losses[t * segment.width] =
                step_loss(c, segment.first + t, n(t), y.column(n(t)), errors.column(n(t)));
    }
}

template <class Real>
const Real* Leaf<Real>::target(Index column, Index step) const {
    return all_outputs() ? y_[column].row(task_->window.first + step) : y_[column].data;
}

template <class Real>
double Leaf<Real>::step_loss(Index column, Index step, Index n, const Real* y, Real* error) const {
    const Examples<Real>& examples = *task_->examples;
    const Index size = model_.architecture.output_size();
    const Index at = task_->window.first + step;
    const double weight = examples.weight(sequence(column), at);
    if (weight == 0) {
        std::fill_n(error, size, Real(0));
        return 0;
    }
    const double share = weight / task_->normalizer;
    const Real* logits = logits_.data() + n * output_stride_;
    if (examples.loss == Loss::cross_entropy) {
        const Index row = all_outputs() ? sequence(column) * examples.steps + at : sequence(column);
        return cross_entropy(y, logits, examples.classes[row], size, share, error);
    }
    const Real* t = target(column, step);
    const Index stride = y_[column].stride;
    if (examples.loss == Loss::bce)
        return binary_cross_entropy(y, logits, t, stride, size, share, error);
    return squared_error(y, model_.output_scaling, t, stride, size, share, error);
}

template <class Real>
void Leaf<Real>::given_error(Index column, Index step, Real* error) const {
    const Index size = model_.architecture.output_size();
    copy_row(target(column, step), y_[column].stride, error, 1, size);
    if (const Real* factor = model_.output_scaling.std)
        for (Index i = 0; i < size; ++i) error[i] *= factor[i];
}

// Summed in one chain, from the last step to the first.
template <class Real>
double Leaf<Real>::loss() const {
    double sum = 0;
    if (!all_outputs()) {  // the longest column ends last
        for (double loss : losses_) sum += loss;
        return sum;
    }
    const std::vector<Stretch>& stretches = timetable_.stretches();
    for (auto s = stretches.rbegin(); s != stretches.rend(); ++s)
        for (Index t = s->last; t-- > std::max(s->first, task_->window.errors_from);) {
            const double* losses = losses_.data() + s->row + (t - s->first) * s->columns;
            for (Index c = 0; c < s->columns; ++c) sum += losses[c];
        }
    return sum;
}

template <class Real>
void Leaf<Real>::backward() {
    const Index count = task_->count;
    const auto [steps, every] = task_->truncation;
    const Index longest = timetable_.longest();
    if (task_->state_gradients)
        std::fill_n(task_->state_gradients, count * model_.architecture.state_size(), Real(0));
    if (longest == 0) return;
    if (!all_outputs() || steps == 0) {
        for (Index c = 0; c < count; ++c) {
            ends_[c] = timetable_.length(c);
            starts_[c] = steps ? std::max<Index>(0, ends_[c] - steps) : 0;
        }
        return backward_through(task_->window.errors_from);
    }
    for (Index first = (longest - 1) / every * every; first >= 0; first -= every) {
        const Index start = std::max<Index>(0, first - (steps - every));
        for (Index c = 0; c < count; ++c) {
            ends_[c] = std::min(timetable_.length(c), first + std::min(every, longest));
            starts_[c] = std::min(start, ends_[c]);
        }
        backward_through(first);
    }
}

// For each column, from the step where its errors start (ends_) to the one where they stop
// (starts_). Both never rise from one column to the next, so the columns whose errors pass a step
// are contiguous: [lo, hi). If all outputs count, all starts are at or before errors_from, so lo is
// 0 and hi is every column of the stretch: the columns of a segment are contiguous.
//
// `newest`: no errors come from later steps, so W_hh^T is not used: it may be stale if the window
// has only one step (Backpropagation::run).
template <class Real>
void Leaf<Real>::backward_through(Index errors_from) {
    const Index count = task_->count;
    for (Layer& layer : layers_) {
        std::fill(layer.carry.begin(), layer.carry.end(), Real(0));
        std::fill(layer.direct.begin(), layer.direct.end(), Real(0));
    }
    const auto reaching = [&](const Index* steps, Index last) {
        Index columns = 0;
        while (columns < count && steps[columns] >= last) ++columns;
        return columns;
    };
    bool newest = true;
    std::size_t i = timetable_.stretches().size() - 1;
    for (Index last = ends_[0]; last > 0;) {
        const Index lo = reaching(starts_, last), hi = reaching(ends_, last);
        const Index next_end = hi < count ? ends_[hi] : 0;
        if (lo == hi) {  // these columns are done; shorter ones may follow
            last = next_end;
            newest = true;
            continue;
        }
        while (timetable_.stretches()[i].first >= last) --i;
        Index first = std::max({timetable_.stretches()[i].first, next_end, starts_[lo],
                                last - std::max<Index>(1, kColumnSteps / (hi - lo))});
        if (errors_from < last) first = std::max(first, errors_from);
        errors_of(segment(i, first, last, lo, hi), first >= errors_from, newest);
        if (!poll_->go_on(0)) return;
        newest = false;
        last = first;
    }
    if (task_->state_gradients) add_state_gradients();
}

// The errors of all layers in a segment, and their gradients.
template <class Real>
void Leaf<Real>::errors_of(const Segment& segment, bool with_outputs, bool newest) {
    top_errors(segment, with_outputs);  // e_t
    for (std::size_t l = layers_.size(); l-- > 0;) {
        const Half& half = halves()[l];
        if (task_->given) add_given(l, segment);
        through_time(l, segment, newest);  // d_t in place of e_t
        add_gradients(l, segment);
        if (l > 0)  // e_t of the layer below
            model_.kernels.product(transposes_->W_xh(l), zeros(), errors(layers_[l], segment).at(0),
                                   errors(layers_[l - 1], segment).at(0),
                                   segment.columns() * segment.steps(), kIdentity);
        else if (task_->x_gradients)
            give_x_gradients(segment);
        if (!poll_->go_on(2 * segment.columns() * segment.steps() * half.multiply_adds())) return;
    }
}

// e of the top layer, from its outputs.
template <class Real>
void Leaf<Real>::top_errors(const Segment& segment, bool with_outputs) {
    const Slots<Real> e = errors(layers_.back(), segment);
    const Segment some = counted(segment);
    const bool every = with_outputs && all_outputs();
    if (!every) std::fill_n(e.data, segment.steps() * e.step, Real(0));
    if (!with_outputs || some.columns() == 0) return;
    const Columns<Real> top = e.at(segment.steps() - some.steps()).from(some.lo - segment.lo);
    const Columns<const Real> y = outputs(some);
    if (!model_.layout.readout()) return step_errors(some, y, top);
    const Columns<Real> o{output_errors_.data(), output_stride_};
    step_errors(some, y, o);
    through_readout(some, y, o, top);
}

// o (O,) is dL/dy and becomes the error of the logits, g'(v) dL/dy, unless it already is. W_hy^T o
// goes to the top layer, o h^T to the gradient of W_hy.
template <class Real>
void Leaf<Real>::through_readout(const Segment& segment, Columns<const Real> y, Columns<Real> o,
                                 Columns<Real> top) {
    const Kernels<Real>& kernels = model_.kernels;
    const Readout& readout = *model_.layout.readout();
    const Index columns = segment.columns(), steps = segment.steps(), count = columns * steps;
    if (!loss_of_logits())
        kernels.differentiate(readout.activation, y, o, readout.output_size, count);

    const Slots<const Real> all{o.data, o.stride, columns * o.stride};
    const Slots<const Real> h = states(layers_.back(), segment).from(1);
    kernels.correlate(gradients_ + readout.W_hy, readout.output_size, readout.input_size, all, h,
                      columns, steps);
    if (readout.has_bias)
        kernels.add_columns(gradients_ + readout.b_y, all, readout.output_size, columns, steps);
    kernels.product(transposes_->W_hy(), zeros(), o, top, count, kIdentity);
}

// e_t = e_t + dL/dh_t
template <class Real>
void Leaf<Real>::add_given(std::size_t l, const Segment& segment) {
    const SequencesView<const Real>& dL_dh = task_->given->dL_dh;
    if (!dL_dh.data) return;
    const Slots<Real> e = errors(layers_[l], segment);
    for (Index c = segment.lo; c < segment.hi; ++c) {
        const Rows<const Real> rows = dL_dh.sequence(sequence(c));
        for (Index t = 0; t < segment.steps(); ++t) {
            const Real* from =
                rows.row(task_->window.first + segment.first + t) + halves()[l].state * rows.stride;
            Real* to = e.at(t).column(c - segment.lo);
            for (Index i = 0; i < layers_[l].size; ++i) to[i] += from[i * rows.stride];
        }
    }
}

// d_t = f'(v_t) (e_t + W_hh^T d_(t+1)), without d_(t+1) at the newest step.
template <class Real>
void Leaf<Real>::through_time(std::size_t l, const Segment& segment, bool newest) {
    const Index columns = segment.columns(), steps = segment.steps();
    const Slots<Real> d = errors(layers_[l], segment);
    const Columns<Real> later = carry(layers_[l]).from(segment.lo);
    copy<Real>(later, d.at(steps), columns);
    model_.kernels.backpropagate(transposes_->W_hh(l), states(layers_[l], segment), d,
                                 direct(layers_[l]).from(segment.lo), columns, steps, newest,
                                 halves()[l].activation);
    copy<Real>(d.at(0), later, columns);
}

// dL/dW_hh, dL/db_h and dL/dW_xh
template <class Real>
void Leaf<Real>::add_gradients(std::size_t l, const Segment& segment) {
    const Kernels<Real>& kernels = model_.kernels;
    const Half& half = halves()[l];
    const Index columns = segment.columns(), steps = segment.steps();
    const Slots<const Real> d = errors(layers_[l], segment);
    // Slot t of the states is h before step t; slot t of d is the error of step t.
    kernels.correlate(gradients_ + half.W_hh, half.hidden_size, half.hidden_size, d,
                      states(layers_[l], segment), columns, steps);
    if (half.has_bias)
        kernels.add_columns(gradients_ + half.b_h, d, half.hidden_size, columns, steps);
    Slots<const Real> x;
    if (l > 0) {
        x = states(layers_[l - 1], segment).from(1);
    } else {
        const Columns<const Real> read = inputs(segment);
        x = {read.data, read.stride, columns * read.stride};
    }
    kernels.correlate(gradients_ + half.W_xh, half.hidden_size, half.input_size, d, x, columns,
                      steps);
}

// dL/dx_t = W_xh^T d_t of the first layer, in the user's scale. Written once per step, since there
// is no truncation here. The inputs are no longer needed: their memory is reused.
template <class Real>
void Leaf<Real>::give_x_gradients(const Segment& segment) {
    const Sequences<Real>& inputs = task_->inputs;
    const Index size = model_.architecture.input_size, columns = segment.columns();
    const Columns<Real> e{inputs_.data(), input_stride_};
    read_ = {};
    model_.kernels.product(transposes_->W_xh(0), zeros(), errors(layers_[0], segment).at(0), e,
                           columns * segment.steps(), kIdentity);
    for (Index c = segment.lo; c < segment.hi; ++c)
        for (Index t = 0; t < segment.steps(); ++t) {
            const Index step = task_->window.first + segment.first + t;
            Real* to = task_->x_gradients + (sequence(c) * inputs.steps + step) * size;
            std::copy_n(e.column(t * columns + c - segment.lo), size, to);
            if (const Real* factor = model_.input_scaling.reciprocal_std)
                for (Index i = 0; i < size; ++i) to[i] *= factor[i];
        }
}

// Adds the gradient of the states before the first step, W_hh^T d_1 plus the direct error, for the
// columns whose errors flow that far.
template <class Real>
void Leaf<Real>::add_state_gradients() {
    const Index state_size = model_.architecture.state_size();
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const Columns<Real> e{layers_[l].errors.data(), layers_[l].stride};
        model_.kernels.product(transposes_->W_hh(l), direct(layers_[l]), carry(layers_[l]), e,
                               task_->count, kIdentity);
        for (Index c = 0; c < task_->count; ++c) {
            if (starts_[c] > 0 || ends_[c] == 0) continue;
            Real* gradient = task_->state_gradients + order(c) * state_size + halves()[l].state;
            for (Index i = 0; i < layers_[l].size; ++i) gradient[i] += e.column(c)[i];
        }
    }
}

template class Leaf<float>;
template class Leaf<double>;

}  // namespace elman
