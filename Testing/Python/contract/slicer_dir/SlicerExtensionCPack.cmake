# The description that goes into the package, and the package.
foreach(name EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${name}}")
    message(FATAL_ERROR "${name} is not a file: '${${name}}'")
  endif()
endforeach()

set(description "")
foreach(name DEPENDS HOMEPAGE CONTRIBUTORS ICONURL DESCRIPTION SCREENSHOTURLS)
  string(TOLOWER ${name} key)
  string(APPEND description "${key} ${EXTENSION_${name}}\n")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext "${description}")
install(FILES ${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext
  DESTINATION ${Slicer_INSTALL_ROOT}${Slicer_BUNDLE_EXTENSIONS_LOCATION}${Slicer_SHARE_DIR} COMPONENT RuntimeLibraries)

set(CPACK_MONOLITHIC_INSTALL ON)
set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_DESCRIPTION_FILE ${EXTENSION_README_FILE})
set(CPACK_RESOURCE_FILE_LICENSE ${EXTENSION_LICENSE_FILE})
set(CPACK_PACKAGE_FILE_NAME "${Slicer_REVISION}-${Slicer_OS}-${Slicer_ARCHITECTURE}-${EXTENSION_NAME}")
include(CPack)
