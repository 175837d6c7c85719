# Third-party packages. All come from the one list apt-packages.txt.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(embree 3 REQUIRED)
find_package(Torch REQUIRED)
if(LAV_CUDA AND NOT TARGET torch_cuda)
  message(FATAL_ERROR "LAV_CUDA: the LibTorch in ${TORCH_INSTALL_PREFIX} has no CUDA; give CMAKE_PREFIX_PATH one that has")
endif()
if(LAV_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

# LibTorch takes whichever BLAS the alternatives system prefers, and the reference one is 30 times slower. Link the
# OpenMP flavour of OpenBLAS into each program directly and give it an inherited run path, so that it is loaded first.
set(LAV_OPENBLAS_DIR /usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/openblas-openmp)
add_library(lav_torch INTERFACE)
target_include_directories(lav_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(lav_torch INTERFACE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
if(EXISTS ${LAV_OPENBLAS_DIR}/libopenblas.so.0)
  target_link_options(lav_torch INTERFACE -Wl,--disable-new-dtags -Wl,-rpath,${LAV_OPENBLAS_DIR} -Wl,--no-as-needed
                      ${LAV_OPENBLAS_DIR}/libblas.so.3 ${LAV_OPENBLAS_DIR}/libopenblas.so.0 -Wl,--as-needed)
else()
  message(WARNING "${LAV_OPENBLAS_DIR}: no OpenBLAS (OpenMP flavour); matrix products may be slow")
endif()
