# What find_package(Slicer) gives an extension that has scripted modules only, written anew for the rehearsal of the
# package: names and meaning as in Slicer's CMake/SlicerConfig.cmake.in, SlicerDirectories.cmake and UseSlicer.cmake.in.
set(Slicer_VERSION_MAJOR 5)
set(Slicer_VERSION_MINOR 12)
set(Slicer_REVISION 34627)
set(Slicer_OS linux)
set(Slicer_ARCHITECTURE amd64)
set(Slicer_USE_PYTHONQT ON)

set(Slicer_INSTALL_ROOT "./")
set(Slicer_LIB_DIR "lib/Slicer-${Slicer_VERSION_MAJOR}.${Slicer_VERSION_MINOR}")
set(Slicer_SHARE_DIR "share/Slicer-${Slicer_VERSION_MAJOR}.${Slicer_VERSION_MINOR}")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_LIB_DIR}/qt-scripted-modules")

set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionGenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionCPack.cmake)
