# Every package that chest uses, found in one place. The installed package reads this file too, so
# that a project that links chest finds what chest was built with.
include(CMakeFindDependencyMacro)
macro(chest_find)
  if(DEFINED CMAKE_FIND_PACKAGE_NAME)
    find_dependency(${ARGN})
  else()
    find_package(${ARGN} REQUIRED)
  endif()
endmacro()

enable_language(C)  # CMake's HDF5 module compiles a test program in C
chest_find(Threads)
chest_find(Armadillo)
chest_find(HDF5 COMPONENTS C)
chest_find(Boost COMPONENTS program_options)
chest_find(nlohmann_json)

# Armadillo and HDF5 come with find modules that only set variables.
if(NOT TARGET chest_dep_armadillo)
  add_library(chest_dep_armadillo INTERFACE IMPORTED)
  target_include_directories(chest_dep_armadillo SYSTEM INTERFACE ${ARMADILLO_INCLUDE_DIRS})
  target_link_libraries(chest_dep_armadillo INTERFACE ${ARMADILLO_LIBRARIES})
endif()
if(NOT TARGET chest_dep_hdf5)
  add_library(chest_dep_hdf5 INTERFACE IMPORTED)
  target_include_directories(chest_dep_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
  target_link_libraries(chest_dep_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
endif()

if(CHEST_WITH_TORCH)
  chest_find(Torch)
endif()
