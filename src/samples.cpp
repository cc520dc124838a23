#include <chest/samples.hpp>

#include <algorithm>
#include <memory>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

void SampleSet::add(arma::uword sample) {
  if (!ranges_.empty() && ranges_.back().end == sample) {
    ++ranges_.back().end;
  } else {
    ranges_.push_back({sample, sample + 1});
  }
  ++size_;
}

std::vector<SampleRange> SampleSet::outside(const SampleRange& range) const {
  std::vector<SampleRange> parts;
  arma::uword first = range.first;
  auto next = std::upper_bound(
      ranges_.begin(), ranges_.end(), first,
      [](arma::uword sample, const SampleRange& each) { return sample < each.end; });
  for (; next != ranges_.end() && next->first < range.end; ++next) {
    if (next->first > first) parts.push_back({first, next->first});
    first = next->end;
  }
  if (first < range.end) parts.push_back({first, range.end});
  return parts;
}

std::string SampleSet::text() const {
  constexpr std::size_t most = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(ranges_.size(), most); ++i) {
    const SampleRange& range = ranges_[i];
    text += (i == 0 ? "" : ", ") + (range.size() == 1 ? std::to_string(range.first) : range.text());
  }
  return ranges_.size() > most ? text + " ..." : text;
}

SampleReader samples_in_memory(arma::cx_mat h, arma::uword n_rx, arma::uword n_tx,
                               const GridAxes& grid) {
  if (h.n_rows != n_rx * n_tx * grid.n_elements()) {
    throw Error(ErrorKind::invalid_argument,
                "samples: the channels have " + std::to_string(h.n_rows) +
                    " rows, expected those of " + size_text(n_rx, n_tx, grid));
  }
  const auto shared = std::make_shared<const arma::cx_mat>(std::move(h));
  SampleReader out{n_rx, n_tx, shared->n_cols, {}, grid};
  out.read = [shared](arma::uword first, arma::uword count) -> arma::cx_mat {
    if (first > shared->n_cols || count > shared->n_cols - first) {
      throw Error(ErrorKind::invalid_argument,
                  "samples: " + std::to_string(first) + ":" + std::to_string(first + count) +
                      " asked for, there are " + std::to_string(shared->n_cols));
    }
    if (count == 0) return arma::cx_mat(shared->n_rows, 0);
    return shared->cols(first, first + count - 1);
  };
  return out;
}

SampleReader subrange(const SampleReader& samples, arma::uword first, arma::uword count) {
  if (first > samples.n_samples || count > samples.n_samples - first) {
    throw Error(ErrorKind::invalid_argument,
                "samples: " + std::to_string(first) + ":" + std::to_string(first + count) +
                    " asked for, there are " + std::to_string(samples.n_samples));
  }
  SampleReader out = samples;
  out.n_samples = count;
  out.read = [read = samples.read, first](arma::uword start, arma::uword n) {
    return read(first + start, n);
  };
  return out;
}

SampleReader joined(const std::vector<SampleReader>& parts) {
  const auto size = [](const SampleReader& part) {
    return size_text(part.n_rx, part.n_tx, part.grid);
  };
  if (parts.empty()) throw Error(ErrorKind::invalid_argument, "joined samples: there are none");
  if (parts.size() == 1) return parts.front();
  SampleReader out = parts.front();
  std::vector<arma::uword> firsts{0};
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (size(parts[i]) != size(out)) {
      throw Error(ErrorKind::invalid_argument,
                  "joined samples: some are " + size(out) + ", others " + size(parts[i]));
    }
    firsts.push_back(out.n_samples);
    out.n_samples += parts[i].n_samples;
  }
  out.read = [parts, firsts, n_h = out.n_h()](arma::uword first, arma::uword count) {
    arma::cx_mat h(n_h, count);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const arma::uword begin = std::max(first, firsts[i]);
      const arma::uword end = std::min(first + count, firsts[i] + parts[i].n_samples);
      if (begin >= end) continue;
      h.cols(begin - first, end - first - 1) = parts[i].read(begin - firsts[i], end - begin);
    }
    return h;
  };
  return out;
}

SampleReader without(const SampleReader& samples, const SampleSet& left_out) {
  if (left_out.empty()) return samples;
  SampleReader out = samples;
  const std::vector<SampleRange> parts = left_out.outside({0, samples.n_samples});
  std::vector<arma::uword> starts;  // of each part, in the new numbers
  out.n_samples = 0;
  for (const SampleRange& part : parts) {
    starts.push_back(out.n_samples);
    out.n_samples += part.size();
  }
  out.read = [samples, parts, starts](arma::uword first, arma::uword count) {
    arma::cx_mat h(samples.n_h(), count);
    std::size_t i = 0;
    if (count > 0) {
      i = std::size_t(std::upper_bound(starts.begin(), starts.end(), first) - starts.begin()) - 1;
    }
    for (arma::uword done = 0; done < count; ++i) {
      const arma::uword skip = first + done - starts[i];
      const arma::uword n = std::min(parts[i].size() - skip, count - done);
      h.cols(done, done + n - 1) = samples.read(parts[i].first + skip, n);
      done += n;
    }
    return h;
  };
  return out;
}

SampleReader spread(const SampleReader& samples, arma::uword n) {
  if (n >= samples.n_samples) return samples;
  SampleReader out = samples;
  out.n_samples = n;
  out.read = [samples, n](arma::uword first, arma::uword count) {
    arma::cx_mat h(samples.n_h(), count);
    for (arma::uword k = 0; k < count; ++k) {
      h.col(k) = samples.read((first + k) * samples.n_samples / n, 1);
    }
    return h;
  };
  return out;
}

void check_side(const std::string& who, const SampleReader& side, const SampleReader& samples) {
  if (!samples.grid.is_grid() && !side.grid.is_grid() && side.n_rx == samples.n_rx &&
      side.n_tx == samples.n_tx && side.n_samples == samples.n_samples) {
    return;
  }
  const auto text = [](const SampleReader& each) {
    return std::to_string(each.n_samples) + " of " + size_text(each.n_rx, each.n_tx, each.grid);
  };
  throw Error(ErrorKind::invalid_argument, who + ": there are " + text(side) +
                                               " side matrices; the channels, which have to be "
                                               "matrices too, are " +
                                               text(samples));
}

arma::cx_mat sample_covariance(const SampleReader& samples) {
  if (samples.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument, "sample_covariance: there are no samples");
  }
  arma::cx_mat C(samples.n_h(), samples.n_h(), arma::fill::zeros);
  constexpr arma::uword block = 512;
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    const arma::cx_mat h = samples.read(first, std::min(block, samples.n_samples - first));
    C += h * h.t();
  }
  C /= static_cast<double>(samples.n_samples);
  return C;
}

}  // namespace v0
}  // namespace chest
