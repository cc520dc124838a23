#pragma once

#include "command_line.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// Looks at the files that a command reads and writes, as the flags hold them: those of FILE flags,
/// of pilots (file=P.h5) and of estimators (dmse@m.h5). What a file is called does not matter: a
/// path, a link or another case of letters.
/// @throws Error(invalid_argument) if a file that is written is read too, written twice, where stdout
///         or stderr goes, or called "-"
/// @throws Error(io) if a file that is read is a pipe, a device or, in place of a single file, a folder
void check_files(const CommandHelp& command, const Catalog& catalog);

}  // namespace cli
}  // namespace v0
}  // namespace chest
