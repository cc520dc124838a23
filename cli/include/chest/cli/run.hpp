#pragma once

#include <chest/estimators/catalog/catalog.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

/// The program: what `chest` on the command line does, with the estimators of a catalog. Prints, and
/// returns its exit status: 0 done, 1 failed, 2 misused.
int run(int argc, char** argv, const Catalog& catalog = built_in());

}  // namespace cli
}  // namespace v0
}  // namespace chest
