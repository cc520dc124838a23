# Installs the build into a fresh prefix, configures, builds and runs the foreign project beside this
# file.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
# Any BLAS below Armadillo will do: the package names none, least of all by its place on this machine.
file(GLOB package_files ${WORK}/prefix/*/cmake/chest/*.cmake ${WORK}/prefix/*/*/cmake/chest/*.cmake)
if(NOT package_files)
  message(FATAL_ERROR "the package has no CMake files below ${WORK}/prefix")
endif()
foreach(file IN LISTS package_files)
  file(READ ${file} text)
  if(text MATCHES "openblas|OPENBLAS")
    message(FATAL_ERROR "${file} names OpenBLAS")
  endif()
endforeach()
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR}
  "-DCMAKE_PREFIX_PATH=${WORK}/prefix;${PREFIX_PATH}" "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}")
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/uses_chest)
run(${WORK}/prefix/bin/chest --version)
