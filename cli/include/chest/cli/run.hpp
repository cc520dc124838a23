#pragma once

namespace chest::cli {

/// The program: what `chest` on the command line does. Prints, and returns its exit status: 0 done,
/// 1 failed, 2 misused.
int run(int argc, char** argv);

}  // namespace chest::cli
