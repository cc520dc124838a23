// The program as a library.
#include <chest/cli/run.hpp>

int main(int argc, char** argv) { return chest::cli::run(argc, argv); }
