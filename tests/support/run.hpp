#pragma once

#include <armadillo>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/file.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>
#include <chest/sim/sweep.hpp>

#include "tests/support/temporary_folder.hpp"

namespace chest::sim {

inline SampleReader rayleigh_samples(arma::uword n_rx, arma::uword n_tx, arma::uword n,
                                     std::uint64_t seed = 1) {
  Rng rng(seed, {Purpose::test});
  return samples_in_memory(rng.cx_normal(n_rx * n_tx, n), n_rx, n_tx);
}

/// h_hat = f(h_hat of LS), for tests that need an estimator of known behaviour.
class AlteredLs : public Estimator {
 public:
  AlteredLs(std::string name, std::shared_ptr<const ObservationOperator> A,
            std::function<void(arma::cx_mat&)> alter)
      : name_(std::move(name)), ls_(make_ls(std::move(A))), alter_(std::move(alter)) {}
  std::string name() const override { return name_; }
  const ObservationOperator& A() const override { return ls_->A(); }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    ls_->estimate(observation, out);
    alter_(out.h);
    out.mse.reset();
  }

  std::string name_;
  std::unique_ptr<Estimator> ls_;
  std::function<void(arma::cx_mat&)> alter_;
};

/// "ls"; "half": LS / 2; "broken": a NaN in column 1.
inline std::shared_ptr<const Estimator> test_estimators(
    const std::string& name, const std::shared_ptr<const ObservationOperator>& A) {
  if (name == "ls") return make_ls(A);
  if (name == "half")
    return std::make_shared<AlteredLs>(name, A, [](arma::cx_mat& h) { h *= 0.5; });
  if (name == "broken")
    return std::make_shared<AlteredLs>(name, A,
                                       [](arma::cx_mat& h) { h(0, 1) = arma::datum::nan; });
  throw Error(ErrorKind::invalid_argument, "unknown test estimator " + name);
}

/// All that a results file holds, timings aside: what two runs of one command agree in.
inline std::string content_without_timings(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  std::string content;
  for (const std::string& name : archive.list_attributes("/")) {
    if (name == "command_line" || name == "made_at" || name == "made_by") continue;
    content += name + "=" + archive.text_attribute("/", name).value_or("") +
               std::to_string(archive.number_attribute("/", name).value_or(0.0)) + "\n";
  }
  for (const std::string& path : archive.list_datasets()) {
    if (path.rfind("/timing", 0) == 0) continue;
    const StoredDataset info = archive.info(path);
    content += path + " ";
    if (info.type == ValueType::string) {
      content += archive.read_text(path);
    } else if (info.type == ValueType::complex) {
      const auto values = archive.read_all<std::complex<double>>(path);
      content += hash_bytes(values.data(), values.size() * sizeof values[0]);
    } else {
      const auto values = archive.read_all<double>(path);
      content += hash_bytes(values.data(), values.size() * sizeof values[0]);
    }
    content += "\n";
  }
  return content;
}

/// The message of the chest::Error that `action` throws; empty when it throws none.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace chest::sim
