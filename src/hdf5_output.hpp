#pragma once

#include <memory>

#include "hdf5_handles.hpp"

namespace chest {
inline namespace v0 {

/// What became of the bytes of a file that HDF5 writes.
struct WriteState {
  int error = 0;  ///< errno of the first write that failed; 0: none did
};

/// File access of a new file whose writes never fail inside HDF5: a full disk is remembered in
/// `state`, and what comes after it stays in memory, so that HDF5 closes every file it has begun.
/// HDF5 1.10 keeps one that it could not flush and crashes when the process ends. Takes no lock: a
/// file under construction has one writer, and not every disk has locks.
/// @return a property list for H5Fcreate, which truncates the file of that name; -1 if there is no memory
Handle output_access(std::shared_ptr<WriteState> state);

}  // namespace v0
}  // namespace chest
