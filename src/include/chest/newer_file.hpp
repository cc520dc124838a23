#pragma once

#include <chest/error.hpp>
#include <string>

namespace chest {
inline namespace v0 {

/// A file in a form that only a newer chest reads; its kind() is ErrorKind::format.
class NewerFile : public Error {
 public:
  explicit NewerFile(const std::string& message) : Error(ErrorKind::format, message) {}
};

}  // namespace v0
}  // namespace chest
