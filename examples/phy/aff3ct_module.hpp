/// As much of a frame loop of modules, tasks and sockets as the example needs, of the shape of AFF3CT's: a module has
/// tasks, a task has sockets of flat arrays over n_frames, sockets are bound to each other, exec() runs a task.
#ifndef AFF3CT_MODULE_HPP
#define AFF3CT_MODULE_HPP

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace frames {

class socket {
 public:
  socket(std::string name, std::size_t n_elements, bool is_output)
      : name_(std::move(name)), data_(is_output ? n_elements : 0), n_elements_(n_elements) {
    if (is_output) at_ = data_.data();
  }
  /// An input reads what the output holds; nothing is copied.
  void bind(const socket& output) {
    if (output.n_elements_ != n_elements_) {
      throw std::runtime_error("socket " + name_ + " has " + std::to_string(n_elements_) +
                               " elements, " + output.name_ + " has " +
                               std::to_string(output.n_elements_));
    }
    at_ = const_cast<float*>(output.at_);
  }
  float* data() const {
    if (!at_) throw std::runtime_error("socket " + name_ + " is not bound");
    return at_;
  }

 private:
  std::string name_;
  std::vector<float> data_;
  std::size_t n_elements_;
  float* at_ = nullptr;
};

class module {
 public:
  explicit module(std::size_t n_frames) : n_frames_(n_frames) {}
  virtual ~module() = default;
  module(const module&) = delete;
  module& operator=(const module&) = delete;
  /// The same module for another thread, sockets unbound.
  virtual std::unique_ptr<module> clone() const = 0;

  /// "task::socket"
  socket& operator[](const std::string& name) { return sockets_.at(name); }
  void exec(const std::string& task) { codelets_.at(task)(); }
  std::size_t n_frames() const { return n_frames_; }

 protected:
  /// @param n  elements of one frame
  void create_socket_in(const std::string& name, std::size_t n) {
    sockets_.emplace(name, socket(name, n * n_frames_, false));
  }
  void create_socket_out(const std::string& name, std::size_t n) {
    sockets_.emplace(name, socket(name, n * n_frames_, true));
  }
  void create_codelet(const std::string& task, std::function<void()> run) {
    codelets_[task] = std::move(run);
  }

 private:
  std::size_t n_frames_;
  std::map<std::string, socket> sockets_;
  std::map<std::string, std::function<void()>> codelets_;
};

}  // namespace frames

#endif
