#pragma once

#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <string>

namespace chest {

/// Whether a call throws Error(invalid_argument) with this text in its message.
template <class Call>
testing::AssertionResult refused(Call&& call, const std::string& text) {
  try {
    call();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument) {
      return testing::AssertionFailure() << "another kind of error: " << error.what();
    }
    if (std::string(error.what()).find(text) == std::string::npos) {
      return testing::AssertionFailure()
             << "says \"" << error.what() << "\", not \"" << text << "\"";
    }
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "did not refuse (\"" << text << "\")";
}

}  // namespace chest
