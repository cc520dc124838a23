#pragma once

#include <armadillo>
#include <complex>
#include <filesystem>
#include <string>

#include <unistd.h>

#include <chest/error.hpp>

namespace chest::test {

/// A folder of its own for one test, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "chest_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error(ErrorKind::io, "no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Path of a file that tests/golden/make_channel_fixtures.py wrote.
inline std::string fixture(const std::string& name) {
  return CHEST_SOURCE_DIR "/tests/golden/channels/" + name;
}

/// What those files hold: H[k, r, t] = exp(j (0.7 k + 1.3 r + 2.1 t)), as columns vec(H).
inline arma::cx_mat fixture_channels(arma::uword n, arma::uword n_rx, arma::uword n_tx) {
  arma::cx_cube H(n_rx, n_tx, n);
  for (arma::uword k = 0; k < n; ++k)
    for (arma::uword t = 0; t < n_tx; ++t)
      for (arma::uword r = 0; r < n_rx; ++r)
        H(r, t, k) = std::polar(1.0, 0.7 * static_cast<double>(k) + 1.3 * static_cast<double>(r) +
                                         2.1 * static_cast<double>(t));
  return arma::cx_mat(H.memptr(), n_rx * n_tx, n);
}

/// What the Error thrown by `action` says; "no error" when there is none.
template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace chest::test
