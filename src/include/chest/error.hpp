#pragma once

#include <stdexcept>
#include <string>

namespace chest {
inline namespace v0 {

/// What went wrong, coarsely: callers branch on it, people read the message.
enum class ErrorKind {
  invalid_argument,  ///< the caller asked for something that cannot be done
  io,                ///< the file system or the device failed
  format,            ///< a file is not what it should be
  numeric,           ///< the numbers do not allow a result (singular, not finite)
  interrupted        ///< stopped on request; what was finished is kept
};

/// The one exception type that leaves chest. Its message is one sentence: who, what was found, what
/// was expected, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

/// Refuses what a caller asked for.
/// @throws Error(invalid_argument)
[[noreturn]] inline void refuse(const std::string& message) {
  throw Error(ErrorKind::invalid_argument, message);
}

}  // namespace v0
}  // namespace chest
