# The source tarball, in a build folder:  cpack -G TGZ --config CPackSourceConfig.cmake
# It holds what git tracks, as it lies in the working tree, and a file COMMIT that says of which commit it is.
install(CODE "
  execute_process(COMMAND git ls-files WORKING_DIRECTORY \"${PROJECT_SOURCE_DIR}\"
    OUTPUT_VARIABLE files OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(failed OR NOT files)
    message(FATAL_ERROR \"the source tarball is made of the files that git tracks: ${PROJECT_SOURCE_DIR} is no checkout\")
  endif()
  string(REPLACE \"\\n\" \";\" files \"\${files}\")
  foreach(file IN LISTS files)
    get_filename_component(folder \"\${file}\" DIRECTORY)
    file(COPY \"${PROJECT_SOURCE_DIR}/\${file}\" DESTINATION \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${folder}\")
  endforeach()
  execute_process(COMMAND git describe --always --dirty --abbrev=10 WORKING_DIRECTORY \"${PROJECT_SOURCE_DIR}\"
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE)
  file(WRITE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/COMMIT\" \"\${commit}\\n\")
" COMPONENT source EXCLUDE_FROM_ALL)
set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME chest-${PROJECT_VERSION})
set(CPACK_SOURCE_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};chest;source;/")
set(CPACK_SOURCE_INSTALLED_DIRECTORIES "")
set(CPACK_PACKAGE_VENDOR "the chest authors")
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
