#pragma once

#include <armadillo>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <typeindex>
#include <utility>
#include <vector>

#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/network/array_range.hpp>

namespace chest {
inline namespace v0 {

/// Model files of a run. Each is read once, however many estimators share it; what is costly to
/// prepare from one (a network on its device, an eigendecomposition) is kept too.
///
/// Safe to share between threads: what one thread makes, another that asks for it waits for.
class ModelStore {
 public:
  /// @param files  looked at now: format, kind and sizes; values are read when an estimator asks
  /// @throws Error(io) or Error(format) if one is not a model file
  explicit ModelStore(const std::vector<std::filesystem::path>& files = {});

  /// What a file holds, for results and messages.
  struct Info {
    std::filesystem::path file;
    std::string kind;
    arma::uword n_rx = 0, n_tx = 0;
    /// Of a model of channels on a grid; else null.
    std::shared_ptr<const GridStatistics> grid = {};
    ArrayRange arrays = {};  ///< of a model for arrays of many sizes

    /// Whether it is for matrices of this size.
    bool serves(arma::uword rx, arma::uword tx) const {
      return arrays.empty() ? rx == n_rx && tx == n_tx : arrays.holds(rx, tx);
    }
    /// "64x16", or the sizes of all arrays: "8-128x1-32".
    std::string sizes() const { return arrays.empty() ? size_text(n_rx, n_tx) : arrays.text(); }
  };
  /// The files in the order given, then those named by specs ("dmse@FILE") so far.
  std::vector<Info> files() const;
  /// The file, looked at when it was not known yet.
  /// @throws Error(io) or Error(format) if it is not a model file
  Info look_at(const std::filesystem::path& file);

  /// The value of this type under a key, made by make() on first use: a model under the path of its
  /// file, what is prepared from it under a key of its own. make() may ask for other values.
  template <class Value, class Make>
  std::shared_ptr<const Value> get(const std::string& key, Make&& make) {
    const std::lock_guard lock(mutex_);
    const std::pair<std::type_index, std::string> typed{typeid(Value), key};
    const auto it = values_.find(typed);
    if (it != values_.end()) return std::static_pointer_cast<const Value>(it->second);
    std::shared_ptr<const Value> value = make();
    // As void: a template of std over a type of chest would be shown by shared libraries.
    values_.emplace(typed, std::shared_ptr<const void>(value));
    return value;
  }

 private:
  mutable std::recursive_mutex mutex_;
  std::vector<Info> files_;
  std::map<std::pair<std::type_index, std::string>, std::shared_ptr<const void>> values_;
};

}  // namespace v0
}  // namespace chest
