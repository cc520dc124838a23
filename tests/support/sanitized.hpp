#pragma once

namespace chest {

/// Whether the tests run under a sanitizer of addresses or threads: its shadow memory exceeds any limit on
/// address space, and its library wants to be loaded before all others.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

/// The thread sanitizer writes a file of its own when a program starts: a limit on their size ends it there.
#ifdef __SANITIZE_THREAD__
inline constexpr bool is_thread_sanitized = true;
#else
inline constexpr bool is_thread_sanitized = false;
#endif

}  // namespace chest
