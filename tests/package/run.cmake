# Installs the build into a fresh prefix, configures, builds and runs the foreign project beside this
# file.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR}
  "-DCMAKE_PREFIX_PATH=${WORK}/prefix;${PREFIX_PATH}" "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}")
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/uses_chest)
run(${WORK}/prefix/bin/chest --version)
foreach(file IN ITEMS man/man1/chest.1 man/man1/chest-sweep.1 bash-completion/completions/chest)
  if(NOT EXISTS ${WORK}/prefix/share/${file})
    message(FATAL_ERROR "share/${file} was not installed")
  endif()
endforeach()
