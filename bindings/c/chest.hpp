/// The C interface for C++: objects that close themselves, exceptions with the status, complex floats. A header
/// alone, over chest.h and libchest; C++11.
///
///   chest_c::Session session(chest_c::Model("models/scm_64x16.h5"));
///   std::vector<std::complex<float>> y = ..., h(n * 64 * 16);
///   session.estimate(y.data(), n, 0.1F, h.data());
#ifndef CHEST_HPP
#define CHEST_HPP

#include <chest.h>

#include <complex>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>

namespace chest_c {

class Error : public std::runtime_error {
 public:
  Error(chest_status status, const std::string& text)
      : std::runtime_error(text.empty() ? chest_status_str(status) : text), status_(status) {}
  chest_status status() const { return status_; }

 private:
  chest_status status_;
};

/// A view of contiguous values, the last axis fastest.
inline chest_tensor view(chest_dtype type, void* data, std::initializer_list<std::int64_t> dims) {
  chest_tensor out = {};
  out.struct_size = sizeof out;
  out.dtype = static_cast<std::uint16_t>(type);
  out.rank = static_cast<std::uint32_t>(dims.size());
  std::size_t i = 0;
  for (const std::int64_t dim : dims) out.dim[i++] = dim;
  std::int64_t stride = 1;
  for (i = dims.size(); i-- > 0; stride *= out.dim[i]) out.stride[i] = stride;
  out.data = data;
  return out;
}
inline chest_tensor view(const std::complex<float>* data,
                         std::initializer_list<std::int64_t> dims) {
  return view(CHEST_CF32, const_cast<std::complex<float>*>(data), dims);
}
inline chest_tensor view(const float* data, std::initializer_list<std::int64_t> dims) {
  return view(CHEST_F32, const_cast<float*>(data), dims);
}

/// A model file; copies share it.
class Model {
 public:
  /// @throws Error
  explicit Model(const std::string& path, const chest_options* options = nullptr) {
    chest_model* opened = nullptr;
    const chest_status status = chest_model_open(path.c_str(), options, &opened);
    if (status != CHEST_OK) throw Error(status, chest_last_error());
    model_.reset(opened, chest_model_close);
  }
  chest_info info() const {
    chest_info out = {};
    out.struct_size = sizeof out;
    const chest_status status = chest_model_info(model_.get(), &out);
    if (status != CHEST_OK) throw Error(status, chest_last_error());
    return out;
  }
  const chest_model* get() const { return model_.get(); }

 private:
  std::shared_ptr<chest_model> model_;
};

/// What one thread estimates with.
class Session {
 public:
  /// @throws Error
  explicit Session(const Model& model, const chest_options* options = nullptr)
      : info_(model.info()), n_pilots_(info_.n_tx) {
    chest_session* made = nullptr;
    const chest_status status = chest_session_create(model.get(), options, &made);
    if (status != CHEST_OK) throw Error(status, chest_last_error());
    session_.reset(made);
  }
  /// @param p  pilots, [n_tx, n_pilots], rows one after the other
  void pilots(const std::complex<float>* p, std::size_t n_pilots) {
    const chest_tensor tensor = view(p, {info_.n_tx, static_cast<std::int64_t>(n_pilots)});
    check(chest_session_pilots(session_.get(), &tensor));
    n_pilots_ = n_pilots;
  }
  /// Grids from now on: estimate() takes views of grids.
  /// @param x  what every port sends, [tx, subcarrier, symbol]; null: grid.pilots
  void grid(chest_grid grid, const chest_tensor* x = nullptr) {
    grid.struct_size = sizeof grid;
    check(chest_session_grid(session_.get(), &grid, x));
  }
  /// @param y          [n, n_rx, n_pilots]
  /// @param noise_var  of all items; NaN: found for each
  /// @param h          [n, n_rx, n_tx]
  /// @param err_var    [n], or null
  /// @throws Error
  void estimate(const std::complex<float>* y, std::size_t n, float noise_var,
                std::complex<float>* h, float* err_var = nullptr) {
    const auto items = static_cast<std::int64_t>(n);
    const chest_tensor from = view(y, {items, info_.n_rx, static_cast<std::int64_t>(n_pilots_)});
    const chest_tensor noise = view(&noise_var, {});
    chest_tensor to = view(h, {items, info_.n_rx, info_.n_tx});
    chest_tensor errors = view(err_var, {items});
    estimate(from, &noise, to, err_var ? &errors : nullptr);
  }
  /// Any views.
  void estimate(const chest_tensor& y, const chest_tensor* noise_var, chest_tensor& h,
                chest_tensor* err_var = nullptr) {
    check(chest_estimate(session_.get(), &y, noise_var, &h, err_var, nullptr));
  }
  chest_stats stats() const {
    chest_stats out = {};
    out.struct_size = sizeof out;
    check(chest_session_stats(session_.get(), &out));
    return out;
  }
  const chest_info& info() const { return info_; }

 private:
  struct Destroy {
    void operator()(chest_session* session) const { chest_session_destroy(session); }
  };
  void check(chest_status status) const {
    if (status != CHEST_OK) throw Error(status, chest_session_error(session_.get()));
  }

  chest_info info_;
  std::size_t n_pilots_;
  std::unique_ptr<chest_session, Destroy> session_;
};

}  // namespace chest_c

#endif
