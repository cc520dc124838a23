#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <chest/cli/run.hpp>

#include "tests/support/temporary_folder.hpp"

namespace chest {

inline std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// The chest program at work, with its output in files. Where a process of the tests can fork, the child is the
/// program without being started anew, which takes half a second of loading LibTorch.
class Program {
 public:
  /// @param in_child  what the process does before it becomes the program, which then is started anew; its
  ///                  output is in place
  explicit Program(const std::vector<std::string>& words,
                   const std::function<void()>& in_child = {}) {
    const std::string out = (folder_ / "out").string(), err = (folder_ / "err").string();
    std::vector<char*> argv{const_cast<char*>(CHEST_PROGRAM)};
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::fflush(nullptr);
    process_ = ::fork();
    if (process_ != 0) return;
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
#ifdef CHEST_TESTS_CAN_FORK
    if (!in_child) {
      const int code = cli::run(static_cast<int>(words.size()) + 1, argv.data());
      std::cout.flush();
      std::fflush(nullptr);
      ::_exit(code);
    }
#endif
    if (in_child) in_child();
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~Program() {
    if (process_ != 0) {
      ::kill(process_, SIGKILL);
      status();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const { ::kill(process_, number); }
  /// Waits for the end: the exit status, or minus the signal that ended it.
  int status() {
    if (process_ != 0) {
      int status = 0;
      ::waitpid(process_, &status, 0);
      process_ = 0;
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    return status_;
  }
  std::string out() const { return text_of(folder_ / "out"); }
  std::string err() const { return text_of(folder_ / "err"); }

 private:
  TemporaryFolder folder_;
  pid_t process_ = 0;
  int status_ = 0;
};

/// Its status, and all that it says: "0 m.h5: dmse, 4x3".
inline std::string answer_of(const std::vector<std::string>& words) {
  Program program(words);
  const int status = program.status();
  return std::to_string(status) + " " + program.out() + program.err();
}

}  // namespace chest
