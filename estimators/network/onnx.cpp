#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/exchange.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/provenance.hpp>

// ONNX is protobuf, of which a writer needs two forms of a field: a number and bytes with their length. Linking
// Debian's libonnx beside LibTorch, which brings the same messages, would register them twice.

namespace chest {
inline namespace v0 {
namespace {

/// A protobuf message under construction.
class Message {
 public:
  Message& add(unsigned field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
    return *this;
  }
  Message& add(unsigned field, std::string_view bytes) {
    varint(field << 3 | 2);
    varint(bytes.size());
    bytes_ += bytes;
    return *this;
  }
  Message& add(unsigned field, const Message& message) { return add(field, message.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

constexpr std::uint64_t onnx_float = 1, onnx_int64 = 7, onnx_double = 11;

using Dims = std::vector<std::int64_t>;
/// The name of a value in the graph.
using Ref = std::string;

/// Nodes and constants; each call adds one and returns what it computes.
class OnnxGraph {
 public:
  Ref constant(const Dims& dims, const std::vector<float>& values) {
    return initializer(dims, onnx_float, values.data(), values.size() * sizeof(float));
  }
  Ref doubles(const Dims& dims, const std::vector<double>& values) {
    return initializer(dims, onnx_double, values.data(), values.size() * sizeof(double));
  }
  Ref integers(const std::vector<std::int64_t>& values) {
    return initializer({static_cast<std::int64_t>(values.size())}, onnx_int64, values.data(),
                       values.size() * sizeof(std::int64_t));
  }
  Ref number(double value) { return constant({}, {static_cast<float>(value)}); }

  Ref node(const char* type, const std::vector<Ref>& inputs,
           const std::vector<Message>& attributes = {}, Ref output = {}) {
    if (output.empty()) output = "v" + std::to_string(n_names_++);
    Message message;
    for (const Ref& input : inputs) message.add(1, input);
    message.add(2, output).add(4, std::string_view(type));
    for (const Message& attribute : attributes) message.add(5, attribute);
    graph_.add(1, message);
    return output;
  }
  Ref add(const Ref& a, const Ref& b) { return node("Add", {a, b}); }
  Ref subtract(const Ref& a, const Ref& b) { return node("Sub", {a, b}); }
  Ref times(const Ref& a, const Ref& b) { return node("Mul", {a, b}); }
  Ref over(const Ref& a, const Ref& b) { return node("Div", {a, b}); }
  Ref root(const Ref& a) { return node("Sqrt", {a}); }
  Ref clip(const Ref& a, double low, double high) {
    return node("Clip", {a, number(low), number(high)});
  }
  /// Entries first .. end - 1 of an axis; a negative first counts from the end.
  Ref slice(const Ref& a, std::int64_t axis, std::int64_t first, std::int64_t end) {
    return node("Slice", {a, integers({first}), integers({end}), integers({axis})});
  }
  Ref join(const std::vector<Ref>& parts, std::int64_t axis) {
    return node("Concat", parts, {integer_attribute("axis", axis)});
  }
  Ref reshape(const Ref& a, const Dims& dims) { return node("Reshape", {a, integers(dims)}); }
  Ref swap_middle(const Ref& a) {
    return node("Transpose", {a}, {integers_attribute("perm", {0, 2, 1, 3})});
  }
  Ref cast(const Ref& a, std::uint64_t type) {
    return node("Cast", {a}, {integer_attribute("to", static_cast<std::int64_t>(type))});
  }
  Ref sum(const Ref& a, const Dims& axes, bool keep, const Ref& output = {}) {
    return node("ReduceSum", {a, integers(axes)}, {integer_attribute("keepdims", keep ? 1 : 0)},
                output);
  }

  static Message integer_attribute(const char* name, std::int64_t value) {
    return Message()
        .add(1, std::string_view(name))
        .add(3, static_cast<std::uint64_t>(value))
        .add(20, std::uint64_t{2});
  }
  static Message integers_attribute(const char* name, const Dims& values) {
    Message message;
    message.add(1, std::string_view(name));
    for (const std::int64_t value : values) message.add(8, static_cast<std::uint64_t>(value));
    return message.add(20, std::uint64_t{7});
  }

  /// @param dims  -1: the number of channels, "n"
  void input(const Ref& name, const Dims& dims, const std::string& about) {
    graph_.add(11, value_info(name, dims, about));
  }
  void output(const Ref& name, const Dims& dims, const std::string& about) {
    graph_.add(12, value_info(name, dims, about));
  }
  Message& message() { return graph_; }

 private:
  Ref initializer(const Dims& dims, std::uint64_t type, const void* values, std::size_t n_bytes) {
    const Ref name = "c" + std::to_string(n_names_++);
    Message tensor;
    for (const std::int64_t dim : dims) tensor.add(1, static_cast<std::uint64_t>(dim));
    tensor.add(2, type).add(8, name).add(
        9, std::string_view(static_cast<const char*>(values), n_bytes));
    graph_.add(5, tensor);
    return name;
  }
  static Message value_info(const Ref& name, const Dims& dims, const std::string& about) {
    Message shape;
    for (const std::int64_t dim : dims) {
      shape.add(1, dim < 0 ? Message().add(2, std::string_view("n"))
                           : Message().add(1, static_cast<std::uint64_t>(dim)));
    }
    const Message tensor = Message().add(1, onnx_float).add(2, shape);
    return Message().add(1, name).add(2, Message().add(1, tensor)).add(3, about);
  }

  Message graph_;
  int n_names_ = 0;
};

/// A network's denoiser, node by node as LevelNetwork and the denoisers compute it.
class OnnxDenoiser {
 public:
  /// Of channels whose class is not known.
  explicit OnnxDenoiser(const NetworkModel& model)
      : model_(for_class(model, {})),
        config_(model_.network),
        n_rx_(static_cast<std::int64_t>(model.n_rx)),
        n_tx_(static_cast<std::int64_t>(model.n_tx)),
        weights_(arranged_weights(network_layout(model_.network), model_.weights,
                                  ErrorKind::invalid_argument, "network")) {}

  std::string bytes() {
    g_.input("z", {-1, 2, n_rx_, n_tx_}, "h + noise, antenna domain; plane 0 re, 1 im");
    g_.input("sigma2", {}, "noise variance per complex entry");
    const Ref one = g_.number(1.0);
    const Ref power = g_.add("sigma2", one);  // of an entry of z
    const Ref z = transform("z", -1.0);
    const Ref x = g_.over(z, g_.root(power));
    const Ref y = convolutions(x, power);
    Ref o = g_.slice(y, 1, 0, 2);
    if (config_.bias_free) {
      const Ref level = g_.node("Max", {"sigma2", g_.number(1e-12)});
      o = g_.times(o, g_.root(g_.over(g_.add(level, one), level)));
    }
    if (config_.gate) o = g_.add(o, product(g_.slice(y, 1, 2, 4), x));
    g_.node("Identity", {transform(estimate(z, o, power), 1.0)}, {}, "h");
    g_.output("h", {-1, 2, n_rx_, n_tx_}, "D(z, sigma2) = E[h | z]");
    if (config_.variance) {
      const std::int64_t plane = config_.gate ? 4 : 2;
      const Ref most = g_.over("sigma2", power);
      const Ref variance =
          config_.reverse_variance
              ? reverse_variance(g_.slice(y, 1, plane, plane + 2), most)
              : g_.times(squared_deviation(g_.slice(y, 1, plane, plane + 1)), most);
      g_.sum(variance, {1, 2, 3}, false, "error");
      g_.output("error", {-1}, "predicted E||h - D||^2");
    }
    constexpr std::uint64_t ir_version = 7, opset = 13;
    Message out;
    out.add(1, ir_version).add(2, std::string_view("chest")).add(3, std::string_view(version()));
    out.add(7, g_.message().add(2, std::string_view("denoiser")));
    out.add(8, Message().add(1, std::string_view()).add(2, opset));
    return out.bytes();
  }

 private:
  /// The unitary 2-D DFT of planes [n, 2, n_rx, n_tx], exponent of `sign`.
  Ref transform(const Ref& planes, double sign) {
    const Ref rows = g_.node(
        "MatMul", {block_matrix(n_rx_, sign, false), g_.reshape(planes, {-1, 2 * n_rx_, n_tx_})});
    const Ref side_by_side =
        g_.reshape(g_.swap_middle(g_.reshape(rows, {-1, 2, n_rx_, n_tx_})), {-1, n_rx_, 2 * n_tx_});
    const Ref both = g_.node("MatMul", {side_by_side, block_matrix(n_tx_, sign, true)});
    return g_.swap_middle(g_.reshape(both, {-1, n_rx_, 2, n_tx_}));
  }
  /// [re, -im; im, re] of the DFT matrix, or its transpose: applied to (re, im) from the left or the right.
  Ref block_matrix(std::int64_t n, double sign, bool from_the_right) {
    const auto size = static_cast<std::size_t>(2 * n), half = static_cast<std::size_t>(n);
    std::vector<float> values(size * size);
    const double scale = 1.0 / std::sqrt(static_cast<double>(n));
    for (std::size_t i = 0; i < half; ++i) {
      for (std::size_t k = 0; k < half; ++k) {
        // The remainder first: an exact angle.
        const double angle =
            sign * 2.0 * M_PI * static_cast<double>(i * k % half) / static_cast<double>(n);
        const auto re = static_cast<float>(scale * std::cos(angle));
        const auto im = static_cast<float>(scale * std::sin(angle));
        values[i * size + k] = values[(half + i) * size + half + k] = re;
        values[(half + i) * size + k] = from_the_right ? -im : im;
        values[i * size + half + k] = from_the_right ? im : -im;
      }
    }
    return g_.constant({2 * n, 2 * n}, values);
  }

  /// What the network is told of the noise level, [embedding, 1].
  Ref embedding() {
    const std::int64_t n = config_.embedding / 2;
    std::vector<float> rates(static_cast<std::size_t>(n));
    Ref level;
    if (config_.log_snr) {
      const Ref log = g_.node("Log", {"sigma2"});
      level = g_.clip(g_.times(log, g_.number(-10.0 / std::log(10.0))), config_.snr_low_db,
                      config_.snr_high_db);
      for (std::int64_t k = 0; k < n; ++k) {
        rates[static_cast<std::size_t>(k)] =
            static_cast<float>(static_cast<double>(k + 1) * M_PI / 160.0);
      }
    } else {
      level = fractional_index();
      for (std::int64_t k = 0; k < n; ++k) {
        rates[static_cast<std::size_t>(k)] = static_cast<float>(
            std::exp(-std::log(1e4) * static_cast<double>(k) / static_cast<double>(n - 1)));
      }
    }
    const Ref phase = g_.times(level, g_.constant({n, 1}, rates));
    return g_.join({g_.node("Sin", {phase}), g_.node("Cos", {phase})}, 0);
  }
  /// NoiseSchedule::fractional_index(): each interval of log levels adds 0 to 1.
  Ref fractional_index() {
    if (model_.schedule.n_steps() == 1) return g_.number(0.0);
    return g_.cast(g_.sum(passed_intervals(), {0}, false), onnx_float);
  }
  /// How much of each interval between levels lies below sigma2, 0 to 1, [n_steps - 1], double.
  Ref passed_intervals() {
    const NoiseSchedule& schedule = model_.schedule;
    std::vector<double> from, rate;
    for (arma::uword i = 0; i + 1 < schedule.n_steps(); ++i) {
      from.push_back(std::log(schedule.sigma2(i)));
      rate.push_back(1.0 / (std::log(schedule.sigma2(i + 1)) - from.back()));
    }
    const auto n = static_cast<std::int64_t>(from.size());
    const Ref log = g_.node("Log", {g_.cast("sigma2", onnx_double)});
    const Ref share = g_.times(g_.subtract(log, g_.doubles({n}, from)), g_.doubles({n}, rate));
    return g_.node("Clip", {share, g_.doubles({}, {0.0}), g_.doubles({}, {1.0})});
  }

  Ref squared_deviation(const Ref& planes) {
    const Ref deviation = g_.node(
        "Softplus", {g_.node("Max", {planes, g_.number(NetworkConfig::least_log_deviation)})});
    return g_.times(deviation, deviation);
  }
  /// VarianceRange::variance() of two planes, each of which has half of it.
  Ref reverse_variance(const Ref& planes, const Ref& most) {
    const NoiseSchedule& schedule = model_.schedule;
    std::vector<double> steps;
    VarianceRange at = variance_range(schedule, schedule.sigma2(0));
    const double first = at.log_ratio;
    for (arma::uword i = 1; i < schedule.n_steps(); ++i) {
      const double before = at.log_ratio;
      at = variance_range(schedule, schedule.sigma2(i));
      steps.push_back(at.log_ratio - before);
    }
    const Ref passed = passed_intervals();
    const Ref growth = g_.sum(
        g_.times(passed, g_.doubles({static_cast<std::int64_t>(steps.size())}, steps)), {0}, false);
    const Ref log_ratio = g_.cast(g_.add(growth, g_.doubles({}, {first})), onnx_float);
    const Ref k = g_.cast(g_.reshape(g_.slice(passed, 0, 0, 1), {}), onnx_float);
    const Ref offset = g_.subtract(g_.number(1.0), k);
    const Ref half = g_.times(g_.add(planes, g_.number(1.0)), g_.times(log_ratio, g_.number(0.5)));
    const Ref share = g_.over(g_.add(expm1(half), offset), g_.add(expm1(log_ratio), offset));
    const Ref variance = g_.node(
        "Max", {g_.times(share, most), g_.node("Min", {g_.number(VarianceRange::least), most})});
    return g_.times(variance, g_.number(0.5));
  }
  /// exp(a) - 1 without the loss of digits near 0.
  Ref expm1(const Ref& a) {
    const Ref half = g_.times(a, g_.number(0.5));
    return g_.times(g_.times(g_.node("Exp", {half}), g_.node("Sinh", {half})), g_.number(2.0));
  }

  Ref convolutions(const Ref& x, const Ref& power) {
    Ref planes = x;
    if (config_.magnitude) {
      const Ref told =
          g_.clip("sigma2", from_db(-config_.snr_high_db), from_db(-config_.snr_low_db));
      const Ref squared = g_.sum(g_.times(x, x), {1}, true);
      const Ref ratio = g_.times(squared, g_.over(power, told));
      const Ref log = g_.node("Log", {g_.add(ratio, g_.number(1.0))});
      planes = g_.join({x, g_.times(log, g_.number(NetworkConfig::magnitude_scale))}, 1);
    }
    Ref film;
    if (!config_.bias_free) {
      const NamedTensor &weight = weights_[weights_.size() - 2], &bias = weights_.back();
      film = g_.add(g_.node("MatMul", {g_.constant(weight.dims, weight.values), embedding()}),
                    g_.constant({bias.dims[0], 1}, bias.values));
    }
    std::int64_t first_film = 0;
    const std::size_t per_layer = config_.bias_free ? 1 : 2;
    for (std::size_t i = 0; i <= config_.hidden.size(); ++i) {
      const NamedTensor& weight = weights_[per_layer * i];
      const bool last = i == config_.hidden.size();
      const std::int64_t n_out = weight.dims[0];
      const KernelSize kernel = config_.kernel_size(i);
      std::vector<Ref> inputs{padded(planes, kernel), {}};
      if (i == 0 && config_.position) {
        const std::int64_t n_plain = weight.dims[1] - n_position;
        inputs[1] = part_of(weight, 0, n_plain);
      } else {
        inputs[1] = g_.constant(weight.dims, weight.values);
      }
      if (!config_.bias_free) {
        inputs.push_back(g_.constant({n_out}, weights_[per_layer * i + 1].values));
      }
      planes = convolution(inputs, kernel);
      if (i == 0 && config_.position) {
        planes =
            g_.add(planes, convolution({padded(position_planes(), kernel),
                                        part_of(weight, weight.dims[1] - n_position, n_position)},
                                       kernel));
      }
      const bool modulated = std::find(config_.modulated.begin(), config_.modulated.end(),
                                       static_cast<int>(i)) != config_.modulated.end();
      if (modulated) {
        const auto part = [&](std::int64_t first) {
          return g_.reshape(g_.slice(film, 0, first, first + n_out), {1, n_out, 1, 1});
        };
        planes = g_.add(g_.times(planes, g_.add(part(first_film), g_.number(1.0))),
                        part(first_film + n_out));
        first_film += 2 * n_out;
      }
      if (!last && (!modulated || config_.relu_after_modulation))
        planes = g_.node("Relu", {planes});
    }
    return planes;
  }
  Ref convolution(const std::vector<Ref>& inputs, const KernelSize& kernel) {
    const std::int64_t rows = config_.circular ? 0 : kernel.rows / 2,
                       columns = config_.circular ? 0 : kernel.columns / 2;
    return g_.node("Conv", inputs,
                   {OnnxGraph::integers_attribute("pads", {rows, columns, rows, columns})});
  }
  /// With the opposite edges around them.
  Ref padded(const Ref& planes, const KernelSize& kernel) {
    if (!config_.circular) return planes;
    return padded(padded(planes, 2, kernel.rows / 2, n_rx_), 3, kernel.columns / 2, n_tx_);
  }
  Ref padded(const Ref& planes, int axis, std::int64_t by, std::int64_t n) {
    if (by == 0) return planes;
    // Of small arrays several rounds.
    const std::int64_t rest = by % n;
    std::vector<Ref> parts(static_cast<std::size_t>(2 * (by / n) + 1), planes);
    if (rest > 0) {
      parts.insert(parts.begin(), g_.slice(planes, axis, n - rest, n));
      parts.push_back(g_.slice(planes, axis, 0, rest));
    }
    return g_.join(parts, axis);
  }
  /// Input planes first .. first + n - 1 of a layer's weights.
  Ref part_of(const NamedTensor& weight, std::int64_t first, std::int64_t n) {
    const std::int64_t n_taps = weight.dims[2] * weight.dims[3], n_in = weight.dims[1];
    std::vector<float> values;
    for (std::int64_t k = 0; k < weight.dims[0]; ++k) {
      const auto begin = weight.values.begin() + (k * n_in + first) * n_taps;
      values.insert(values.end(), begin, begin + n * n_taps);
    }
    return g_.constant({weight.dims[0], n, weight.dims[2], weight.dims[3]}, values);
  }
  /// cos and sin of where an entry lies on either side, [1, 4, n_rx, n_tx].
  Ref position_planes() {
    const double turns =
        config_.circle > 0 && model_.grid.plane_step > 0
            ? static_cast<double>(config_.circle) / static_cast<double>(model_.grid.plane_step)
            : 1.0;
    const auto n = static_cast<std::size_t>(n_rx_ * n_tx_);
    std::vector<float> values(n_position * n);
    for (std::int64_t r = 0; r < n_rx_; ++r) {
      for (std::int64_t t = 0; t < n_tx_; ++t) {
        const double rx = 2.0 * M_PI * static_cast<double>(r) / static_cast<double>(n_rx_);
        double tx = 2.0 * M_PI * static_cast<double>(t) / static_cast<double>(n_tx_);
        if (turns != 1.0) tx = (tx >= M_PI ? tx - 2.0 * M_PI : tx) * turns;
        const auto at = static_cast<std::size_t>(r * n_tx_ + t);
        values[at] = static_cast<float>(std::cos(rx));
        values[n + at] = static_cast<float>(std::sin(rx));
        values[2 * n + at] = static_cast<float>(std::cos(tx));
        values[3 * n + at] = static_cast<float>(std::sin(tx));
      }
    }
    return g_.constant({1, n_position, n_rx_, n_tx_}, values);
  }

  /// g x of complex planes.
  Ref product(const Ref& g, const Ref& x) {
    const Ref g_re = g_.slice(g, 1, 0, 1), g_im = g_.slice(g, 1, 1, 2);
    const Ref x_re = g_.slice(x, 1, 0, 1), x_im = g_.slice(x, 1, 1, 2);
    return g_.join({g_.subtract(g_.times(g_re, x_re), g_.times(g_im, x_im)),
                    g_.add(g_.times(g_re, x_im), g_.times(g_im, x_re))},
                   1);
  }
  /// D of the network's output: prediction_gains().
  Ref estimate(const Ref& z, const Ref& o, const Ref& power) {
    switch (model_.prediction) {
      case Prediction::sample:
        return o;
      case Prediction::epsilon:
        return g_.subtract(z, g_.times(o, g_.root("sigma2")));
      case Prediction::velocity:
        break;
    }
    return g_.subtract(g_.over(z, power), g_.times(o, g_.root(g_.over("sigma2", power))));
  }

  static constexpr std::int64_t n_position = 4;
  NetworkModel model_;
  const NetworkConfig& config_;
  std::int64_t n_rx_, n_tx_;
  std::vector<NamedTensor> weights_;
  OnnxGraph g_;
};

}  // namespace

void save_onnx(const std::filesystem::path& file, const NetworkModel& model) {
  if (model.n_rx == 0 || model.n_tx == 0) refuse("onnx: the model names no antennas");
  if (const std::string why = model.network.why_invalid(); !why.empty()) {
    refuse(why);
  }
  check_is_prior(model, "onnx");
  write_text_file(file, OnnxDenoiser(model).bytes());
}

}  // namespace v0
}  // namespace chest
