# Every package that chest uses, found in one place. The installed package reads this file too, so
# that a project that links chest finds what its components were built with: CHEST_FIND_FOR names them.
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
if(NOT DEFINED CMAKE_FIND_PACKAGE_NAME)
  chest_find(nlohmann_json)  # in sources alone
endif()
if("cli" IN_LIST CHEST_FIND_FOR)
  chest_find(Boost COMPONENTS program_options)
endif()
if("testing" IN_LIST CHEST_FIND_FOR)
  chest_find(GTest)
endif()

# Armadillo, HDF5 and LibTorch come with find modules that set variables: targets, so that an exported
# package names them and no path of the machine it was built on.
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
if(CHEST_WITH_TORCH AND "estimators" IN_LIST CHEST_FIND_FOR)
  chest_find(Torch)
  if(NOT TARGET chest_dep_torch)
    add_library(chest_dep_torch INTERFACE IMPORTED)
    # With the OpenMP that LibTorch is built with.
    target_link_libraries(chest_dep_torch INTERFACE ${TORCH_LIBRARIES} gomp)
  endif()
endif()
