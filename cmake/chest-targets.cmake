# Targets: one library per folder or room, declared in one place.

add_library(chest_warnings INTERFACE)
target_compile_options(chest_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual
  # GCC 12 takes std::string additions for overlaps and overflows.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-stringop-overflow -Wno-array-bounds>)
if(CHEST_WERROR)
  target_compile_options(chest_warnings INTERFACE -Werror)
endif()

# chest_compile(TARGET): how every source of ours is compiled. Public headers are C++17: they are verified
# as such, without this.
function(chest_compile target)
  set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    # Programs as libraries, so that all can share one precompiled header.
    POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:chest_warnings>)
endfunction()

# chest_compile_quickly(TARGET): what runs once, tests and the program's own sources, is optimised less: that
# takes the compiler a third less time.
function(chest_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)
endfunction()

# Armadillo is most of what the compiler reads: read once for all.
if(CHEST_PRECOMPILE_HEADERS)
  file(WRITE ${PROJECT_BINARY_DIR}/empty.cpp "")
  add_library(chest_precompiled OBJECT ${PROJECT_BINARY_DIR}/empty.cpp)
  chest_compile(chest_precompiled)
  target_link_libraries(chest_precompiled PRIVATE chest_dep_armadillo Threads::Threads)
  target_precompile_headers(chest_precompiled PRIVATE <algorithm> <armadillo> <cmath> <cstdint>
    <filesystem> <functional> <map> <memory> <mutex> <optional> <set> <string> <utility> <vector>)
endif()
function(chest_precompile target)
  if(CHEST_PRECOMPILE_HEADERS)
    target_precompile_headers(${target} REUSE_FROM chest_precompiled)
  endif()
endfunction()

# chest_add_library(NAME [OWN_PRECOMPILED] SOURCES ... HEADERS ...): the library chest_NAME, alias
# chest::NAME, with its header set, its export and its installation, in the component CHEST_COMPONENT
# of the package.
function(chest_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OWN_PRECOMPILED" "" "SOURCES;HEADERS")
  add_library(chest_${name} STATIC ${arg_SOURCES})
  add_library(chest::${name} ALIAS chest_${name})
  target_sources(chest_${name} PUBLIC
    FILE_SET HEADERS BASE_DIRS ${CMAKE_CURRENT_SOURCE_DIR}/include FILES ${arg_HEADERS})
  target_compile_features(chest_${name} PUBLIC cxx_std_17)
  chest_compile(chest_${name})
  if(NOT arg_OWN_PRECOMPILED)
    chest_precompile(chest_${name})
  endif()
  set_target_properties(chest_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS chest_${name} EXPORT chest-${CHEST_COMPONENT}-targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endfunction()

# chest_add_group(NAME LIBRARY ...): several libraries under one name.
function(chest_add_group name)
  add_library(chest_${name} INTERFACE)
  add_library(chest::${name} ALIAS chest_${name})
  list(TRANSFORM ARGN PREPEND chest::)
  target_link_libraries(chest_${name} INTERFACE ${ARGN})
  set_target_properties(chest_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS chest_${name} EXPORT chest-${CHEST_COMPONENT}-targets)
endfunction()

# The components of the package, each after those that it needs.
set(CHEST_COMPONENTS core channels estimators sim cli testing c)

function(chest_install_package)
  include(CMakePackageConfigHelpers)
  set(destination ${CMAKE_INSTALL_LIBDIR}/cmake/chest)
  configure_package_config_file(cmake/chest-config.cmake.in
    ${PROJECT_BINARY_DIR}/chest-config.cmake INSTALL_DESTINATION ${destination})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/chest-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/chest-config.cmake
    ${PROJECT_BINARY_DIR}/chest-config-version.cmake cmake/chest-dependencies.cmake
    DESTINATION ${destination})
  foreach(component IN LISTS CHEST_COMPONENTS)
    install(EXPORT chest-${component}-targets NAMESPACE chest:: DESTINATION ${destination})
  endforeach()
endfunction()
