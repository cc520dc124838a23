# Targets: one library per folder, declared in one place.

add_library(chest_warnings INTERFACE)
target_compile_options(chest_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # GCC 12 takes std::string additions for overlaps
if(CHEST_WERROR)
  target_compile_options(chest_warnings INTERFACE -Werror)
endif()

# chest_add_library(NAME SOURCES ... HEADERS ...): the library chest_NAME, alias chest::NAME, with its
# header set, its export and its installation.
function(chest_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS")
  add_library(chest_${name} ${arg_SOURCES})
  add_library(chest::${name} ALIAS chest_${name})
  target_sources(chest_${name} PUBLIC
    FILE_SET HEADERS BASE_DIRS ${CMAKE_CURRENT_SOURCE_DIR}/include FILES ${arg_HEADERS})
  target_compile_features(chest_${name} PUBLIC cxx_std_17)
  target_link_libraries(chest_${name} PRIVATE $<BUILD_INTERFACE:chest_warnings>)
  set_target_properties(chest_${name} PROPERTIES EXPORT_NAME ${name} VERSION ${PROJECT_VERSION})
  install(TARGETS chest_${name} EXPORT chest-targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endfunction()

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
  install(EXPORT chest-targets NAMESPACE chest:: DESTINATION ${destination})
endfunction()
