#include "plane_network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <chest/error.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {
namespace inference {
namespace {

constexpr auto magnitude_scale = static_cast<float>(NetworkConfig::magnitude_scale);
constexpr auto least_log_deviation = static_cast<float>(NetworkConfig::least_log_deviation);

struct Axes {
  std::size_t n_slow, n_fast;
  bool flat;
  std::size_t n_vectors;  ///< that a plane takes
};

/// The better of rows by rows and one run over all.
Axes axes_of(std::size_t n_slow, std::size_t n_fast, std::size_t pad, std::size_t lanes) {
  const auto vectors = [&](std::size_t n) { return (n + lanes - 1) / lanes; };
  const std::size_t by_rows = n_slow * vectors(n_fast);
  const std::size_t as_one = vectors((n_slow - 1) * (n_fast + 2 * pad) + n_fast);
  return as_one < by_rows ? Axes{n_slow, n_fast, true, as_one}
                          : Axes{n_slow, n_fast, false, by_rows};
}

}  // namespace

PlaneNetwork::PlaneNetwork(const NetworkModel& model, arma::uword n_rx, arma::uword n_tx,
                           double step, NetworkPrecision precision)
    : config_(model.network),
      prediction_(model.prediction),
      of_pilots_(!model.P.is_empty()),
      schedule_(model.schedule),
      n_rx_(n_rx),
      n_tx_(n_tx) {
  if (n_rx == 0 || n_tx == 0) {
    throw Error(ErrorKind::invalid_argument, "network: the model names no antennas");
  }
  if (const std::string why = config_.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  const std::vector<NamedTensor> weights = arranged_weights(network_layout(config_), model.weights,
                                                            ErrorKind::invalid_argument, "network");
  plan(n_rx, n_tx);
  if (config_.side && precision != NetworkPrecision::float32) {
    throw Error(ErrorKind::invalid_argument,
                "network: one that is told a side matrix runs in float32 on chest's own engine");
  }
  const int n_plain = (config_.side ? 2 : 1) * config_.n_matrix_inputs();
  std::vector<int> first_film(config_.hidden.size() + 1, -1);
  int n_film = 0;
  for (const int i : config_.modulated) {
    first_film[static_cast<std::size_t>(i)] = n_film;
    n_film += 2 * config_.hidden[static_cast<std::size_t>(i)];
  }
  std::size_t next = 0;
  for (std::size_t i = 0; i <= config_.hidden.size(); ++i) {
    const NamedTensor& weight = weights[next++];
    Layer layer;
    layer.n_out = static_cast<int>(weight.dims[0]);
    layer.n_in = i == 0 ? n_plain : static_cast<int>(weight.dims[1]);
    layer.taps = taps_of(config_.kernel_size(i));
    layer.weights = packed(weight, 0, layer.n_in, layer.taps);
    if (config_.bias_free) {
      layer.bias.assign(static_cast<std::size_t>(layer.n_out), 0.0F);
    } else {
      layer.bias = weights[next++].values;
    }
    layer.first_output = n_outputs_;
    layer.modulation = first_film[i];
    const bool last = i == config_.hidden.size();
    layer.relu = !last && (layer.modulation < 0 || config_.relu_after_modulation);
    n_outputs_ += layer.n_out;
    most_planes_ = std::max({most_planes_, layer.n_out, layer.n_in});
    layers_.push_back(std::move(layer));
  }
  if (!config_.bias_free) {
    modulation_weight_ = weights[next].values;
    modulation_bias_ = weights[next + 1].values;
  }
  const double turns =
      config_.circle > 0 && step > 0.0 ? static_cast<double>(config_.circle) / step : 1.0;
  if (config_.position) make_position_map(weights.front(), turns);
  if (precision != NetworkPrecision::float32) make_tiles(weights, model, precision);
}

void PlaneNetwork::make_tiles(const std::vector<NamedTensor>& weights, const NetworkModel& model,
                              NetworkPrecision precision) {
  const bool bytes = precision == NetworkPrecision::int8;
  if (bytes) {
    if (model.precision.int8.is_empty()) {
      throw Error(ErrorKind::invalid_argument,
                  "precision int8: the model was not calibrated for it; run 'chest calibrate'");
    }
    losses_ = model.precision;
  }
  std::vector<TileLayer> layers;
  std::size_t next = 0;
  for (const Layer& layer : layers_) {
    const NamedTensor& weight = weights[next];
    next += config_.bias_free ? 1 : 2;
    TileLayer to;
    to.n_in = layer.n_in;
    to.n_out = layer.n_out;
    to.relu = layer.relu;
    if (bytes && !layer.relu && &layer != &layers_.back()) {
      throw Error(ErrorKind::invalid_argument,
                  "precision int8: a hidden layer of the network does not end in a ReLU");
    }
    to.taps = layer.taps.offsets;
    to.reach = layer.taps.reach;
    to.weight = [&](int o, int i, int tap) {
      float sum = 0.0F;
      for (const int entry : layer.taps.entries[static_cast<std::size_t>(tap)]) {
        sum += weight.values[static_cast<std::size_t>(
            (o * weight.dims[1] + i) * weight.dims[2] * weight.dims[3] + entry)];
      }
      return sum;
    };
    layers.push_back(std::move(to));
  }
  tiles_.emplace(shape_, config_.circular, bytes ? TileElement::byte : TileElement::bfloat16,
                 layers, config_.position ? position_map_.data() : nullptr);
}

void PlaneNetwork::plan(arma::uword n_rx, arma::uword n_tx) {
  const std::size_t pad = static_cast<std::size_t>(config_.kernel / 2), lanes = kernels().lanes;
  const Axes rx_fast = axes_of(n_tx, n_rx, pad, lanes), tx_fast = axes_of(n_rx, n_tx, pad, lanes);
  rx_is_fast_ = rx_fast.n_vectors <= tx_fast.n_vectors;
  const Axes& axes = rx_is_fast_ ? rx_fast : tx_fast;
  // By rows, each starts on a boundary of a vector, and what a last vector writes beyond it lies in
  // the margin.
  const std::size_t margin = axes.flat ? pad : rounded_up(std::max<std::size_t>(2 * pad, 1));
  shape_.n_slow = axes.n_slow;
  shape_.n_fast = axes.n_fast;
  shape_.pad = pad;
  shape_.flat = axes.flat;
  shape_.row = axes.flat ? axes.n_fast + 2 * pad : margin + rounded_up(axes.n_fast);
  shape_.first = pad * shape_.row + margin;
  shape_.plane = rounded_up((axes.n_slow + 2 * pad) * shape_.row + margin + vector_floats);
  transform_ = PlaneTransform(axes.n_slow, axes.n_fast);
}

PlaneNetwork::Taps PlaneNetwork::taps_of(const KernelSize& kernel) const {
  const int n_slow = rx_is_fast_ ? kernel.columns : kernel.rows;
  const int n_fast = rx_is_fast_ ? kernel.rows : kernel.columns;
  const bool one_row = config_.circular && shape_.n_slow == 1;
  Taps taps;
  taps.reach.slow = one_row ? 0 : static_cast<std::size_t>(n_slow / 2);
  taps.reach.fast = static_cast<std::size_t>(n_fast / 2);
  for (int slow = 0; slow < n_slow; ++slow) {
    for (int fast = 0; fast < n_fast; ++fast) {
      const int entry = rx_is_fast_ ? fast * n_slow + slow : slow * n_fast + fast;
      if (one_row && slow > 0) {
        taps.entries[static_cast<std::size_t>(fast)].push_back(entry);
        continue;
      }
      taps.entries.push_back({entry});
      const std::ptrdiff_t row = one_row ? 0 : slow - n_slow / 2;
      taps.offsets.push_back(row * static_cast<std::ptrdiff_t>(shape_.row) + fast - n_fast / 2);
    }
  }
  return taps;
}

Buffer PlaneNetwork::packed(const NamedTensor& weight, int first_in, int n_in, const Taps& taps) {
  const int n_out = static_cast<int>(weight.dims[0]);
  const auto n_all_in = static_cast<std::size_t>(weight.dims[1]);
  const std::size_t n_taps = taps.offsets.size();
  const auto kernel_size = static_cast<std::size_t>(weight.dims[2] * weight.dims[3]);
  Buffer out(static_cast<std::size_t>(n_out) * static_cast<std::size_t>(n_in) * n_taps);
  std::size_t at = 0;
  for (int b = 0; b < n_output_blocks(n_out); ++b) {
    for (int i = first_in; i < first_in + n_in; ++i) {
      for (const std::vector<int>& entries : taps.entries) {
        for (int o = first_output(n_out, b); o < first_output(n_out, b + 1); ++o) {
          const std::size_t kernel =
              (static_cast<std::size_t>(o) * n_all_in + static_cast<std::size_t>(i)) * kernel_size;
          float sum = 0.0F;
          for (const int entry : entries)
            sum += weight.values[kernel + static_cast<std::size_t>(entry)];
          out[at++] = sum;
        }
      }
    }
  }
  return out;
}

void PlaneNetwork::make_position_map(const NamedTensor& weight, double turns) {
  constexpr int n_position = 4;
  const auto n_out = static_cast<std::size_t>(weight.dims[0]);
  Buffer planes(n_position * shape_.plane + 2 * vector_floats);
  for (std::size_t slow = 0; slow < shape_.n_slow; ++slow) {
    for (std::size_t fast = 0; fast < shape_.n_fast; ++fast) {
      const auto rx = static_cast<double>(rx_is_fast_ ? fast : slow);
      const auto column = static_cast<double>(rx_is_fast_ ? slow : fast);
      const double rx_angle = 2.0 * M_PI * rx / static_cast<double>(n_rx_);
      double column_angle = 2.0 * M_PI * column / static_cast<double>(n_tx_);
      if (turns != 1.0) {
        column_angle = (column_angle >= M_PI ? column_angle - 2.0 * M_PI : column_angle) * turns;
      }
      const std::size_t at = shape_.first + slow * shape_.row + fast;
      planes[at] = static_cast<float>(std::cos(rx_angle));
      planes[shape_.plane + at] = static_cast<float>(std::sin(rx_angle));
      planes[2 * shape_.plane + at] = static_cast<float>(std::cos(column_angle));
      planes[3 * shape_.plane + at] = static_cast<float>(std::sin(column_angle));
    }
  }
  const Taps& taps = layers_.front().taps;
  fill_edges(planes.data(), n_position, taps.reach);
  const Buffer weights =
      packed(weight, static_cast<int>(weight.dims[1]) - n_position, n_position, taps);
  Buffer gain(n_out), offset(n_out);
  std::fill_n(gain.data(), n_out, 1.0F);
  position_map_ = Buffer(n_out * shape_.plane + 2 * vector_floats);
  Convolution work;
  work.shape = &shape_;
  work.n_in = n_position;
  work.n_out = static_cast<int>(n_out);
  work.n_taps = static_cast<int>(taps.offsets.size());
  work.taps = taps.offsets.data();
  work.weights = weights.data();
  work.gain = gain.data();
  work.offset = offset.data();
  work.in = planes.data();
  work.out = position_map_.data();
  kernels().convolve(work);
}

double PlaneNetwork::multiplications() const {
  double n = 0.0;
  for (const Layer& layer : layers_) {
    n += layer.n_in * layer.n_out * static_cast<double>(layer.taps.offsets.size());
  }
  return n * static_cast<double>(n_rx_ * n_tx_);
}

Workspace PlaneNetwork::make_workspace() const {
  Workspace out;
  for (Buffer& layer : out.layers) {
    layer = Buffer(static_cast<std::size_t>(most_planes_) * shape_.plane + 2 * vector_floats);
  }
  for (Buffer* plane : {&out.z_re, &out.z_im, &out.re, &out.im, &out.error}) {
    *plane = Buffer(transform_.plane());
  }
  if (config_.side) {
    out.side = Buffer(static_cast<std::size_t>(config_.n_matrix_inputs()) * transform_.plane());
  }
  out.embedding = Buffer(static_cast<std::size_t>(config_.embedding));
  out.film = Buffer(modulation_bias_.size());
  out.heads.resize(static_cast<std::size_t>(config_.n_heads()));
  if (tiles_) out.tiles = tiles_->make_workspace();
  return out;
}

Level PlaneNetwork::make_level() const {
  Level out;
  out.gain = Buffer(static_cast<std::size_t>(n_outputs_));
  out.offset = Buffer(static_cast<std::size_t>(n_outputs_));
  if (tiles_) out.scales = Buffer(tiles_->n_scales() + n_hidden());
  return out;
}

void PlaneNetwork::set_level(const ReverseStep& step, Workspace& workspace, Level& level) const {
  const double sigma2 = step.sigma2;
  const PredictionGains gains = prediction_gains(prediction_, sigma2);
  level.x_gain = static_cast<float>(1.0 / std::sqrt(1.0 + sigma2));
  level.z_gain = static_cast<float>(gains.z_gain + step.keep * (1.0 - gains.z_gain));
  double o_gain = (1.0 - step.keep) * gains.o_gain;
  level.prior_variance = static_cast<float>(of_pilots_ ? 1.0 : sigma2 / (1.0 + sigma2));
  if (config_.reverse_variance) level.range = variance_range(schedule_, sigma2);
  level.magnitude_gain = 0.0F;
  if (config_.magnitude) {
    const double told =
        std::clamp(sigma2, from_db(-config_.snr_high_db), from_db(-config_.snr_low_db));
    level.magnitude_gain = static_cast<float>((1.0 + sigma2) / told);
  }
  if (config_.bias_free) {
    const double told = std::max(sigma2, 1e-12);
    o_gain *= std::sqrt((1.0 + told) / told);
  }
  level.o_gain = static_cast<float>(o_gain);

  const int half = config_.embedding / 2;
  if (!config_.bias_free) {
    const double snr_db = std::clamp(sigma2 > 0.0 ? -to_db(sigma2) : config_.snr_high_db,
                                     config_.snr_low_db, config_.snr_high_db);
    const double index =
        !config_.log_snr && sigma2 > 0.0 ? schedule_.fractional_index(sigma2) : 0.0;
    for (int k = 0; k < half; ++k) {
      const double phase = config_.log_snr ? (k + 1) * (snr_db * M_PI / 160.0)
                                           : index * std::exp(k * (-std::log(1e4) / (half - 1)));
      workspace.embedding[static_cast<std::size_t>(k)] = static_cast<float>(std::sin(phase));
      workspace.embedding[static_cast<std::size_t>(half + k)] = static_cast<float>(std::cos(phase));
    }
    const float* row = modulation_weight_.data();
    for (std::size_t i = 0; i < modulation_bias_.size(); ++i, row += config_.embedding) {
      float sum = modulation_bias_[i];
      for (int k = 0; k < config_.embedding; ++k) {
        sum += row[k] * workspace.embedding[static_cast<std::size_t>(k)];
      }
      workspace.film[i] = sum;
    }
  }
  for (const Layer& layer : layers_) {
    const auto n = static_cast<std::size_t>(layer.n_out);
    float* gain = level.gain.data() + layer.first_output;
    float* offset = level.offset.data() + layer.first_output;
    const float* film = layer.modulation < 0 ? nullptr : workspace.film.data() + layer.modulation;
    for (std::size_t k = 0; k < n; ++k) {
      gain[k] = film ? 1.0F + film[k] : 1.0F;
      offset[k] = layer.bias[k] * gain[k] + (film ? film[n + k] : 0.0F);
    }
  }
  if (losses_.empty()) return;
  float* largest = level.scales.data() + tiles_->n_scales();
  const double snr_db = sigma2 > 0.0 ? -to_db(sigma2) : losses_.snr_db.back();
  const arma::vec& at = losses_.snr_db;
  const auto above = std::upper_bound(at.begin(), at.end(), snr_db);
  const auto high = static_cast<arma::uword>(std::min(above, at.end() - 1) - at.begin());
  const arma::uword low = above == at.begin() || above == at.end() ? high : high - 1;
  const double share = low == high ? 0.0 : (snr_db - at(low)) / (at(high) - at(low));
  for (arma::uword k = 0; k < losses_.largest.n_rows; ++k) {
    largest[k] = static_cast<float>((1.0 - share) * losses_.largest(k, low) +
                                    share * losses_.largest(k, high));
  }
  tiles_->set_scales(largest, level.scales.data());
}

void PlaneNetwork::fill_edges(float* planes, int n_planes, const EdgeReach& reach) const {
  const std::size_t n_slow = shape_.n_slow, line = shape_.n_fast + 2 * reach.fast;
  const auto n_fast = static_cast<std::ptrdiff_t>(shape_.n_fast);
  for (int p = 0; p < n_planes; ++p, planes += shape_.plane) {
    float* first = planes + shape_.first;
    // Outwards, so that a reach of more than a plane goes around it again.
    for (std::size_t s = 0; reach.fast > 0 && s < n_slow; ++s) {
      float* row = first + s * shape_.row;
      for (std::ptrdiff_t k = 0; k < static_cast<std::ptrdiff_t>(reach.fast); ++k) {
        row[n_fast + k] = config_.circular ? row[k] : 0.0F;
        row[-1 - k] = config_.circular ? row[n_fast - 1 - k] : 0.0F;
      }
    }
    float* corner = first - reach.fast;
    for (std::size_t k = 0; k < reach.slow; ++k) {
      float* above = corner - (k + 1) * shape_.row;
      float* below = corner + (n_slow + k) * shape_.row;
      if (config_.circular) {
        std::memcpy(above, above + n_slow * shape_.row, line * sizeof(float));
        std::memcpy(below, below - n_slow * shape_.row, line * sizeof(float));
      } else {
        std::memset(above, 0, line * sizeof(float));
        std::memset(below, 0, line * sizeof(float));
      }
    }
  }
}

void PlaneNetwork::put_angular(const std::complex<double>* h, const Planes& to,
                               Workspace& workspace) const {
  for_entries([&](std::size_t at, arma::uword entry) {
    to.re[at] = static_cast<float>(h[entry].real());
    to.im[at] = static_cast<float>(h[entry].imag());
  });
  transform_.forward(to, {workspace.re.data(), workspace.im.data()});
}

void PlaneNetwork::put_channel(const std::complex<double>* h, Workspace& workspace) const {
  put_angular(h, {workspace.z_re.data(), workspace.z_im.data()}, workspace);
}

void PlaneNetwork::put_side(const std::complex<double>* side, Workspace& workspace) const {
  const std::size_t plane = transform_.plane();
  float* planes = workspace.side.data();
  if (!side) {
    std::fill_n(planes, static_cast<std::size_t>(config_.n_matrix_inputs()) * plane, 0.0F);
    return;
  }
  put_angular(side, {planes, planes + plane}, workspace);
  if (!config_.magnitude) return;
  kernels().log_magnitude(planes, planes + plane,
                          static_cast<float>(NetworkConfig::side_power_gain), magnitude_scale,
                          plane, planes + 2 * plane);
}

const float* PlaneNetwork::magnitude_of(const Level& level, Workspace& workspace) const {
  if (level.magnitude_gain <= 0.0F) return nullptr;
  kernels().log_magnitude(workspace.z_re.data(), workspace.z_im.data(),
                          level.magnitude_gain * level.x_gain * level.x_gain, magnitude_scale,
                          transform_.plane(), workspace.re.data());
  return workspace.re.data();
}

void PlaneNetwork::put_input(const Level& level, Workspace& workspace) const {
  const std::size_t width = transform_.width();
  const float *z_re = workspace.z_re.data(), *z_im = workspace.z_im.data();
  float* planes = workspace.layers[0].data() + shape_.first;
  const float x = level.x_gain;
  const float* magnitude = magnitude_of(level, workspace);
  for (std::size_t s = 0; s < shape_.n_slow; ++s) {
    const std::size_t from = s * width;
    float* row = planes + s * shape_.row;
    for (std::size_t k = 0; k < shape_.n_fast; ++k) row[k] = x * z_re[from + k];
    float* second = row + shape_.plane;
    for (std::size_t k = 0; k < shape_.n_fast; ++k) second[k] = x * z_im[from + k];
    if (magnitude) {
      std::memcpy(second + shape_.plane, magnitude + from, shape_.n_fast * sizeof(float));
    }
  }
  if (!config_.side) return;
  const auto n = static_cast<std::size_t>(config_.n_matrix_inputs());
  for (std::size_t p = 0; p < n; ++p) {
    const float* from = workspace.side.data() + p * transform_.plane();
    float* to = planes + (n + p) * shape_.plane;
    for (std::size_t s = 0; s < shape_.n_slow; ++s) {
      std::memcpy(to + s * shape_.row, from + s * width, shape_.n_fast * sizeof(float));
    }
  }
}

const float* PlaneNetwork::run_layers(const Level& level, Workspace& workspace,
                                      float* largest) const {
  if (tiles_) {
    tiles_->put_input(workspace.z_re.data(), workspace.z_im.data(), magnitude_of(level, workspace),
                      level.x_gain, transform_.width(), workspace.tiles);
    tiles_->run(level.gain.data(), level.offset.data(), level.scales.data(), workspace.tiles,
                workspace.layers[0].data());
    return workspace.layers[0].data();
  }
  put_input(level, workspace);
  int in = 0;
  Convolution c;
  c.shape = &shape_;
  for (const Layer& layer : layers_) {
    c.n_taps = static_cast<int>(layer.taps.offsets.size());
    c.taps = layer.taps.offsets.data();
    fill_edges(workspace.layers[in].data(), layer.n_in, layer.taps.reach);
    c.n_in = layer.n_in;
    c.n_out = layer.n_out;
    c.weights = layer.weights.data();
    c.gain = level.gain.data() + layer.first_output;
    c.offset = level.offset.data() + layer.first_output;
    c.map = layer.first_output == 0 && config_.position ? position_map_.data() : nullptr;
    c.relu = layer.relu;
    c.in = workspace.layers[in].data();
    c.out = workspace.layers[1 - in].data();
    kernels().convolve(c);
    in = 1 - in;
    if (!largest || &layer == &layers_.back()) continue;
    for (int k = 0; k < layer.n_out; ++k) {
      for (std::size_t s = 0; s < shape_.n_slow; ++s) {
        const float* row = workspace.layers[in].data() +
                           static_cast<std::size_t>(k) * shape_.plane + shape_.first +
                           s * shape_.row;
        *largest = std::max(*largest, *std::max_element(row, row + shape_.n_fast));
      }
    }
    ++largest;
  }
  return workspace.layers[in].data();
}

void PlaneNetwork::see_largest(const Level& level, Workspace& workspace, float* largest) const {
  run_layers(level, workspace, largest);
}

/// @param out  the planes of the variances
double PlaneNetwork::put_reverse_variance(const Level& level, const float* out,
                                          Workspace& workspace) const {
  double sum = 0.0;
  for (std::size_t s = 0; s < shape_.n_slow; ++s) {
    const float *re = out + s * shape_.row, *im = re + shape_.plane;
    float* row = workspace.error.data() + s * transform_.width();
    for (std::size_t k = 0; k < shape_.n_fast; ++k) {
      const double variance = (level.range.variance(static_cast<double>(re[k])) +
                               level.range.variance(static_cast<double>(im[k]))) /
                              2.0;
      row[k] = static_cast<float>(variance);
      sum += variance;
    }
  }
  return sum;
}

double PlaneNetwork::step(const Level& level, bool error, Workspace& workspace) const {
  const float* out = run_layers(level, workspace, nullptr) + shape_.first;
  const std::size_t plane = shape_.plane, width = transform_.width();
  const float z_gain = level.z_gain, o_gain = level.o_gain, g_gain = level.o_gain * level.x_gain;
  double sum = 0.0;
  const std::size_t deviation = config_.gate ? 4 : 2;
  for (std::size_t s = 0; s < shape_.n_slow; ++s) {
    const float* o = out + s * shape_.row;
    float *re = workspace.z_re.data() + s * width, *im = workspace.z_im.data() + s * width;
    if (config_.gate) {
      for (std::size_t k = 0; k < shape_.n_fast; ++k) {
        const float x = re[k], y = im[k], a = o[2 * plane + k], b = o[3 * plane + k];
        re[k] = z_gain * x + o_gain * o[k] + g_gain * (a * x - b * y);
        im[k] = z_gain * y + o_gain * o[plane + k] + g_gain * (a * y + b * x);
      }
    } else {
      for (std::size_t k = 0; k < shape_.n_fast; ++k) re[k] = z_gain * re[k] + o_gain * o[k];
      for (std::size_t k = 0; k < shape_.n_fast; ++k) {
        im[k] = z_gain * im[k] + o_gain * o[plane + k];
      }
    }
    if (error && !config_.reverse_variance) {
      std::memcpy(workspace.error.data() + s * width, o + deviation * plane,
                  shape_.n_fast * sizeof(float));
    }
  }
  if (!error) return 0.0;
  for (std::size_t i = 0; i < workspace.heads.size(); ++i) {
    const float* first =
        out + (deviation + static_cast<std::size_t>(config_.n_variances()) + i) * plane;
    double total = 0.0;
    for (std::size_t s = 0; s < shape_.n_slow; ++s) {
      const float* row = first + s * shape_.row;
      for (std::size_t k = 0; k < shape_.n_fast; ++k) total += static_cast<double>(row[k]);
    }
    workspace.heads[i] = total / static_cast<double>(shape_.n_slow * shape_.n_fast);
  }
  if (config_.reverse_variance) {
    return put_reverse_variance(level, out + deviation * plane, workspace);
  }
  kernels().squared_softplus(workspace.error.data(), least_log_deviation, transform_.plane(),
                             workspace.error.data());
  for (std::size_t s = 0; s < shape_.n_slow; ++s) {
    float* row = workspace.error.data() + s * width;
    for (std::size_t k = 0; k < shape_.n_fast; ++k) {
      row[k] *= level.prior_variance;
      sum += row[k];
    }
  }
  return sum;
}

}  // namespace inference
}  // namespace v0
}  // namespace chest
