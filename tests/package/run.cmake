# Installs the build, moves what was installed elsewhere, and there configures, builds and runs the foreign
# project beside this file with the components of the package one after the other.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(configure ${CMAKE_COMMAND} -S ${SOURCE} -G ${GENERATOR}
  "-DCMAKE_PREFIX_PATH=${WORK}/moved;${PREFIX_PATH}" "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}")

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
file(RENAME ${WORK}/prefix ${WORK}/moved)

# No path of this machine: of the sources, of the build, of a library. And any BLAS below Armadillo will do.
file(GLOB_RECURSE scripts ${WORK}/moved/*.cmake)
if(NOT scripts)
  message(FATAL_ERROR "no *.cmake was installed")
endif()
foreach(script IN LISTS scripts)
  file(READ ${script} text)
  foreach(path IN ITEMS ${BUILD} ${TREE} ${WORK} "/usr/")
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      string(SUBSTRING "${text}" ${at} 100 found)
      message(FATAL_ERROR "${script} holds the absolute path ${found}")
    endif()
  endforeach()
  if(text MATCHES "openblas|OPENBLAS")
    message(FATAL_ERROR "${script} names OpenBLAS")
  endif()
endforeach()

# The library needs neither Boost nor nlohmann_json nor GoogleTest.
set(without -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON
  -DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON)
run(${configure} -B ${WORK}/estimators -DCOMPONENTS=estimators ${without})
run(${CMAKE_COMMAND} --build ${WORK}/estimators)
run(${WORK}/estimators/calls_estimators)

# A shared library that holds chest shows none of it.
if(NM)
  execute_process(COMMAND ${NM} -DC --defined-only ${WORK}/estimators/libuses_estimators.so
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  if(NOT symbols MATCHES "estimate_one")
    message(FATAL_ERROR "the shared library does not export its own function:\n${symbols}")
  endif()
  # What std:: makes of a type of chest (std::promise, std::map) belongs to the standard library, which shows it.
  string(REGEX REPLACE "[^\n]* ([WVu]|(typeinfo|typeinfo name|vtable) for) (void |bool )?std::[^\n]*\n" ""
    symbols "${symbols}")
  if(symbols MATCHES "[^\n]*chest::[^\n]*")
    message(FATAL_ERROR "a library that links chest statically exports ${CMAKE_MATCH_0}")
  endif()
endif()

run(${configure} -B ${WORK}/sim -DCOMPONENTS=sim ${without})
run(${CMAKE_COMMAND} --build ${WORK}/sim)
run(${WORK}/sim/uses_sim)

run(${configure} -B ${WORK}/cli -DCOMPONENTS=cli,testing)
run(${CMAKE_COMMAND} --build ${WORK}/cli)
run(${WORK}/cli/uses_cli --version)
run(${WORK}/cli/uses_testing)
run(${WORK}/moved/bin/chest --version)
foreach(file IN ITEMS man/man1/chest.1 man/man1/chest-sweep.1 bash-completion/completions/chest)
  if(NOT EXISTS ${WORK}/moved/share/${file})
    message(FATAL_ERROR "share/${file} was not installed")
  endif()
endforeach()

# The C interface: by CMake, and by a C compiler and pkg-config alone. The header for C++ is C++11.
run(${configure} -B ${WORK}/c -DCOMPONENTS=c ${without} -DCMAKE_DISABLE_FIND_PACKAGE_Armadillo=ON
  -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON)
run(${CMAKE_COMMAND} --build ${WORK}/c)
run(${WORK}/c/uses_c)
find_program(CC cc REQUIRED)
find_program(PKG_CONFIG pkg-config REQUIRED)
file(GLOB_RECURSE pc ${WORK}/moved/*chest.pc)
get_filename_component(pc_folder ${pc} DIRECTORY)
file(GLOB_RECURSE library ${WORK}/moved/*libchest.so.0)
get_filename_component(library_folder ${library} DIRECTORY)
execute_process(COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${pc_folder} ${PKG_CONFIG} --modversion chest
  OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT version STREQUAL VERSION)
  message(FATAL_ERROR "chest.pc says version ${version}, CMakeLists.txt ${VERSION}")
endif()
foreach(example IN ITEMS estimate int16 slot)
  run(sh -c "${CC} -std=c99 -Wall -Wextra -Werror -O1 ${TREE}/examples/c/${example}.c \
$(PKG_CONFIG_PATH=${pc_folder} ${PKG_CONFIG} --cflags --libs chest) ${CXX_FLAGS} -lm -o ${WORK}/${example} && \
LD_LIBRARY_PATH=${library_folder} ${WORK}/${example} ${TREE}/models/scm_64x16.h5")
endforeach()
# Estimators of the shapes of PHY stacks, fed as these feed theirs, beside the program.
find_program(CXX c++ REQUIRED)
set(phy ${TREE}/examples/phy)
set(linked "$(PKG_CONFIG_PATH=${pc_folder} ${PKG_CONFIG} --cflags --libs chest) ${CXX_FLAGS} -lm")
set(strict "-Wall -Wextra -Werror -O1")
set(model ${TREE}/models/scm_16x4.h5)
function(run_phy build call)
  run(sh -c "cd ${WORK} && ${build} && LD_LIBRARY_PATH=${library_folder} ./${call} ${WORK}/moved/bin/chest")
endfunction()
run_phy("${CC} -std=c99 ${strict} -shared -fPIC ${phy}/oai_estimator.c ${linked} -o libchest_estimator.so && \
${CC} -std=c99 ${strict} ${phy}/oai_driver.c ${CXX_FLAGS} -ldl -lm -o oai_driver"
  "oai_driver ./libchest_estimator.so ${model} 16 4")
foreach(example IN ITEMS ocudu_driver aff3ct_loop)
  run_phy("${CXX} -std=c++20 ${strict} ${phy}/${example}.cpp ${linked} -pthread -o ${example}"
    "${example} ${model}")
endforeach()
if(NM)
  execute_process(COMMAND ${NM} -D --defined-only ${library} OUTPUT_VARIABLE symbols)
  string(REGEX REPLACE "[^\n]* A CHEST_0\n" "" symbols "${symbols}")
  string(REGEX REPLACE "[^\n]* T chest_[a-z_]+@@CHEST_0\n" "" symbols "${symbols}")
  if(NOT symbols STREQUAL "")
    message(FATAL_ERROR "libchest.so shows more than its interface:\n${symbols}")
  endif()
endif()

execute_process(COMMAND ${configure} -B ${WORK}/unknown -DCOMPONENTS=estimator
  RESULT_VARIABLE status ERROR_VARIABLE errors OUTPUT_QUIET)
string(REGEX REPLACE "[ \n]+" " " errors "${errors}")
if(status EQUAL 0 OR NOT errors MATCHES "chest has no component estimator: it has core,")
  message(FATAL_ERROR "an unknown component is not refused as it should be:\n${errors}")
endif()
